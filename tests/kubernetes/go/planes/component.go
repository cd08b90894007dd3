package planes

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const componentUsage = `usage: component [--dir DIR] stop|kill|start|pause|resume NAME COMPONENT
Does that to one process of a control plane: stop ends it, kill ends it at once (SIGKILL), start starts it again as it
was, pause and resume (SIGSTOP, SIGCONT) keep it and its connections, while nothing answers.`

// Component stops, starts, pauses or resumes one process; the result is the exit status.
func Component(args []string) int {
	flags := flag.NewFlagSet("component", flag.ContinueOnError)
	path := flags.String("dir", DefaultDirectory(), "state directory")
	flags.Usage = func() {
		say("%s", componentUsage)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 1
	}
	if flags.NArg() != 3 {
		flags.Usage()
		return 2
	}
	dir, err := openDirectory(*path)
	if err != nil {
		return fail("component", err)
	}
	defer dir.close()
	folder := filepath.Join(dir.path, flags.Arg(1))
	if err := actOn(&records{folder: folder}, flags.Arg(0), flags.Arg(2)); err != nil {
		return fail("component", fmt.Errorf("%s of %s: %w", flags.Arg(2), flags.Arg(1), err))
	}
	return 0
}

func actOn(all *records, action, component string) error {
	process, err := all.find(component)
	if err != nil {
		return err
	}
	switch action {
	case "stop":
		return process.stop()
	case "kill":
		if err := process.signal(syscall.SIGKILL); err != nil {
			return err
		}
		if !process.gone(grace) {
			return errors.New("does not end")
		}
		return nil
	case "pause":
		return process.signal(syscall.SIGSTOP)
	case "resume":
		return process.signal(syscall.SIGCONT)
	case "start":
		if process.alive() {
			return errors.New("runs already")
		}
		process, err := all.start(component, process.args)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := waitFor(ctx, process, func(ctx context.Context) error { return healthy(ctx, process) }); err != nil {
			say("%s", tail(all.folder, component, 15))
			return err
		}
		return nil
	}
	return fmt.Errorf("%q is no action; use stop, kill, start, pause or resume", action)
}

// find is the record of a component, whether it runs or not.
func (r *records) find(component string) (*process, error) {
	recorded, err := r.read()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, process := range recorded {
		if process.component == component {
			return process, nil
		}
		names = append(names, process.component)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no control plane runs in %s", r.folder)
	}
	return nil, fmt.Errorf("there is none; its components are %s", strings.Join(names, ", "))
}

// healthy asks a component's own health port. kwok has none that is switched on; it counts as healthy once it runs.
func healthy(ctx context.Context, p *process) error {
	switch p.component {
	case etcd:
		return get(ctx, plain, p.flag("--listen-client-urls")+"/readyz")
	case apiserver:
		// Without a client certificate these paths are open to everybody.
		return get(ctx, unverified, p.server()+"/readyz")
	case controllerManager, scheduler:
		return get(ctx, unverified, "https://127.0.0.1:"+p.flag("--secure-port")+"/healthz")
	}
	return nil
}

// server is the URL of an API server.
func (p *process) server() string {
	return "https://" + net.JoinHostPort(p.flag("--bind-address"), p.flag("--secure-port"))
}

// flag is the value of a flag on the command line that the process was started with.
func (p *process) flag(name string) string {
	for _, arg := range p.args {
		if value, found := strings.CutPrefix(arg, name+"="); found {
			return value
		}
	}
	return ""
}

const certificateUsage = `usage: certificate [--dir DIR] --plane NAME --user USER [--group GROUP]... [--out FILE]
Writes a kubeconfig for another user of a control plane: to FILE, or to standard output.`

// Certificate issues a client certificate as a kubeconfig; the result is the exit status.
func Certificate(args []string) int {
	flags := flag.NewFlagSet("certificate", flag.ContinueOnError)
	path := flags.String("dir", DefaultDirectory(), "state directory")
	name := flags.String("plane", "", "name of the control plane")
	user := flags.String("user", "", "the user, such as system:node:a")
	out := flags.String("out", "/dev/stdout", "file to write")
	var groups repeated
	flags.Var(&groups, "group", "a group of the user, such as system:nodes; may be repeated")
	flags.Usage = func() {
		say("%s", certificateUsage)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 1
	}
	if *name == "" || *user == "" || flags.NArg() > 0 {
		flags.Usage()
		return 2
	}
	if err := certify(filepath.Join(*path, *name), *name, *user, groups, *out); err != nil {
		return fail("certificate", err)
	}
	return 0
}

func certify(folder, name, user string, groups []string, out string) error {
	signer, err := loadAuthority(filepath.Join(folder, "pki"))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("no control plane %s runs: %w", name, err)
	}
	if err != nil {
		return err
	}
	server, err := (&records{folder: folder}).find(apiserver)
	if err != nil {
		return err
	}
	issued, err := signer.client(user, groups)
	if err != nil {
		return err
	}
	var config kubeconfig
	config.add(name, server.server(), signer.pem, issued)
	text, err := config.text()
	if err != nil {
		return err
	}
	return os.WriteFile(out, text, 0o600)
}
