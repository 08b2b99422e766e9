package chaos

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/fleet"
)

// Faults by the number that DELIVERY gives them.
const (
	kills     = "F1"  // kill -9 of ingest, enrich, sink
	points    = "F2"  // kill -9 at a crash point
	terms     = "F3"  // SIGTERM
	engines   = "F4"  // kill -9 of ClickHouse
	brokers   = "F7"  // kill -9 of the broker
	rebalance = "F16" // another sink joins and leaves
	zombies   = "F19" // SIGSTOP for two sessions, then SIGCONT
	networks  = "F20" // a bad network to Kafka or ClickHouse
)

// Faults are what a run may be asked for.
func Faults() []string {
	return []string{kills, points, terms, engines, brokers, rebalance, zombies, networks}
}

// parseFaults reads a list as F1,F4, or all, or none.
func parseFaults(list string) ([]string, error) {
	switch list {
	case "all":
		return Faults(), nil
	case "none":
		return nil, nil
	}
	chosen := strings.Split(list, ",")
	for _, f := range chosen {
		if !slices.Contains(Faults(), f) {
			return nil, fmt.Errorf("fault %q is not allowed: all, none, or of %s", f, strings.Join(Faults(), ", "))
		}
	}
	return chosen, nil
}

// crashPoints by the process that passes them.
var crashPoints = map[string][]string{
	fleet.Ingest: {"ingest.import.after_ack", "ingest.import.after_position", "producer.after_ack"},
	fleet.Enrich: {"enrich.before_produce", "enrich.after_produce", "producer.after_ack", "consumer.before_commit", "consumer.after_commit"},
	fleet.Sink:   {"sink.before_insert", "sink.after_insert", "consumer.before_commit", "consumer.after_commit"},
}

// session is how long a group waits for a silent member.
const session = 6 * time.Second

// strike does one fault, and returns what it was and how long it lasts until it is undone.
func (h *harness) strike(fault string) (what string, lasts time.Duration, undo func() error, err error) {
	services := []*fleet.Process{h.ingest, h.enrich, h.sink}
	service := services[h.rng.IntN(len(services))]
	switch fault {
	case kills:
		service.Signal(syscall.SIGKILL)
		return "kill -9 " + service.Role.Name, 0, nil, nil
	case points:
		names := crashPoints[service.Role.Name]
		point := fmt.Sprintf("%s:%d", names[h.rng.IntN(len(names))], 1+h.rng.IntN(4))
		service.DieAt(point)
		return "kill -9 " + service.Role.Name + " at " + point, 0, nil, nil
	case terms:
		service.Signal(syscall.SIGTERM)
		return "SIGTERM " + service.Role.Name, 0, nil, nil
	case engines:
		return "kill -9 ClickHouse", 0, nil, h.engine.Kill()
	case brokers:
		h.broker.Signal(syscall.SIGKILL)
		return "kill -9 broker", 0, nil, nil
	case rebalance:
		other := fleet.New(h.sink.Role)
		other.Log += ".other"
		return "another sink", 3*time.Second + h.some(5*time.Second), func() error { return other.Stop(stopPatience) }, other.Start()
	case zombies:
		service = services[1+h.rng.IntN(2)]
		service.Signal(syscall.SIGSTOP)
		return "SIGSTOP " + service.Role.Name, 2*session + h.some(2*time.Second), func() error { service.Signal(syscall.SIGCONT); return nil }, nil
	case networks:
		l := []*link{h.toKafka, h.toClickHouse}[h.rng.IntN(2)]
		what, err := l.spoil(h.rng)
		return what, 2*time.Second + h.some(8*time.Second), func() error { l.heal(h.ctx); return nil }, err
	}
	return "", 0, nil, fmt.Errorf("fault %q is not known", fault)
}
