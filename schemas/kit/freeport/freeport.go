// Package freeport finds addresses for processes that have to be told where to listen and cannot choose themselves.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

const (
	// lowest and highest port. The system takes the ports of outgoing connections from above (Linux from 32768, others from 49152): one of those may be gone before the process
	// listens that was told of it.
	lowest, highest = 10_000, 32_000
	tries           = 100
)

// given are the ports that this process was told, so that it is told none twice.
var given sync.Map

// Loopback returns a host:port of 127.0.0.1 where nobody listens.
func Loopback() (string, error) { return On("127.0.0.1") }

// On returns a host:port of a host of this machine where nobody listens, and which nobody who asks for any port is given.
func On(host string) (string, error) {
	var last error
	for range tries {
		port := lowest + rand.IntN(highest-lowest)
		if _, twice := given.LoadOrStore(port, true); twice {
			continue
		}
		addr := net.JoinHostPort(host, strconv.Itoa(port))
		l, err := net.Listen("tcp", addr)
		if err == nil {
			err = l.Close()
		}
		if err == nil {
			return addr, nil
		}
		last = err
	}
	return "", fmt.Errorf("looking for a free port of %s from %d to %d: %w", host, lowest, highest, errors.Join(last, errors.New("none of a hundred is free")))
}
