package planes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"syscall"
)

// DefaultDirectory is where state lives when --dir is not given.
func DefaultDirectory() string {
	return filepath.Join(os.TempDir(), "muster-kubernetes")
}

// directory is the state of one `up`.
type directory struct {
	path string
	lock *os.File
}

// openDirectory makes the directory and takes its lock, so that an up and a down of the same one follow each other.
func openDirectory(path string) (*directory, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(absolute, 0o755); err != nil {
		return nil, fmt.Errorf("the state directory cannot be made: %w", err)
	}
	// Inherited by no child: Go opens files close-on-exec.
	lock, err := os.OpenFile(filepath.Join(absolute, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another up or down is at work in %s; wait for it, or give another --dir", absolute)
		}
		return nil, err
	}
	return &directory{path: absolute, lock: lock}, nil
}

func (d *directory) close() {
	d.lock.Close()
}

func (d *directory) kubeconfig() string {
	return filepath.Join(d.path, "kubeconfig")
}

// planes lists the control planes that have left something here, running or not, by name.
func (d *directory) planes() ([]*plane, error) {
	found, err := filepath.Glob(filepath.Join(d.path, "*", "pids"))
	if err != nil {
		return nil, err
	}
	sort.Strings(found)
	var planes []*plane
	for _, file := range found {
		folder := filepath.Dir(file)
		planes = append(planes, &plane{name: filepath.Base(folder), folder: folder})
	}
	return planes, nil
}
