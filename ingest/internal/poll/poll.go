// Package poll runs the live sources: on schedule or by their push, each by itself, with the position saved only after Kafka has acknowledged what lies before
// it, known messages read again, and the coverage ledger telling how far each source is complete and why it is not.
package poll

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/robfig/cron/v3"

	"github.com/dwiarah/dwiarah/ingest/internal/identity"
	"github.com/dwiarah/dwiarah/ingest/internal/recheck"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/tally"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// Feed is a source on its schedule.
type Feed struct {
	Source source.Source
	// Institutions that it reads for: one, or, of a source that reads for all accounts of its platform, all that have one; then each message is given to those that it
	// concerns.
	Institutions []*institutions.Institution
	Wide         bool
	Account      string // its name in views; empty for a wide source
	Platform     string
	Schedule     cron.Schedule
	// Book of its known messages, and how many of them are read again after one poll at most.
	Book           *recheck.Book
	RecheckPerPoll int
	// Known finds a message of the platform that any source knows; nil where none does.
	Known func(messageID string) (source.Known, bool)
}

// Config configures a Poller. The fields from Metrics on may be zero.
type Config struct {
	Feeds     []Feed
	Converter *identity.Converter
	Producer  *kafka.Producer
	StateDir  string
	Log       *slog.Logger
	Now       func() time.Time
	Metrics   prometheus.Registerer
	// Progress is told of every poll that ended, and of every sign of life of a stream, by connector.
	Progress func(connector string)
	// Jitter spreads the polls of many sources; each waits a random part of it first, and of a tenth of its schedule's interval at most.
	Jitter time.Duration
	// Finish is how long a page that was read may take to become durable once the end was asked for; 0 means 8 s.
	Finish time.Duration
}

// Poller runs feeds.
type Poller struct {
	cfg     Config
	tally   *tally.Metrics
	metrics metrics
	gates   map[string]*gate // of shared budgets, by name
	lives   map[string]*life // by connector
}

// life is what a feed's parts tell each other.
type life struct {
	// turn is held by a poll or by the stream: they share the position.
	turn sync.Mutex
	// recheck is held by a re-read.
	recheck sync.Mutex

	mu sync.Mutex
	// begun is when the source was first read for, until up to when it is complete.
	begun, until time.Time
	// seen is when it last became more complete, noted when a gap was last written.
	seen, noted time.Time
	// streaming: the source's push is followed.
	streaming bool
}

type metrics struct {
	polls, gaps, rechecks, streams *prometheus.CounterVec
	complete, streaming, known     *prometheus.GaugeVec
	budget                         *prometheus.GaugeVec
}

// Gaps are the reasons of a gap, a closed set.
func gaps() []string {
	return []string{schemas.GapOutage, schemas.GapLimit, schemas.GapClamp, schemas.GapBudget, schemas.GapAuth}
}

func states() []source.State {
	return []source.State{source.Present, source.Missing, source.Deleted, source.Hidden, source.Unknown}
}

// New returns a poller that has started nothing.
func New(cfg Config) *Poller {
	if cfg.Finish == 0 {
		cfg.Finish = defaultFinish
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dwiarah_ingest_" + name, Help: help}, append([]string{"source"}, labels...))
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dwiarah_ingest_" + name, Help: help}, append([]string{"source"}, labels...))
	}
	p := &Poller{cfg: cfg, tally: tally.NewMetrics(cfg.Metrics), gates: map[string]*gate{}, lives: map[string]*life{}}
	p.metrics = metrics{
		polls:     counter("polls_total", "Polls that ended, by source and result.", "result"),
		gaps:      counter("gaps_total", "Polls and streams that left a gap, by source and reason.", "reason"),
		rechecks:  counter("rechecks_total", "Known messages that were read again, by source and finding.", "finding"),
		streams:   counter("streams_total", "Streams that ended, by source and result.", "result"),
		complete:  gauge("complete_until_seconds", "Up to when a source is known complete, Unix time."),
		streaming: gauge("streaming", "1 while a source's push is followed, 0 while it is polled."),
		known:     gauge("known_messages", "Messages that are kept for their re-read."),
		budget:    gauge("budget_left", "What is left of a source's budgets, in their unit; money in millionths of a dollar.", "budget"),
	}
	if cfg.Metrics != nil {
		m := p.metrics
		cfg.Metrics.MustRegister(m.polls, m.gaps, m.rechecks, m.streams, m.complete, m.streaming, m.known, m.budget)
	}
	for _, f := range cfg.Feeds {
		name := f.Source.Connector()
		p.lives[name] = &life{}
		if s, ok := f.Source.(source.Shared); ok && s.SharedBudget() != "" && p.gates[s.SharedBudget()] == nil {
			p.gates[s.SharedBudget()] = &gate{}
		}
		p.tally.Register(name)
		for _, result := range []string{"complete", "gap", "stopped"} {
			p.metrics.polls.WithLabelValues(name, result)
		}
		for _, reason := range gaps() {
			p.metrics.gaps.WithLabelValues(name, reason)
		}
		if _, ok := f.Source.(source.Rechecker); ok {
			for _, s := range states() {
				p.metrics.rechecks.WithLabelValues(name, string(s))
			}
		}
	}
	return p
}

