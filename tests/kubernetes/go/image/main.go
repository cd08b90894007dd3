package image

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
)

const usage = `usage: image OUT.tar --tag NAME... --file SRC:DEST[:MODE]... [--entry ARG]... [flags]
Makes a container image of files: one tar for ctr images import, docker load and kind load image-archive. Prints the
image's digest. SRC may be a folder.`

// A tag must be given: without one a runtime assumes "latest", and kubelets then always pull.
var tagged = regexp.MustCompile(`^[a-z0-9][a-z0-9._/:-]*:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

type repeated []string

func (r *repeated) String() string { return strings.Join(*r, " ") }

func (r *repeated) Set(value string) error {
	*r = append(*r, value)
	return nil
}

// Main is the command `image`; the result is the exit status.
func Main(args []string) int {
	made, out, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = write(made, out)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		return 1
	}
	return 0
}

func parse(args []string) (*Image, string, error) {
	made := &Image{Labels: map[string]string{}}
	var files, labels repeated
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.Var(&files, "file", "SRC:DEST or SRC:DEST:MODE; may be repeated")
	flags.Var((*repeated)(&made.Tags), "tag", "name with tag; may be repeated")
	flags.Var((*repeated)(&made.Entrypoint), "entry", "one word of the entry point; may be repeated")
	flags.Var((*repeated)(&made.Command), "arg", "one default argument; may be repeated")
	flags.Var((*repeated)(&made.Env), "env", "NAME=VALUE; may be repeated")
	flags.Var(&labels, "label", "NAME=VALUE; may be repeated")
	flags.StringVar(&made.User, "user", "", "user and group, such as 65532:65532")
	flags.StringVar(&made.WorkingDir, "workdir", "", "working folder")
	flags.Usage = func() {
		fmt.Fprintln(os.Stderr, usage)
		flags.PrintDefaults()
	}
	// The file may come before the flags, where it reads best.
	out := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		out, args = args[0], args[1:]
	}
	if err := flags.Parse(args); err != nil {
		return nil, "", err
	}
	rest := flags.Args()
	if out == "" && len(rest) > 0 {
		out, rest = rest[0], rest[1:]
	}
	switch {
	case out == "":
		return nil, "", errors.New("say which file to write, such as game.tar")
	case len(rest) > 0:
		return nil, "", fmt.Errorf("%q is not understood", rest[0])
	case len(files) == 0:
		return nil, "", errors.New("an image needs at least one --file")
	case len(made.Tags) == 0:
		return nil, "", errors.New("an image needs at least one --tag, such as example.com/game:v1")
	}
	for _, tag := range made.Tags {
		if !tagged.MatchString(tag) {
			return nil, "", fmt.Errorf("--tag %q is not a name with a tag, such as example.com/game:v1", tag)
		}
	}
	for _, text := range files {
		file, err := ParseFile(text)
		if err != nil {
			return nil, "", err
		}
		made.Files = append(made.Files, file)
	}
	for _, label := range labels {
		name, value, found := strings.Cut(label, "=")
		if !found {
			return nil, "", fmt.Errorf("--label %q: write NAME=VALUE", label)
		}
		made.Labels[name] = value
	}
	return made, out, nil
}

// write writes the tar whole or not at all.
func write(made *Image, out string) error {
	partial := out + ".new"
	file, err := os.Create(partial)
	if err != nil {
		return err
	}
	digest, err := made.Write(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(partial))
	}
	if err := os.Rename(partial, out); err != nil {
		return err
	}
	fmt.Println(digest)
	return nil
}
