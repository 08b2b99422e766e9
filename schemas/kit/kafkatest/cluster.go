package kafkatest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/dwiarah/dwiarah/schemas/kit/freeport"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// clusterSize is what keeps a majority, and two in-sync replicas, when one is away.
const clusterSize = 3

// Cluster is a real Kafka of three brokers: every topic has three replicas, two of which have to acknowledge.
type Cluster struct {
	Conn    kafka.Conn
	brokers []*Broker
}

// StartCluster starts a cluster for this test alone; the test is skipped where there is no real Kafka.
func StartCluster(tb testing.TB) *Cluster {
	tb.Helper()
	if os.Getenv(JarsVariable) == "" {
		tb.Skip(JarsVariable + " is not set: a cluster is of real Kafka (make test-kafka)")
	}
	c := &Cluster{Conn: kafka.Conn{ClientID: "test"}}
	var voters []string
	for n := range clusterSize {
		b := &Broker{dir: tb.TempDir(), node: n + 1}
		var err error
		if b.addr, err = freeport.Loopback(); err != nil {
			tb.Fatal(err)
		}
		if b.control, err = freeport.Loopback(); err != nil {
			tb.Fatal(err)
		}
		voters = append(voters, fmt.Sprintf("%d@%s", b.node, b.control))
		c.brokers = append(c.brokers, b)
		c.Conn.Brokers = append(c.Conn.Brokers, b.addr)
	}
	tb.Cleanup(func() {
		for _, b := range c.brokers {
			if err := b.stop(syscall.SIGKILL); err != nil {
				tb.Errorf("stopping broker %d: %v", b.node, err)
			}
		}
	})
	errs := make([]error, clusterSize)
	var starting sync.WaitGroup
	for n, b := range c.brokers { // none answers before two are there
		b.voters = strings.Join(voters, ",")
		starting.Go(func() { errs[n] = b.start() })
	}
	starting.Wait()
	if err := errors.Join(errs...); err != nil {
		tb.Fatalf("starting a cluster: %v", err)
	}
	return c
}

// Size is the number of brokers.
func (c *Cluster) Size() int { return len(c.brokers) }

// Kill kills the n-th broker: its leaders and its groups move to the others.
func (c *Cluster) Kill(tb testing.TB, n int) {
	tb.Helper()
	if err := c.brokers[n].stop(syscall.SIGKILL); err != nil {
		tb.Fatalf("killing broker %d: %v", n, err)
	}
}

// Start starts the n-th broker again.
func (c *Cluster) Start(tb testing.TB, n int) {
	tb.Helper()
	if err := c.brokers[n].start(); err != nil {
		tb.Fatalf("starting broker %d again: %v", n, err)
	}
}
