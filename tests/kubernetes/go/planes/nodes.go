package planes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
)

// fakeNode marks the nodes that kwok is to play the kubelet of; others (real ones) it leaves alone.
const fakeNode = "kwok.x-k8s.io/node"

// startNodes adds fake nodes and the kwok that plays their kubelets, and waits until all are Ready.
func (p *plane) startNodes(ctx context.Context, o *options, api *http.Client) error {
	process, err := p.records.start(kwok, []string{
		o.kwokProgram,
		"--kubeconfig=" + p.file("kwok.kubeconfig"), "--config=" + o.kwokStages,
		"--manage-nodes-with-annotation-selector=" + fakeNode + "=fake",
		"--node-lease-duration-seconds=40", "--cidr=10.64.0.0/12", "--node-ip=127.0.0.1",
		"--node-port=0", "--v=WARN",
	})
	if err != nil {
		return err
	}
	if err := p.createNodes(ctx, o.nodes, api); err != nil {
		return err
	}
	return waitFor(ctx, process, func(ctx context.Context) error {
		text, err := request(ctx, api, http.MethodGet, p.server+"/api/v1/nodes?resourceVersion=0", nil)
		if err != nil {
			return err
		}
		ready, err := readyNodes(text)
		if err == nil && ready < o.nodes {
			err = fmt.Errorf("%d of %d nodes are Ready", ready, o.nodes)
		}
		return err
	})
}

func (p *plane) createNodes(ctx context.Context, nodes int, api *http.Client) error {
	const atOnce = 8
	numbers := make(chan int)
	var workers sync.WaitGroup
	results := make([]error, atOnce)
	for worker := range atOnce {
		workers.Go(func() {
			for number := range numbers {
				if results[worker] == nil {
					_, results[worker] = request(ctx, api, http.MethodPost, p.server+"/api/v1/nodes", node(p.name, number))
				}
			}
		})
	}
	for number := range nodes {
		numbers <- number
	}
	close(numbers)
	workers.Wait()
	return errors.Join(results...)
}

// node is large enough that only its number of pods is ever the limit. Name, address and zone are those that the
// sandbox's simulated nodes have, so that tests read alike on both.
func node(plane string, number int) map[string]any {
	name := fmt.Sprintf("%s-node-%d", plane, number)
	room := map[string]string{"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110"}
	address := fmt.Sprintf("192.168.%d.%d", (number+10)/256, (number+10)%256)
	return map[string]any{
		"apiVersion": "v1", "kind": "Node",
		"metadata": map[string]any{
			"name":        name,
			"annotations": map[string]string{fakeNode: "fake"},
			"labels": map[string]string{
				"kubernetes.io/hostname":        name,
				"kubernetes.io/os":              "linux",
				"kubernetes.io/arch":            "amd64",
				"topology.kubernetes.io/zone":   plane + "-" + []string{"a", "b", "c"}[number%3],
				"topology.kubernetes.io/region": plane,
			},
		},
		"status": map[string]any{
			"allocatable": room, "capacity": room,
			"addresses": []map[string]string{
				{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name},
			},
		},
	}
}

func readyNodes(list []byte) (int, error) {
	var nodes struct {
		Items []struct {
			Status struct {
				Conditions []struct{ Type, Status string }
			}
		}
	}
	if err := json.Unmarshal(list, &nodes); err != nil {
		return 0, err
	}
	ready := 0
	for _, node := range nodes.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == "Ready" && condition.Status == "True" {
				ready++
			}
		}
	}
	return ready, nil
}
