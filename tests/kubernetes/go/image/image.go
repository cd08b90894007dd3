// Package image makes a container image of files, without a daemon, a base image or a registry.
//
// The result is one tar that is an OCI layout (what `ctr images import` reads) and a docker archive (what `docker load`
// and `kind load image-archive` read) at once. It is reproducible: the same files, names and settings give the same
// bytes, hence the same digest.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// Media types and annotations of the OCI image specification, and the annotation by which containerd names an image.
const (
	layerType     = "application/vnd.oci.image.layer.v1.tar"
	configType    = "application/vnd.oci.image.config.v1+json"
	manifestType  = "application/vnd.oci.image.manifest.v1+json"
	indexType     = "application/vnd.oci.image.index.v1+json"
	refAnnotation = "org.opencontainers.image.ref.name"
	nameInRuntime = "io.containerd.image.name"
)

// Image is what to make.
type Image struct {
	Files      []File
	Entrypoint []string
	Command    []string
	Env        []string
	User       string
	WorkingDir string
	Labels     map[string]string
	// Names with tags; several name the same content.
	Tags []string
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type config struct {
	Architecture string          `json:"architecture"`
	OS           string          `json:"os"`
	Created      string          `json:"created"`
	Config       containerConfig `json:"config"`
	RootFS       rootFS          `json:"rootfs"`
}

type containerConfig struct {
	User       string            `json:"User,omitempty"`
	Env        []string          `json:"Env,omitempty"`
	Entrypoint []string          `json:"Entrypoint,omitempty"`
	Cmd        []string          `json:"Cmd,omitempty"`
	WorkingDir string            `json:"WorkingDir,omitempty"`
	Labels     map[string]string `json:"Labels,omitempty"`
}

type rootFS struct {
	Type  string   `json:"type"`
	Diffs []string `json:"diff_ids"`
}

type manifest struct {
	Version   int          `json:"schemaVersion"`
	MediaType string       `json:"mediaType"`
	Config    descriptor   `json:"config"`
	Layers    []descriptor `json:"layers"`
}

type index struct {
	Version   int          `json:"schemaVersion"`
	MediaType string       `json:"mediaType"`
	Manifests []descriptor `json:"manifests"`
}

// dockerEntry is one image in manifest.json of a docker archive.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// Write makes the tar and returns the digest of the image, by which `name@digest` refers to it.
func (i *Image) Write(out io.Writer) (string, error) {
	archive := tar.NewWriter(out)
	content, err := layer(i.Files)
	if err != nil {
		return "", err
	}
	layerBlob, err := addBlob(archive, layerType, content)
	if err != nil {
		return "", err
	}
	configBlob, err := addJSON(archive, configType, config{
		Architecture: runtime.GOARCH,
		OS:           "linux",
		// A fixed time, or no two builds were alike.
		Created: time.Unix(0, 0).UTC().Format(time.RFC3339),
		Config:  containerConfig{i.User, i.Env, i.Entrypoint, i.Command, i.WorkingDir, i.Labels},
		// An uncompressed layer is its own difference.
		RootFS: rootFS{"layers", []string{layerBlob.Digest}},
	})
	if err != nil {
		return "", err
	}
	manifestBlob, err := addJSON(archive, manifestType, manifest{2, manifestType, configBlob, []descriptor{layerBlob}})
	if err != nil {
		return "", err
	}

	listed := index{Version: 2, MediaType: indexType}
	for _, name := range i.names(manifestBlob.Digest) {
		named := manifestBlob
		named.Annotations = map[string]string{nameInRuntime: name, refAnnotation: name[strings.LastIndex(name, ":")+1:]}
		listed.Manifests = append(listed.Manifests, named)
	}
	docker := []dockerEntry{{Config: blobPath(configBlob), RepoTags: i.Tags, Layers: []string{blobPath(layerBlob)}}}
	for _, file := range []struct {
		name  string
		value any
	}{
		{"index.json", listed},
		{"manifest.json", docker},
		{"oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"}},
	} {
		text, err := json.Marshal(file.value)
		if err != nil {
			return "", err
		}
		if err := addFile(archive, file.name, text); err != nil {
			return "", err
		}
	}
	return manifestBlob.Digest, archive.Close()
}

// names are the tags, and each repository once with the digest: the kubelet reports an image by the latter, and the
// runtime knows it only by a name that was imported.
func (i *Image) names(digest string) []string {
	names := append([]string(nil), i.Tags...)
	seen := make(map[string]bool)
	for _, tag := range i.Tags {
		repository := tag[:strings.LastIndex(tag, ":")]
		if !seen[repository] {
			seen[repository] = true
			names = append(names, repository+"@"+digest)
		}
	}
	return names
}

func addJSON(archive *tar.Writer, mediaType string, value any) (descriptor, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return descriptor{}, err
	}
	return addBlob(archive, mediaType, text)
}

func addBlob(archive *tar.Writer, mediaType string, content []byte) (descriptor, error) {
	sum := sha256.Sum256(content)
	blob := descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: len(content)}
	return blob, addFile(archive, blobPath(blob), content)
}

func blobPath(blob descriptor) string {
	return "blobs/" + strings.Replace(blob.Digest, ":", "/", 1)
}

func addFile(archive *tar.Writer, name string, content []byte) error {
	header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := archive.Write(content)
	return err
}

// layer is the tar of the image's one layer.
func layer(files []File) ([]byte, error) {
	entries, err := expand(files)
	if err != nil {
		return nil, err
	}
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	for _, entry := range entries {
		header := &tar.Header{
			Name: entry.path, Mode: int64(entry.mode), ModTime: time.Unix(0, 0), Typeflag: entry.kind, Linkname: entry.link,
			Format: tar.FormatPAX,
		}
		var content []byte
		if entry.kind == tar.TypeReg {
			if content, err = os.ReadFile(entry.source); err != nil {
				return nil, err
			}
			header.Size = int64(len(content))
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("%s: %w", entry.path, err)
		}
		if _, err := archive.Write(content); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}
