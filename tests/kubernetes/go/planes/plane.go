package planes

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// Names of the components.
const (
	kwok              = "kwok"
	scheduler         = "kube-scheduler"
	controllerManager = "kube-controller-manager"
	apiserver         = "kube-apiserver"
	etcd              = "etcd"
)

// plane is one control plane and its folder.
type plane struct {
	name   string
	folder string
	// server is the URL of its API server, once it has one.
	server string
	// admin is the certificate of the kubeconfig that people and tests get.
	admin     pair
	authority *authority
	records   *records
}

// prepare makes the folder, the keys and the certificates.
func (p *plane) prepare(o *options) error {
	// What an earlier set under this name left is in the way: its data was for other certificates and ports.
	if err := os.RemoveAll(p.folder); err != nil {
		return err
	}
	pki := p.file("pki")
	if err := os.MkdirAll(pki, 0o755); err != nil {
		return err
	}
	p.records = &records{folder: p.folder}
	var err error
	if p.authority, err = newAuthority(pki, "muster-test-"+p.name); err != nil {
		return err
	}
	serving, err := p.authority.server("kube-apiserver", []string{
		o.address, "127.0.0.1", serviceAddress, "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local",
	})
	if err != nil {
		return err
	}
	if p.admin, err = p.authority.client("admin", []string{"system:masters"}); err != nil {
		return err
	}
	return errors.Join(
		serving.write(pki, "apiserver"),
		p.admin.write(pki, "admin"),
		writeTokenKey(filepath.Join(pki, "service-account.key")),
		os.WriteFile(p.file("audit-policy.yaml"), []byte(auditPolicy), 0o644),
	)
}

func (p *plane) file(name string) string {
	return filepath.Join(p.folder, name)
}

// Services get addresses of this range; the first is that of the service `kubernetes`.
const (
	serviceRange   = "10.96.0.0/16"
	serviceAddress = "10.96.0.1"
)

// auditPolicy records every request of everybody but the reads of the control plane's own components, which no test
// counts, once it is answered. Metadata is enough for counting: user, user agent, verb, object, sub-resource, code.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - level: None
    users: ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "muster:kwok"]
    verbs: [get, list, watch]
  - level: None
    nonResourceURLs: ["/healthz*", "/livez*", "/readyz*"]
  - level: Metadata
