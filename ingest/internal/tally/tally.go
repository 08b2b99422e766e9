// Package tally counts what became of every message that ingest has read. The law: read = produced + dropped + dead-lettered.
package tally

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/schemas"
)

// Counts are messages by their fate. Only what Kafka has acknowledged counts as produced or dead-lettered.
type Counts struct {
	Read     int64                        `json:"read"`
	Produced int64                        `json:"produced"`
	Dropped  map[schemas.DropReason]int64 `json:"dropped,omitempty"`
	Dead     map[schemas.DeadReason]int64 `json:"dead,omitempty"`
	// Events is how many records the produced messages became: one for each institution concerned.
	Events int64 `json:"events"`
	// Orphans is how many of the produced messages have a parent that is not known.
	Orphans int64 `json:"orphans"`
	// Snapshots is how many sizes of accounts were produced beside.
	Snapshots int64 `json:"snapshots"`
}

// Add adds other.
func (c *Counts) Add(other Counts) {
	c.Read += other.Read
	c.Produced += other.Produced
	c.Events += other.Events
	c.Orphans += other.Orphans
	c.Snapshots += other.Snapshots
	for reason, n := range other.Dropped {
		c.Drop(reason, n)
	}
	for reason, n := range other.Dead {
		c.Kill(reason, n)
	}
}

// Drop counts n messages dropped.
func (c *Counts) Drop(reason schemas.DropReason, n int64) {
	if c.Dropped == nil {
		c.Dropped = map[schemas.DropReason]int64{}
	}
	c.Dropped[reason] += n
}

// Kill counts n messages dead-lettered.
func (c *Counts) Kill(reason schemas.DeadReason, n int64) {
	if c.Dead == nil {
		c.Dead = map[schemas.DeadReason]int64{}
	}
	c.Dead[reason] += n
}

// Clone returns a copy that shares nothing.
func (c Counts) Clone() Counts {
	c.Dropped, c.Dead = maps.Clone(c.Dropped), maps.Clone(c.Dead)
	return c
}

// DroppedTotal is the number of messages dropped, for whatever reason.
func (c Counts) DroppedTotal() int64 { return total(c.Dropped) }

// DeadTotal is the number of messages dead-lettered, for whatever reason.
func (c Counts) DeadTotal() int64 { return total(c.Dead) }

func total[K comparable](m map[K]int64) int64 {
	var sum int64
	for _, n := range m {
		sum += n
	}
	return sum
}

// Balanced tells that the law holds.
func (c Counts) Balanced() bool { return c.Read == c.Produced+c.DroppedTotal()+c.DeadTotal() }

// String writes the law with its numbers, and the reasons.
func (c Counts) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "read %d = produced %d + dropped %d + dead-lettered %d", c.Read, c.Produced, c.DroppedTotal(), c.DeadTotal())
	if !c.Balanced() {
		b.WriteString(" DOES NOT ADD UP")
	}
	for _, reason := range slices.Sorted(maps.Keys(c.Dropped)) {
		fmt.Fprintf(&b, "\n  dropped %s: %d", reason, c.Dropped[reason])
	}
	for _, reason := range slices.Sorted(maps.Keys(c.Dead)) {
		fmt.Fprintf(&b, "\n  dead-lettered %s: %d", reason, c.Dead[reason])
	}
	fmt.Fprintf(&b, "\n  records for institutions: %d; with an unknown parent: %d; account sizes: %d", c.Events, c.Orphans, c.Snapshots)
	return b.String()
}

// Metrics shows counts to Prometheus, by source: a connector's name.
type Metrics struct {
	read, produced, events, orphans *prometheus.CounterVec
	dropped, dead                   *prometheus.CounterVec
}

// NewMetrics registers the counters, or takes those that are registered already; a nil registerer gives metrics that nobody sees.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dwiarah_ingest_" + name, Help: help}, append([]string{"source"}, labels...))
		if registerer == nil {
			return v
		}
		var there prometheus.AlreadyRegisteredError
		if err := registerer.Register(v); errors.As(err, &there) {
			if known, ok := there.ExistingCollector.(*prometheus.CounterVec); ok {
				return known
			}
		}
		return v
	}
	return &Metrics{
		read:     counter("messages_read_total", "Messages read from a source, whatever became of them: the sum of produced, dropped and dead-lettered."),
		produced: counter("messages_produced_total", "Messages that Kafka has acknowledged, for at least one institution."),
		events:   counter("events_produced_total", "Records acknowledged: one for each message and institution concerned."),
		orphans:  counter("messages_orphaned_total", "Produced messages whose parent is not known."),
		dropped:  counter("messages_dropped_total", "Messages left out on purpose, by reason.", "reason"),
		dead:     counter("messages_dead_lettered_total", "Messages sent to the dead-letter topic, by reason.", "reason"),
	}
}

// Register makes every counter of a source exist, at 0.
func (m *Metrics) Register(source string) {
	m.Add(source, Counts{})
	for _, reason := range schemas.DropReasons() {
		m.dropped.WithLabelValues(source, string(reason))
	}
	for _, reason := range schemas.DeadReasons() {
		m.dead.WithLabelValues(source, string(reason))
	}
}

// Add adds counts of a source.
func (m *Metrics) Add(source string, c Counts) {
	m.read.WithLabelValues(source).Add(float64(c.Read))
	m.produced.WithLabelValues(source).Add(float64(c.Produced))
	m.events.WithLabelValues(source).Add(float64(c.Events))
	m.orphans.WithLabelValues(source).Add(float64(c.Orphans))
	for reason, n := range c.Dropped {
		m.dropped.WithLabelValues(source, string(reason)).Add(float64(n))
	}
	for reason, n := range c.Dead {
		m.dead.WithLabelValues(source, string(reason)).Add(float64(n))
	}
}