// Run polls on schedule and follows streams until ctx ends, each source once at the start. It returns when the last poll has ended: nil, or the error of our
// own state.
func (p *Poller) Run(ctx context.Context) error {
	// A position that cannot be read or written is ours to mend: it ends everything, loudly, and where it can be before anything is polled.
	for _, f := range p.cfg.Feeds {
		if _, err := p.load(f); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var failures struct {
		sync.Mutex
		errs []error
	}
	run := func(err error) {
		if err != nil {
			failures.Lock()
			failures.errs = append(failures.errs, err)
			failures.Unlock()
			stop()
		}
	}
	var streams sync.WaitGroup
	c := cron.New(cron.WithLocation(time.UTC), cron.WithLogger(cronLogger{p.cfg.Log}), cron.WithChain(cron.SkipIfStillRunning(cronLogger{p.cfg.Log})))
	for _, f := range p.cfg.Feeds {
		c.Schedule(&startNow{then: f.Schedule}, cron.FuncJob(func() {
			if p.wait(ctx, f.Schedule) {
				run(p.Tick(ctx, f))
			}
		}))
		if s, ok := f.Source.(source.Streamer); ok {
			streams.Go(func() { run(p.follow(ctx, f, s)) })
		}
	}
	c.Start()
	run(p.watch(ctx))
	<-ctx.Done()
	<-c.Stop().Done()
	streams.Wait()
	return errors.Join(failures.errs...)
}

// Tick is what is due on schedule: a poll, unless the stream is followed or begins at this moment, and then the re-reads.
func (p *Poller) Tick(ctx context.Context, f Feed) error {
	if l := p.lives[f.Source.Connector()]; l.turn.TryLock() {
		err := p.poll(ctx, f)
		l.turn.Unlock()
		if err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return p.recheck(ctx, f)
}

// startNow is a schedule that is due at once, and then as the other.
type startNow struct {
	then  cron.Schedule
	begun bool
}

// Next is called by cron's one goroutine.
func (s *startNow) Next(now time.Time) time.Time {
	if !s.begun {
		s.begun = true
		return now
	}
	return s.then.Next(now)
}

// jitterShare is the part of the time between two polls that the jitter takes at most.
const jitterShare = 10

// wait waits a random part of the jitter; false when ctx ended.
func (p *Poller) wait(ctx context.Context, schedule cron.Schedule) bool {
	next := schedule.Next(p.cfg.Now())
	most := min(p.cfg.Jitter, schedule.Next(next).Sub(next)/jitterShare)
	if most <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(rand.N(most))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// ParseSchedule reads cron's five fields or a descriptor such as @every 1m.
func ParseSchedule(spec string) (cron.Schedule, error) {
	s, err := cron.ParseStandard(spec)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// cronLogger keeps cron quiet but for what went wrong.
type cronLogger struct{ log *slog.Logger }

func (l cronLogger) Info(msg string, keysAndValues ...any) {
	if strings.HasPrefix(msg, "skip") {
		l.log.Info("poll skipped: the one before still runs", keysAndValues...)
	}
}

func (l cronLogger) Error(err error, msg string, keysAndValues ...any) {
	l.log.Error(msg, append([]any{"error", err}, keysAndValues...)...)
}
