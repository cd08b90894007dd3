package planes

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestNamesOfControlPlanes(t *testing.T) {
	for _, one := range []struct {
		args, names string
		refused     string
	}{
		{args: "1", names: "hub"},
		{args: "3", names: "hub member-1 member-2"},
		{args: "east west", names: "east west"},
		{args: "", refused: "how many"},
		{args: "0", refused: "0 control planes"},
		{args: "99", refused: "more than"},
		{args: "a a", refused: "named twice"},
		{args: "../x", refused: "cannot name"},
	} {
		names, err := planeNames(strings.Fields(one.args))
		if one.refused != "" {
			if err == nil || !strings.Contains(err.Error(), one.refused) {
				t.Errorf("%q: %v, not %q", one.args, err, one.refused)
			}
		} else if !slices.Equal(names, strings.Fields(one.names)) {
			t.Errorf("%q: %v", one.args, names)
		}
	}
}

func TestProcessIsFoundAgainAndEnded(t *testing.T) {
	all := &records{folder: t.TempDir()}
	started, err := all.start("sleep", []string{"sleep", "300"})
	if err != nil {
		t.Fatal(err)
	}
	found, err := (&records{folder: all.folder}).find("sleep")
	if err != nil {
		t.Fatal(err)
	}
	if !found.alive() || found.pid != started.pid {
		t.Fatal("the record does not lead to the process")
	}
	// A paused process ends, too.
	if err := found.signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := found.stop(); err != nil {
		t.Fatal(err)
	}
	if found.alive() || started.alive() {
		t.Error("the process runs on")
	}
}

func TestAnotherProcessUnderARecordedPidIsLeftAlone(t *testing.T) {
	all := &records{folder: t.TempDir()}
	other, err := all.start("sleep", []string{"sleep", "300"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.stop() }()
	for _, recorded := range []process{
		{component: "older", pid: other.pid, started: "1", args: other.args},
		{component: "otherwise", pid: other.pid, started: other.started, args: []string{"etcd"}},
	} {
		if recorded.alive() {
			t.Errorf("%s: taken for the recorded process", recorded.component)
		}
		if err := recorded.stop(); err != nil {
			t.Error(err)
		}
		if !other.alive() {
			t.Fatalf("%s: a process that was not started here was ended", recorded.component)
		}
	}
}

func TestStartingAgainReplacesTheRecord(t *testing.T) {
	all := &records{folder: t.TempDir()}
	for range 2 {
		p, err := all.start("sleep", []string{"sleep", "300"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = p.stop() }()
	}
	recorded, err := all.read()
	if err != nil {
		t.Fatal(err)
	}
	if len(recorded) != 1 || !recorded[0].alive() {
		t.Errorf("%d records", len(recorded))
	}
}

func TestPortsDifferAndAreFree(t *testing.T) {
	var pool portPool
	seen := make(map[int]bool)
	for range 50 {
		port, err := pool.take("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] || port < firstPort || port > lastPort {
			t.Errorf("port %d", port)
		}
		seen[port] = true
	}
}

func TestLockKeepsTwoFromOneDirectory(t *testing.T) {
	path := t.TempDir()
	first, err := openDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openDirectory(path); err == nil || !strings.Contains(err.Error(), "another up or down") {
		t.Errorf("a second one got in: %v", err)
	}
	first.close()
	second, err := openDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	second.close()
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
}
