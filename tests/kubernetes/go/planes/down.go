package planes

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

// Down ends exactly what up started in a directory; the result is the exit status.
func Down(args []string) int {
	flags := flag.NewFlagSet("down", flag.ContinueOnError)
	path := flags.String("dir", DefaultDirectory(), "state directory")
	flags.Usage = func() {
		say("usage: down [--dir DIR]\nEnds what up started there. Logs stay until the next up.")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 1
	}
	if flags.NArg() > 0 {
		return fail("down", fmt.Errorf("%q is not understood; down ends all control planes of its directory", flags.Arg(0)))
	}
	if _, err := os.Stat(*path); errors.Is(err, os.ErrNotExist) {
		say("nothing runs in %s", *path)
		return 0
	}
	dir, err := openDirectory(*path)
	if err != nil {
		return fail("down", err)
	}
	defer dir.close()
	planes, err := dir.planes()
	if err != nil {
		return fail("down", err)
	}
	if len(planes) == 0 {
		say("nothing runs in %s", dir.path)
		return 0
	}
	if err := errors.Join(stopAll(planes), removeIfThere(dir.kubeconfig())); err != nil {
		return fail("down", err)
	}
	names := make([]string, len(planes))
	for i, plane := range planes {
		names[i] = plane.name
	}
	say("ended %s", strings.Join(names, ", "))
	return 0
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
