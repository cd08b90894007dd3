package planes

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// grace is how long a process may take to end before it is killed.
const grace = 10 * time.Second

// process is one started component. A pid alone does not name a process, since pids are reused: the start time (ticks
// since boot, field 22 of /proc/PID/stat) and the command line belong to it.
type process struct {
	component string
	pid       int
	started   string
	args      []string
	// ended is closed when a process that this program started is over; nil for one that another run started.
	ended chan struct{}
}

// start runs a component in its own session, so that Ctrl-C in the terminal reaches only this program, which then ends
// its components in order.
func start(folder, component string, args []string) (*process, error) {
	log, err := os.OpenFile(logFile(folder, component), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.Command(args[0], args[1:]...)
	command.Dir = folder
	// HOME: kwok and kubectl look for configuration there, and nothing of the user's may take part.
	command.Env = append(os.Environ(), "HOME="+folder)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("%s cannot be started: %w", component, err)
	}
	p := &process{component: component, pid: command.Process.Pid, args: args, ended: make(chan struct{})}
	p.started = startTime(p.pid)
	go func() {
		_ = command.Wait()
		close(p.ended)
	}()
	return p, nil
}

func logFile(folder, component string) string {
	return filepath.Join(folder, component+".log")
}

// alive says whether this very process still runs; a zombie does not.
func (p *process) alive() bool {
	if p.ended != nil {
		select {
		case <-p.ended:
			return false
		default:
		}
	}
	if p.started == "" || startTime(p.pid) != p.started {
		return false
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
	return err == nil && string(line) == strings.Join(p.args, "\x00")+"\x00"
}

// signal reaches the process only if it is the one that was started.
func (p *process) signal(signal syscall.Signal) error {
	if !p.alive() {
		return fmt.Errorf("%s (pid %d) does not run", p.component, p.pid)
	}
	return syscall.Kill(p.pid, signal)
}

// stop asks the process to end, and kills it when it has not within the grace. A paused process is woken for it.
func (p *process) stop() error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return nil // It is over already.
	}
	_ = p.signal(syscall.SIGCONT)
	if p.gone(grace) {
		return nil
	}
	say("%s (pid %d) did not end within %s and is killed", p.component, p.pid, grace)
	_ = p.signal(syscall.SIGKILL)
	if !p.gone(grace) {
		return fmt.Errorf("%s (pid %d) cannot be killed", p.component, p.pid)
	}
	return nil
}

func (p *process) gone(within time.Duration) bool {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if !p.alive() {
			return true
		}
	}
	return false
}

// startTime is field 22 of /proc/PID/stat, or "" for no such process and for a zombie.
func startTime(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The second field is the program's name in parentheses and may hold anything; what follows the last one is plain.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const state, started = 0, 19
	if len(fields) <= started || fields[state] == "Z" || fields[state] == "X" {
		return ""
	}
	return fields[started]
}

// records is the file of a control plane's processes. It is written before anything waits for a process, so that no
// process is ever without a record.
type records struct {
	folder string
	mutex  sync.Mutex
}

func (r *records) read() ([]*process, error) {
	file, err := os.Open(filepath.Join(r.folder, "pids"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var found []*process
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 {
			continue
		}
		pid, err := strconv.Atoi(fields[1])
		if err != nil {
			continue
		}
		args, err := readArgs(r.folder, fields[0])
		if err != nil {
			return nil, err
		}
		found = append(found, &process{component: fields[0], pid: pid, started: fields[2], args: args})
	}
	return found, nil
}

// start starts a component and records it in place of what was recorded under its name.
func (r *records) start(component string, args []string) (*process, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if err := os.WriteFile(argsFile(r.folder, component), []byte(strings.Join(args, "\n")+"\n"), 0o644); err != nil {
		return nil, err
	}
	others, err := r.read()
	if err != nil {
		return nil, err
	}
	p, err := start(r.folder, component, args)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	for _, other := range others {
		if other.component != component {
			fmt.Fprintf(&text, "%s %d %s\n", other.component, other.pid, other.started)
		}
	}
	fmt.Fprintf(&text, "%s %d %s\n", component, p.pid, p.started)
	if err := replaceFile(filepath.Join(r.folder, "pids"), []byte(text.String()), 0o644); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

func argsFile(folder, component string) string {
	return filepath.Join(folder, component+".args")
}

func readArgs(folder, component string) ([]string, error) {
	text, err := os.ReadFile(argsFile(folder, component))
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), nil
}

// replaceFile writes a file so that a reader sees the old or the new content, never a part.
func replaceFile(path string, content []byte, mode os.FileMode) error {
	if err := os.WriteFile(path+".new", content, mode); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// waitFor polls until the probe succeeds. It ends early when the process does, because it will never be healthy then.
func waitFor(ctx context.Context, p *process, probe func(context.Context) error) error {
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := probe(try)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return &startError{p.component, fmt.Errorf("not healthy in time: %w", err)}
		case <-p.ended:
			return &startError{p.component, errors.New("ended")}
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// startError names the component whose log tells what went wrong.
type startError struct {
	component string
	cause     error
}

func (e *startError) Error() string { return e.component + ": " + e.cause.Error() }
func (e *startError) Unwrap() error { return e.cause }

// tail is the end of a component's log.
func tail(folder, component string, lines int) string {
	text, err := os.ReadFile(logFile(folder, component))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
