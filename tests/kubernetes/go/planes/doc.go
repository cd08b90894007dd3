// Package planes starts and ends control planes: etcd, kube-apiserver, kube-controller-manager and kube-scheduler as
// processes on loopback, several side by side, each with certificates, ports and a folder of its own.
//
// Everything about a running set is in files of its directory, so that another process (or a person) can find, pause and
// end what was started:
//
//	DIR/kubeconfig               one context per control plane; the first is current
//	DIR/NAME/pids                "component pid starttime", one line each
//	DIR/NAME/COMPONENT.args      the command line, one argument a line
//	DIR/NAME/COMPONENT.log       its output
//	DIR/NAME/audit.log           with --audit: one JSON event a line
//	DIR/NAME/pki/                authority, keys and certificates
package planes

import (
	"fmt"
	"os"
)

// say tells a person what happens. Standard output is for what a script reads.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// fail is say for an error that ends the program; the result is the exit status.
func fail(command string, err error) int {
	say("%s: %v", command, err)
	return 1
}
