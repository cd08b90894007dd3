package planes

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// options are what the command line of up says.
type options struct {
	dir            string
	audit          bool
	nodes          int
	kwokProgram    string
	kwokStages     string
	address        string
	timeout        time.Duration
	apiserverFlags repeated
	managerFlags   repeated
	names          []string
	program        string
	ports          portPool
}

// repeated collects the values of a flag that may be given several times.
type repeated []string

func (r *repeated) String() string { return strings.Join(*r, " ") }

func (r *repeated) Set(value string) error {
	*r = append(*r, value)
	return nil
}

// mostPlanes bounds what a typing error can start; each takes 300 MiB.
const mostPlanes = 16

var planeName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$`)

const upUsage = `usage: up [flags] N|NAME...
Starts control planes side by side: N of them (hub, member-1, member-2 ...), or one for each name.`

func parseUp(args []string) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.StringVar(&o.dir, "dir", DefaultDirectory(), "state directory")
	flags.BoolVar(&o.audit, "audit", false, "write NAME/audit.log")
	flags.IntVar(&o.nodes, "kwok", 0, "fake nodes of each control plane")
	flags.StringVar(&o.kwokProgram, "kwok-program", "", "the program kwok")
	flags.StringVar(&o.kwokStages, "kwok-stages", "", "kwok's configuration: how fake nodes and their pods behave")
	flags.StringVar(&o.address, "address", "127.0.0.1", "address of this machine at which the API servers listen")
	flags.DurationVar(&o.timeout, "timeout", 6*time.Minute, "how long all may take to be healthy")
	flags.Var(&o.apiserverFlags, "apiserver-flag", "a further flag for kube-apiserver, such as --runtime-config=api/all=true; may be repeated")
	flags.Var(&o.managerFlags, "controller-manager-flag", "the same for kube-controller-manager")
	flags.Usage = func() {
		say("%s", upUsage)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	var err error
	if o.names, err = planeNames(flags.Args()); err != nil {
		return nil, err
	}
	if net.ParseIP(o.address) == nil {
		return nil, fmt.Errorf("--address %s is not an IP address", o.address)
	}
	if o.nodes < 0 || o.nodes > 5000 {
		return nil, fmt.Errorf("--kwok %d: between 0 and 5000 nodes are possible", o.nodes)
	}
	if o.nodes > 0 {
		for name, path := range map[string]*string{"--kwok-program": &o.kwokProgram, "--kwok-stages": &o.kwokStages} {
			if *path == "" {
				return nil, fmt.Errorf("--kwok needs %s", name)
			}
			if *path, err = filepath.Abs(*path); err != nil {
				return nil, err
			}
		}
	}
	if o.program, err = os.Executable(); err != nil {
		return nil, err
	}
	return o, nil
}

// planeNames reads "3" as hub, member-1, member-2, and anything else as names.
func planeNames(args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, errors.New("say how many control planes, or their names")
	}
	names := args
	if count, err := strconv.Atoi(args[0]); err == nil && len(args) == 1 {
		if count < 1 {
			return nil, fmt.Errorf("%d control planes cannot be started", count)
		}
		names = []string{"hub"}
		for number := 1; number < count; number++ {
			names = append(names, fmt.Sprintf("member-%d", number))
		}
	}
	if len(names) > mostPlanes {
		return nil, fmt.Errorf("%d control planes are more than the %d that are allowed", len(names), mostPlanes)
	}
	seen := make(map[string]bool)
	for _, name := range names {
		if !planeName.MatchString(name) {
			return nil, fmt.Errorf("%q cannot name a control plane: use lower case letters, digits and '-'", name)
		}
		if seen[name] {
			return nil, fmt.Errorf("%q is named twice", name)
		}
		seen[name] = true
	}
	return names, nil
}

// Up starts control planes; the result is the exit status.
func Up(args []string) int {
	o, err := parseUp(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return fail("up", err)
	}
	dir, err := openDirectory(o.dir)
	if err != nil {
		return fail("up", err)
	}
	defer dir.close()
	if err := refuseIfRunning(dir); err != nil {
		return fail("up", err)
	}

	interrupted, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeout(interrupted, o.timeout)
	defer cancel()
	started := time.Now()
	planes, err := startAll(ctx, dir, o)
	if err != nil {
		// From here on a second Ctrl-C must not leave processes behind: it stays caught.
		if interrupted.Err() != nil {
			err = errors.New("interrupted")
		} else {
			showLog(err)
		}
		say("up: %v; ending what was started", err)
		if err := stopAll(planes); err != nil {
			return fail("up", err)
		}
		return 1
	}
	say("%s: healthy after %.1f s", strings.Join(o.names, ", "), time.Since(started).Seconds())
	fmt.Println(dir.kubeconfig())
	return 0
}

// refuseIfRunning keeps a running set from being overwritten. What is recorded but dead is no hindrance.
func refuseIfRunning(dir *directory) error {
	planes, err := dir.planes()
	if err != nil {
		return err
	}
	var running []string
	for _, plane := range planes {
		alive, err := plane.running()
		if err != nil {
			return err
		}
		if len(alive) > 0 {
			running = append(running, plane.name)
		}
	}
	if len(running) > 0 {
		return fmt.Errorf("control planes of %s already run: %s; end them with `down --dir %s`, or give another --dir",
			dir.path, strings.Join(running, ", "), dir.path)
	}
	// Otherwise `down` would count a set that is long over as part of this one.
	for _, plane := range planes {
		if err := plane.clean(); err != nil {
			return err
		}
	}
	return nil
}

// planeError says which control plane did not start.
type planeError struct {
	plane *plane
	cause error
}

func (e *planeError) Error() string { return e.plane.name + ": " + e.cause.Error() }
func (e *planeError) Unwrap() error { return e.cause }

// startAll starts all at once. It returns the control planes even when it fails, for they are then to be ended.
func startAll(ctx context.Context, dir *directory, o *options) ([]*plane, error) {
	// When one fails, the others need not go on.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	planes := make([]*plane, len(o.names))
	for i, name := range o.names {
		planes[i] = &plane{name: name, folder: filepath.Join(dir.path, name)}
		all.Go(func() {
			if err := planes[i].start(ctx, o); err != nil {
				cancel(&planeError{planes[i], err})
			}
		})
	}
	all.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return planes, cause
	}
	var config kubeconfig
	for _, plane := range planes {
		config.add(plane.name, plane.server, plane.authority.pem, plane.admin)
	}
	return planes, config.write(dir.kubeconfig())
}

// showLog prints the end of the log of the component that did not start.
func showLog(err error) {
	var where *planeError
	var what *startError
	if errors.As(err, &where) && errors.As(err, &what) {
		say("--- %s", logFile(where.plane.folder, what.component))
		say("%s", tail(where.plane.folder, what.component, 15))
		say("---")
	}
}

// stopAll ends control planes and removes what they leave but for the logs.
func stopAll(planes []*plane) error {
	var all sync.WaitGroup
	results := make([]error, len(planes))
	for i, plane := range planes {
		all.Go(func() {
			if _, err := os.Stat(plane.folder); errors.Is(err, os.ErrNotExist) {
				return
			}
			// What could not be ended keeps its record, so that `down` can try again.
			if results[i] = plane.stop(); results[i] == nil {
				results[i] = plane.clean()
			}
		})
	}
	all.Wait()
	return errors.Join(results...)
}
