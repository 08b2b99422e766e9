package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/fleet"
	"github.com/dwiarah/dwiarah/schemas/clickhouse"
)

// Faults by the number that DELIVERY gives them.
const (
	kills     = "F1"  // kill -9 of ingest, enrich, sink
	points    = "F2"  // kill -9 at a crash point
	terms     = "F3"  // SIGTERM
	engines   = "F4"  // kill -9 of ClickHouse
	outages   = "F5"  // ClickHouse is away
	refusals  = "F6"  // ClickHouse refuses INSERTs, or is slow
	brokers   = "F7"  // kill -9 of the broker
	disks     = "F10" // a disk is full
	rebalance = "F16" // another sink joins and leaves
	views     = "F18" // a view is dropped and made again
	zombies   = "F19" // SIGSTOP for two sessions, then SIGCONT
	networks  = "F20" // a bad network to Kafka or ClickHouse
)

// Faults are what a run may be asked for.
func Faults() []string {
	return []string{kills, points, terms, engines, outages, refusals, brokers, disks, rebalance, views, zombies, networks}
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

// later is a part of a fault that follows its beginning, such as its end.
type later struct {
	after time.Duration
	do    func() error
}

// strike begins one fault, and returns what it was and what is to be done later about it. A fault that could not be done is "".
func (h *harness) strike(fault string) (what string, then []later, err error) {
	services := []*fleet.Process{h.ingest, h.enrich, h.sink}
	service := services[h.rng.IntN(len(services))]
	switch fault {
	case kills:
		service.Signal(syscall.SIGKILL)
		return "kill -9 " + service.Role.Name, nil, nil
	case points:
		names := crashPoints[service.Role.Name]
		point := fmt.Sprintf("%s:%d", names[h.rng.IntN(len(names))], 1+h.rng.IntN(4))
		service.DieAt(point)
		return "kill -9 " + service.Role.Name + " at " + point, nil, nil
	case terms:
		service.Signal(syscall.SIGTERM)
		return "SIGTERM " + service.Role.Name, nil, nil
	case engines:
		return "kill -9 ClickHouse", nil, h.engine.Kill()
	case outages:
		return h.takeAway()
	case refusals:
		h.front.bad.Store(true)
		return "refusals of ClickHouse", []later{{2*time.Second + h.some(8*time.Second), func() error { h.front.bad.Store(false); return nil }}}, nil
	case brokers:
		h.broker.Signal(syscall.SIGKILL)
		return "kill -9 broker", nil, nil
	case disks:
		return h.fillDisk()
	case rebalance:
		role := h.sink.Role
		role.Telemetry = "" // its port is the first one's
		other := fleet.New(role)
		other.Log += ".other"
		return "another sink", []later{{3*time.Second + h.some(5*time.Second), func() error { return other.Stop(stopPatience) }}}, other.Start()
	case views:
		return h.dropView()
	case zombies:
		service = services[1+h.rng.IntN(2)]
		service.Signal(syscall.SIGSTOP)
		return "SIGSTOP " + service.Role.Name, []later{{2*session + h.some(2*time.Second), func() error { service.Signal(syscall.SIGCONT); return nil }}}, nil
	case networks:
		l := []*link{h.toKafka, h.toClickHouse}[h.rng.IntN(2)]
		what, err := l.spoil(h.rng)
		return what, []later{{2*time.Second + h.some(8*time.Second), func() error { l.heal(h.ctx); return nil }}}, err
	}
	return "", nil, fmt.Errorf("fault %q is not known", fault)
}

// takeAway makes ClickHouse unreachable. What waits for it is lag, not memory: the sink may not grow in the second half of the time.
func (h *harness) takeAway() (string, []later, error) {
	if h.away {
		return "", nil, nil
	}
	h.away = true
	h.toClickHouse.cut()
	lasts := h.cfg.Away/2 + h.some(h.cfg.Away)
	var early fleet.Footprint
	pid := 0
	return fmt.Sprintf("ClickHouse away, for %.0f s", lasts.Seconds()), []later{
		{lasts / 2, func() error { pid, early = h.sink.PID(), h.footprint(h.sink); return nil }},
		{lasts, func() error {
			if late := h.footprint(h.sink); early.RSS > 0 && h.sink.PID() == pid && grew(early, late) { // another life is another size
				h.problem("the sink grew from %d to %d MB while ClickHouse was away", early.RSS>>20, late.RSS>>20)
			}
			h.away = false
			return h.toClickHouse.join()
		}},
	}, nil
}

// fillDisk lets no file of the broker, of ClickHouse or of ingest grow beyond a size, which may be 0.
func (h *harness) fillDisk() (string, []later, error) {
	whose := []struct {
		name string
		pid  int
	}{{"broker", h.broker.PID()}, {"ClickHouse", h.engine.PID()}, {"ingest", h.ingest.PID()}}[h.rng.IntN(3)]
	limit := max(0, h.rng.Int64N(2<<20)-1<<20) // every other one is none at all
	if fleet.LimitFiles(whose.pid, limit) != nil {
		return "", nil, nil // it has died meanwhile; who follows has no limit
	}
	return fmt.Sprintf("full disk of %s, files of %d bytes", whose.name, limit), []later{{2*time.Second + h.some(6*time.Second), func() error {
		_ = fleet.LimitFiles(whose.pid, -1) // likewise
		return nil
	}}}, nil
}

// shown are the views that are dropped: the bottom of all, one in the middle, metrics.
var shown = []string{"messages", "requests", "coverage", "metric_response_rate", "metric_wait", "metric_reply_share"}

// dropView drops a view, and has the migration make it again, as an operator would.
func (h *harness) dropView() (string, []later, error) {
	view := shown[h.rng.IntN(len(shown))]
	conn, err := h.database(databaseName)
	if err != nil {
		return "", nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(h.ctx, time.Second)
	defer cancel()
	if conn.Exec(ctx, "DROP VIEW IF EXISTS "+view) != nil {
		return "", nil, nil // ClickHouse is dead just now
	}
	return "view dropped, " + view, []later{{500*time.Millisecond + h.some(2*time.Second), func() error {
		h.mending.Go(func() {
			if err := h.makeViews(); err != nil {
				h.problem("%v", err)
			}
		})
		return nil
	}}}, nil
}

// makeViews brings back the views that are missing.
func (h *harness) makeViews() error {
	ctx, cancel := context.WithTimeout(h.ctx, stopPatience)
	defer cancel()
	for {
		conn, err := h.database(databaseName)
		if err != nil {
			return err
		}
		_, err = clickhouse.Migrate(ctx, conn)
		conn.Close()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("making the views again: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