`

// start brings the control plane up and returns when it is healthy. When one of its ports was taken by somebody else in
// the meantime it tries again with others.
func (p *plane) start(ctx context.Context, o *options) error {
	const attempts = 3
	for attempt := 1; ; attempt++ {
		err := p.startOnce(ctx, o)
		var failed *startError
		if err == nil || attempt == attempts || !errors.As(err, &failed) ||
			!strings.Contains(tail(p.folder, failed.component, 20), "address already in use") {
			return err
		}
		say("%s: a port was taken by another process; trying others", p.name)
		if err := p.stop(); err != nil {
			return err
		}
	}
}

func (p *plane) startOnce(ctx context.Context, o *options) error {
	if err := p.prepare(o); err != nil {
		return err
	}
	ports := make([]int, 5)
	for i := range ports {
		// Only the API server's port is the first's business; the others stay on loopback.
		address := "127.0.0.1"
		if i == 0 {
			address = o.address
		}
		var err error
		if ports[i], err = o.ports.take(address); err != nil {
			return err
		}
	}
	p.server = "https://" + net.JoinHostPort(o.address, strconv.Itoa(ports[0]))
	store := fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	if err := p.writeKubeconfigs(); err != nil {
		return err
	}

	// The API server finds its store when it is there: starting both at once saves a second.
	etcdProcess, err := p.records.start(etcd, p.etcdArgs(o, store, ports[2]))
	if err != nil {
		return err
	}
	apiProcess, err := p.records.start(apiserver, p.apiserverArgs(o, store, ports[0]))
	if err != nil {
		return err
	}
	api, err := p.client()
	if err != nil {
		return err
	}
	if err := waitFor(ctx, etcdProcess, func(ctx context.Context) error { return get(ctx, plain, store+"/readyz") }); err != nil {
		return err
	}
	if err := waitFor(ctx, apiProcess, func(ctx context.Context) error { return get(ctx, api, p.server+"/readyz") }); err != nil {
		return err
	}

	controllers, err := p.records.start(controllerManager, p.controllerManagerArgs(o, ports[3]))
	if err != nil {
		return err
	}
	scheduling, err := p.records.start(scheduler, p.schedulerArgs(o, ports[4]))
	if err != nil {
		return err
	}
	for process, port := range map[*process]int{controllers: ports[3], scheduling: ports[4]} {
		health := fmt.Sprintf("https://127.0.0.1:%d/healthz", port)
		if err := waitFor(ctx, process, func(ctx context.Context) error { return get(ctx, unverified, health) }); err != nil {
			return err
		}
	}
	// Pods need it, and it is the controller manager's to make.
	account := p.server + "/api/v1/namespaces/default/serviceaccounts/default"
	if err := waitFor(ctx, controllers, func(ctx context.Context) error { return get(ctx, api, account) }); err != nil {
		return err
	}
	if o.nodes > 0 {
		return p.startNodes(ctx, o, api)
	}
	return nil
}

func (p *plane) etcdArgs(o *options, store string, peerPort int) []string {
	peer := fmt.Sprintf("http://127.0.0.1:%d", peerPort)
	return []string{
		o.program, etcd,
		"--name=" + p.name, "--data-dir=" + p.file("etcd"),
		"--listen-client-urls=" + store, "--advertise-client-urls=" + store,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=" + p.name + "=" + peer,
		// Nothing here outlives the machine, and syncing to disk is most of what a write costs.
		"--unsafe-no-fsync", "--log-level=warn",
		"--auto-compaction-mode=periodic", "--auto-compaction-retention=5m",
	}
}

func (p *plane) apiserverArgs(o *options, store string, port int) []string {
	args := []string{
		o.program, apiserver,
		"--bind-address=" + o.address, "--secure-port=" + strconv.Itoa(port),
		"--etcd-servers=" + store, "--storage-media-type=application/vnd.kubernetes.protobuf",
		"--tls-cert-file=" + p.file("pki/apiserver.crt"), "--tls-private-key-file=" + p.file("pki/apiserver.key"),
		"--client-ca-file=" + p.file("pki/ca.crt"),
		"--kubelet-client-certificate=" + p.file("pki/admin.crt"), "--kubelet-client-key=" + p.file("pki/admin.key"),
		"--kubelet-preferred-address-types=InternalIP,Hostname",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-signing-key-file=" + p.file("pki/service-account.key"),
		"--service-account-key-file=" + p.file("pki/service-account.key"),
		"--service-cluster-ip-range=" + serviceRange,
		"--authorization-mode=Node,RBAC", "--allow-privileged=true",
		"--enable-admission-plugins=NodeRestriction",
		"--event-ttl=15m",
	}
	if net.ParseIP(o.address).IsLoopback() {
		// A loopback address cannot be an endpoint of the service `kubernetes`; without this the server complains each
		// ten seconds. Pods that are to reach it need --address.
		args = append(args, "--endpoint-reconciler-type=none")
	}
	if o.audit {
		args = append(args,
			"--audit-policy-file="+p.file("audit-policy.yaml"), "--audit-log-path="+p.file("audit.log"),
			// Blocking: when a request is answered its event is in the file, so that a test can count at once.
			"--audit-log-format=json", "--audit-log-mode=blocking", "--audit-log-maxsize=2000",
		)
	}
	return append(args, o.apiserverFlags...)
}

func (p *plane) controllerManagerArgs(o *options, port int) []string {
	return append([]string{
		o.program, controllerManager,
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port), "--cert-dir=" + p.file("pki/"+controllerManager),
		"--kubeconfig=" + p.file("controller-manager.kubeconfig"),
		"--leader-elect=false",
		"--root-ca-file=" + p.file("pki/ca.crt"),
		"--service-account-private-key-file=" + p.file("pki/service-account.key"),
		"--cluster-signing-cert-file=" + p.file("pki/ca.crt"), "--cluster-signing-key-file=" + p.file("pki/ca.key"),
		"--use-service-account-credentials=true",
		// At the default of 20 requests a second, thousands of pods take minutes to be created.
		"--kube-api-qps=500", "--kube-api-burst=1000",
	}, o.managerFlags...)
}

func (p *plane) schedulerArgs(o *options, port int) []string {
	return []string{
		o.program, scheduler,
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port), "--cert-dir=" + p.file("pki/"+scheduler),
		"--kubeconfig=" + p.file("scheduler.kubeconfig"),
		"--leader-elect=false", "--kube-api-qps=500", "--kube-api-burst=1000",
	}
}

// stop ends what of the control plane runs, in order.
func (p *plane) stop() error {
	running, err := (&records{folder: p.folder}).read()
	if err != nil {
		return err
	}
	// All that only use the API server may end at the same time.
	var clients sync.WaitGroup
	results := make([]error, len(running))
	for i, process := range running {
		if process.component != apiserver && process.component != etcd {
			clients.Go(func() { results[i] = process.stop() })
		}
	}
	clients.Wait()
	for _, component := range []string{apiserver, etcd} {
		for _, process := range running {
			if process.component == component {
				results = append(results, process.stop())
			}
		}
	}
	return errors.Join(results...)
}

// clean removes what a control plane that ended leaves, except its logs: somebody may want to know why a test failed.
// They go when the next set of that name starts.
func (p *plane) clean() error {
	left, err := os.ReadDir(p.folder)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range left {
		if !strings.HasSuffix(entry.Name(), ".log") {
			errs = append(errs, os.RemoveAll(p.file(entry.Name())))
		}
	}
	return errors.Join(errs...)
}

// running lists the processes that are alive.
func (p *plane) running() ([]*process, error) {
	recorded, err := (&records{folder: p.folder}).read()
	if err != nil {
		return nil, err
	}
	var alive []*process
	for _, process := range recorded {
		if process.alive() {
			alive = append(alive, process)
		}
	}
	return alive, nil
}

// writeTokenKey makes the key that service account tokens are signed with.
func writeTokenKey(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}
