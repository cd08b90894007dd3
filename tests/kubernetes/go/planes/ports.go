package planes

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are taken at random below the range that Linux gives to outgoing connections (from 32768), so that none of those
// can take one between the look and the use. Two `up`s at once rarely choose the same; when they do, one of them sees
// "address already in use" and starts that control plane anew with others.
const (
	firstPort = 20000
	lastPort  = 31999
)

type portPool struct {
	mutex sync.Mutex
	taken map[int]bool
}

// take finds a port that nobody listens on, at that address or on all of them.
func (p *portPool) take(address string) (int, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.taken == nil {
		p.taken = make(map[int]bool)
	}
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if p.taken[port] {
			continue
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		listener.Close()
		p.taken[port] = true
		return port, nil
	}
	return 0, fmt.Errorf("no free port between %d and %d at %s", firstPort, lastPort, address)
}
