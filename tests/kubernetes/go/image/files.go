package image

import (
	"archive/tar"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// File is a file, a link or a whole folder that goes into the image.
type File struct {
	// Source is a path on this machine.
	Source string
	// Destination is an absolute path in the image.
	Destination string
	// Mode replaces the permissions of a file; 0 keeps those of the source.
	Mode fs.FileMode
}

// ParseFile reads SRC:DEST or SRC:DEST:MODE, MODE in octal.
func ParseFile(text string) (File, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || !path.IsAbs(parts[1]) {
		return File{}, fmt.Errorf("--file %q: write SRC:/DEST or SRC:/DEST:MODE", text)
	}
	file := File{Source: parts[0], Destination: parts[1]}
	if len(parts) == 3 {
		mode, err := strconv.ParseUint(parts[2], 8, 12)
		if err != nil {
			return File{}, fmt.Errorf("--file %q: mode %q is not octal, such as 0755", text, parts[2])
		}
		file.Mode = fs.FileMode(mode)
	}
	return file, nil
}

// entry is one line of the layer.
type entry struct {
	path, source, link string
	kind               byte
	mode               fs.FileMode
}

// expand lists what the files come to, folders with what is in them and the folders above, sorted by path: a tar must
// name a folder before what it holds, and the order must not depend on the file system.
func expand(files []File) ([]entry, error) {
	found := make(map[string]entry)
	for _, file := range files {
		err := filepath.WalkDir(file.Source, func(source string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			inside, err := filepath.Rel(file.Source, source)
			if err != nil {
				return err
			}
			name := strings.TrimPrefix(path.Join(file.Destination, filepath.ToSlash(inside)), "/")
			if name == "" {
				return nil // The root itself is nothing to add.
			}
			added, err := describe(source, name, file, inside == ".")
			if err != nil {
				return err
			}
			found[added.path] = added
			for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
				if _, known := found[parent+"/"]; !known {
					found[parent+"/"] = entry{path: parent + "/", kind: tar.TypeDir, mode: 0o755}
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	entries := make([]entry, 0, len(found))
	for _, one := range found {
		entries = append(entries, one)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].path < entries[j].path })
	return entries, nil
}

func describe(source, name string, file File, named bool) (entry, error) {
	status := os.Lstat
	if named {
		// What the command line names is followed: libraries are often named by a link.
		status = os.Stat
	}
	info, err := status(source)
	if err != nil {
		return entry{}, err
	}
	one := entry{path: name, source: source, kind: tar.TypeReg, mode: permissions(info.Mode())}
	if file.Mode != 0 && !info.IsDir() {
		one.mode = file.Mode
	}
	switch {
	case info.IsDir():
		one.kind, one.path = tar.TypeDir, name+"/"
	case info.Mode()&fs.ModeSymlink != 0:
		one.kind, one.mode = tar.TypeSymlink, 0o777
		one.link, err = os.Readlink(source)
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is neither file, folder nor link", source)
	}
	return one, err
}

// permissions are read and execute for all alike: they would otherwise depend on the umask of whoever made the file.
func permissions(mode fs.FileMode) fs.FileMode {
	if mode.IsDir() || mode&0o100 != 0 {
		return 0o755
	}
	return 0o644
}
