package image

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// written makes an image of a small folder and returns its bytes, its digest and what the tar holds.
func written(t *testing.T, touch func(folder string)) ([]byte, string, map[string]string) {
	t.Helper()
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "data", "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"game": "binary", "data/b": "b", "data/deep/a": "a"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	touch(folder)
	made := Image{
		Files: []File{
			{Source: filepath.Join(folder, "data"), Destination: "/srv"},
			{Source: filepath.Join(folder, "game"), Destination: "/bin/game", Mode: 0o755},
		},
		Entrypoint: []string{"/bin/game"},
		Tags:       []string{"local/game:v1", "local/game:v2"},
	}
	var out bytes.Buffer
	digest, err := made.Write(&out)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), digest, contents(t, out.Bytes())
}

func contents(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		found[header.Name] = string(text)
	}
}

func TestSameFilesGiveTheSameBytes(t *testing.T) {
	first, digest, _ := written(t, func(string) {})
	second, _, _ := written(t, func(folder string) {
		// Neither the time nor the permissions of others are content.
		if err := os.Chmod(filepath.Join(folder, "data", "b"), 0o640); err != nil {
			t.Fatal(err)
		}
	})
	if !bytes.Equal(first, second) {
		t.Error("two images of the same files differ")
	}
	third, other, _ := written(t, func(folder string) {
		if err := os.WriteFile(filepath.Join(folder, "game"), []byte("another"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if bytes.Equal(first, third) || digest == other {
		t.Error("another file gives the same image")
	}
}

func TestImageIsLayoutAndArchive(t *testing.T) {
	_, digest, found := written(t, func(string) {})
	for _, name := range []string{"oci-layout", "index.json", "manifest.json", "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:")} {
		if _, there := found[name]; !there {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{"local/game:v1", "local/game:v2", "local/game@" + digest} {
		if !strings.Contains(found["index.json"], `"io.containerd.image.name":"`+name+`"`) {
			t.Errorf("%s is not a name of the image", name)
		}
	}
	layers := 0
	for name, text := range found {
		if strings.HasPrefix(name, "blobs/") && !strings.HasPrefix(text, "{") {
			layers++
			inside := contents(t, []byte(text))
			var names []string
			for name := range inside {
				names = append(names, name)
			}
			slices.Sort(names)
			if want := []string{"bin/", "bin/game", "srv/", "srv/b", "srv/deep/", "srv/deep/a"}; !slices.Equal(names, want) {
				t.Errorf("the layer holds %v, not %v", names, want)
			}
		}
	}
	if layers != 1 {
		t.Errorf("%d layers", layers)
	}
}

func TestBadArgumentsAreNamed(t *testing.T) {
	for want, args := range map[string][]string{
		"which file to write":             {"--tag", "a:b", "--file", "x:/x"},
		"at least one --file":             {"out.tar", "--tag", "a:b"},
		"at least one --tag":              {"out.tar", "--file", "x:/x"},
		`--tag "game" is not a name`:      {"out.tar", "--file", "x:/x", "--tag", "game"},
		"write SRC:/DEST":                 {"out.tar", "--file", "x", "--tag", "a:b"},
		`mode "rwx" is not octal`:         {"out.tar", "--file", "x:/x:rwx", "--tag", "a:b"},
		`"another.tar" is not understood`: {"out.tar", "--file", "x:/x", "--tag", "a:b", "another.tar"},
	} {
		if _, _, err := parse(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, not %q", args, err, want)
		}
	}
}
