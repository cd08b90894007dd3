// Kubernetes holds everything that a real cluster under Muster's tests runs, in one static program: etcd, the control
// plane, the node components and kubectl, picked by the first argument. It also starts and ends sets of control planes
// and makes images, which a shell script does badly.
//
// One program instead of seven, because they share most of their code: it builds in the time of the largest alone, and
// several processes of it share their pages.
package main

import (
	"context"
	"fmt"
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	kubeapiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	kubecontrollermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	kubeproxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubescheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	// What the released programs register, too: time zones of CronJobs, JSON logs, client metrics.
	_ "time/tzdata"

	_ "k8s.io/client-go/plugin/pkg/client/auth"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"

	"muster.dev/tests/kubernetes/image"
	"muster.dev/tests/kubernetes/planes"
)

// component is what a first argument starts; its result is the exit status.
type component struct {
	name, what string
	run        func() int
}

var components = []component{
	{"etcd", "the store", func() int { etcdmain.Main(os.Args); return 0 }},
	{"kube-apiserver", "the API server", func() int { return cli.Run(kubeapiserver.NewAPIServerCommand()) }},
	{"kube-controller-manager", "the controllers", func() int { return cli.Run(kubecontrollermanager.NewControllerManagerCommand()) }},
	{"kube-scheduler", "the scheduler", func() int { return cli.Run(kubescheduler.NewSchedulerCommand()) }},
	{"kubelet", "the node agent", func() int { return cli.Run(kubelet.NewKubeletCommand(context.Background())) }},
	{"kube-proxy", "the node's service proxy", func() int { return cli.Run(kubeproxy.NewProxyCommand()) }},
	{"kubectl", "the command line", runKubectl},
	{"up", "starts control planes", func() int { return planes.Up(os.Args[1:]) }},
	{"down", "ends what up started", func() int { return planes.Down(os.Args[1:]) }},
	{"component", "stops, starts, pauses and resumes one process of a control plane", func() int { return planes.Component(os.Args[1:]) }},
	{"certificate", "issues a client certificate of a control plane", func() int { return planes.Certificate(os.Args[1:]) }},
	{"image", "makes a container image of files", func() int { return image.Main(os.Args[1:]) }},
}

func main() {
	if len(os.Args) > 1 {
		for _, c := range components {
			if c.name == os.Args[1] {
				// Each component reads os.Args itself and expects its own name first.
				os.Args = os.Args[1:]
				os.Exit(c.run())
			}
		}
	}
	fmt.Fprintln(os.Stderr, "usage: kubernetes COMPONENT [flags]")
	for _, c := range components {
		fmt.Fprintf(os.Stderr, "  %-24s %s\n", c.name, c.what)
	}
	os.Exit(2)
}

// runKubectl ends as the released kubectl does: errors are printed once, and decide the exit status (diff ends with 1
// when there is a difference).
func runKubectl() int {
	// Verbosity must be known before the command is built, which already logs.
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
		return 1
	}
	return 0
}
