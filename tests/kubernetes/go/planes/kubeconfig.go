package planes

import (
	"encoding/base64"
	"encoding/json"
)

// A kubeconfig is written as JSON, which every reader of YAML reads.
type kubeconfig struct {
	APIVersion     string         `json:"apiVersion"`
	Kind           string         `json:"kind"`
	CurrentContext string         `json:"current-context"`
	Clusters       []namedCluster `json:"clusters"`
	Users          []namedUser    `json:"users"`
	Contexts       []namedContext `json:"contexts"`
}

type namedCluster struct {
	Name    string `json:"name"`
	Cluster struct {
		Server    string `json:"server"`
		Authority string `json:"certificate-authority-data"`
	} `json:"cluster"`
}

type namedUser struct {
	Name string `json:"name"`
	User struct {
		Certificate string `json:"client-certificate-data"`
		Key         string `json:"client-key-data"`
	} `json:"user"`
}

type namedContext struct {
	Name    string `json:"name"`
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
}

// add appends a context and makes the first one current. Everything of it goes by the same name.
func (k *kubeconfig) add(name, server string, authority []byte, user pair) {
	var cluster namedCluster
	cluster.Name = name
	cluster.Cluster.Server = server
	cluster.Cluster.Authority = base64.StdEncoding.EncodeToString(authority)
	var who namedUser
	who.Name = name
	who.User.Certificate = base64.StdEncoding.EncodeToString(user.certificate)
	who.User.Key = base64.StdEncoding.EncodeToString(user.key)
	var context namedContext
	context.Name = name
	context.Context.Cluster, context.Context.User = name, name
	k.Clusters = append(k.Clusters, cluster)
	k.Users = append(k.Users, who)
	k.Contexts = append(k.Contexts, context)
	if k.CurrentContext == "" {
		k.CurrentContext = name
	}
}

func (k *kubeconfig) text() ([]byte, error) {
	k.APIVersion, k.Kind = "v1", "Config"
	text, err := json.MarshalIndent(k, "", "  ")
	return append(text, '\n'), err
}

func (k *kubeconfig) write(path string) error {
	text, err := k.text()
	if err != nil {
		return err
	}
	return replaceFile(path, text, 0o600)
}

// writeKubeconfigs gives each component an identity of its own, as in a real cluster: RBAC then holds for them too, and
// the audit log tells them apart.
func (p *plane) writeKubeconfigs() error {
	for file, who := range map[string]struct {
		user   string
		groups []string
	}{
		"controller-manager.kubeconfig": {"system:kube-controller-manager", nil},
		"scheduler.kubeconfig":          {"system:kube-scheduler", nil},
		"kwok.kubeconfig":               {"muster:kwok", []string{"system:masters"}},
	} {
		user, err := p.authority.client(who.user, who.groups)
		if err != nil {
			return err
		}
		if err := p.writeKubeconfig(p.file(file), user); err != nil {
			return err
		}
	}
	return p.writeKubeconfig(p.file("kubeconfig"), p.admin)
}

func (p *plane) writeKubeconfig(path string, user pair) error {
	var config kubeconfig
	config.add(p.name, p.server, p.authority.pem, user)
	return config.write(path)
}
