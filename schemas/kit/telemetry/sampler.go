package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	sampleFirst  = 5           // warnings and errors of one message that an interval lets through
	sampleEvery  = time.Minute // the interval
	sampleLimit  = 1024        // messages that are told apart; more than a program has
	sampledLevel = slog.LevelWarn
)

// sampler lets the first few warnings and errors of each message through, each minute, and counts the rest: a database that
// is away for an hour must not bury what else happens. What was held back is counted in metrics, and said by the message's
// next record that gets through.
type sampler struct {
	next  slog.Handler
	state *samples
}

type samples struct {
	records    *prometheus.CounterVec // level
	suppressed prometheus.Counter

	mu   sync.Mutex
	seen map[string]*sample
}

type sample struct {
	begin    time.Time
	passed   int
	withheld int
}

func newSampler(next slog.Handler, r prometheus.Registerer) *sampler {
	s := &samples{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "dwiarah", Subsystem: "log", Name: "records_total",
			Help: "Log records, written or held back, by level."}, []string{"level"}),
		suppressed: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "dwiarah", Subsystem: "log", Name: "suppressed_total",
			Help: "Repeated warnings and errors that were held back."}),
		seen: map[string]*sample{},
	}
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		s.records.WithLabelValues(level.String())
	}
	r.MustRegister(s.records, s.suppressed) // on a registry of its own: only a mistake of this package can panic here
	return &sampler{next: next, state: s}
}

func (s *sampler) Enabled(ctx context.Context, level slog.Level) bool {
	return s.next.Enabled(ctx, level)
}

func (s *sampler) Handle(ctx context.Context, r slog.Record) error {
	s.state.records.WithLabelValues(r.Level.String()).Inc()
	if r.Level >= sampledLevel {
		withheld, pass := s.state.pass(r.Level.String()+r.Message, r.Time)
		if !pass {
			s.state.suppressed.Inc()
			return nil
		}
		if withheld > 0 {
			r = r.Clone()
			r.AddAttrs(slog.Int("repeats_withheld", withheld))
		}
	}
	return s.next.Handle(ctx, r)
}

func (s *sampler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &sampler{next: s.next.WithAttrs(attrs), state: s.state}
}

func (s *sampler) WithGroup(name string) slog.Handler {
	return &sampler{next: s.next.WithGroup(name), state: s.state}
}

// pass reports whether a record of the message may be written, and how many were held back before it.
func (s *samples) pass(key string, at time.Time) (withheld int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.seen[key]
	if m == nil {
		if len(s.seen) >= sampleLimit {
			return 0, true // messages that differ each time are not what sampling is for
		}
		m = &sample{begin: at}
		s.seen[key] = m
	}
	if at.Sub(m.begin) >= sampleEvery {
		withheld = m.withheld
		*m = sample{begin: at}
	}
	if m.passed == sampleFirst {
		m.withheld++
		return 0, false
	}
	m.passed++
	return withheld, true
}
