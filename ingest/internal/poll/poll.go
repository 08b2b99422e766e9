// Package poll runs the live sources: on schedule, each by itself, with the position saved only after Kafka has acknowledged what lies before it, and
// with the coverage ledger telling how far each source is complete and why it is not.
package poll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/robfig/cron/v3"

	"github.com/dwiarah/dwiarah/ingest/internal/identity"
	"github.com/dwiarah/dwiarah/ingest/internal/record"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/state"
	"github.com/dwiarah/dwiarah/ingest/internal/tally"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/crashpoint"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// Position is what is kept of a source between polls.
type Position struct {
	Connector string `json:"connector"`
	Account   string `json:"account"`
	// Cursor is the source's own.
	Cursor json.RawMessage `json:"cursor,omitempty"`
	// Since and Until bound the stretch that is known complete.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// PolledAt is when the last poll ended, and Error what ended it early; empty when nothing did.
	PolledAt time.Time `json:"polled_at,omitzero"`
	Error    string    `json:"error,omitempty"`
}

// Feed is a source on its schedule.
type Feed struct {
	Source      source.Source
	Institution *institutions.Institution
	Account     string // its name in views
	Platform    string
	Schedule    cron.Schedule
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
	// Progress is told of every poll that ended, by connector.
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
}

type metrics struct {
	polls    *prometheus.CounterVec
	gaps     *prometheus.CounterVec
	complete *prometheus.GaugeVec
}

// Gaps are the reasons of a gap, a closed set.
func gaps() []string {
	return []string{schemas.GapOutage, schemas.GapLimit, schemas.GapClamp, schemas.GapBudget, schemas.GapAuth}
}

// New returns a poller that has started nothing.
func New(cfg Config) *Poller {
	if cfg.Finish == 0 {
		cfg.Finish = defaultFinish
	}
	p := &Poller{cfg: cfg, tally: tally.NewMetrics(cfg.Metrics)}
	p.metrics = metrics{
		polls:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dwiarah_ingest_polls_total", Help: "Polls that ended, by source and result."}, []string{"source", "result"}),
		gaps:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dwiarah_ingest_gaps_total", Help: "Polls that left a gap, by source and reason."}, []string{"source", "reason"}),
		complete: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dwiarah_ingest_complete_until_seconds", Help: "Up to when a source is known complete, Unix time."}, []string{"source"}),
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(p.metrics.polls, p.metrics.gaps, p.metrics.complete)
	}
	for _, f := range cfg.Feeds {
		name := f.Source.Connector()
		p.tally.Register(name)
		for _, result := range []string{"complete", "gap", "stopped"} {
			p.metrics.polls.WithLabelValues(name, result)
		}
		for _, reason := range gaps() {
			p.metrics.gaps.WithLabelValues(name, reason)
		}
	}
	return p
}

// Run polls on schedule until ctx ends, each source once at the start. It returns when the last poll has ended: nil, or the error of our own state.
func (p *Poller) Run(ctx context.Context) error {
	// A position that cannot be read or written is ours to mend: it ends everything, loudly, and where it can be before anything is polled.
	for _, f := range p.cfg.Feeds {
		if _, err := stateFile(p.cfg.StateDir, f.Source.Connector()).Load(&Position{}); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, len(p.cfg.Feeds))
	c := cron.New(cron.WithLocation(time.UTC), cron.WithLogger(cronLogger{p.cfg.Log}), cron.WithChain(cron.SkipIfStillRunning(cronLogger{p.cfg.Log})))
	for _, f := range p.cfg.Feeds {
		c.Schedule(&startNow{then: f.Schedule}, cron.FuncJob(func() {
			if !p.wait(ctx, f.Schedule) {
				return
			}
			if err := p.Poll(ctx, f); err != nil {
				select {
				case failed <- err:
				default: // as many as there are feeds are enough
				}
				stop()
			}
		}))
	}
	c.Start()
	<-ctx.Done()
	<-c.Stop().Done()
	close(failed)
	var errs []error
	for err := range failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
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

// ownError is a failure of our own: of the state, or of Kafka.
type ownError struct{ error }

func (e ownError) Unwrap() error { return e.error }

// Poll polls one feed once. What the platform does wrong is logged, counted and written to the ledger as a gap; the error is of our own state.
func (p *Poller) Poll(ctx context.Context, f Feed) error {
	file := stateFile(p.cfg.StateDir, f.Source.Connector())
	pos := Position{Connector: f.Source.Connector(), Account: f.Account}
	if _, err := file.Load(&pos); err != nil {
		return err
	}
	t := &turn{Poller: p, feed: f, file: file, pos: pos}
	err := f.Source.Poll(ctx, pos.Cursor, t.emit)
	return t.end(ctx, err)
}

// Backfill reads a range of one feed again.
func (p *Poller) Backfill(ctx context.Context, f Feed, since, until time.Time) (tally.Counts, error) {
	t := &turn{Poller: p, feed: f, pos: Position{Connector: f.Source.Connector(), Account: f.Account}, backfill: true}
	err := f.Source.Backfill(ctx, since, until, t.emit)
	return t.counts, err
}

// turn is one poll or backfill of one feed.
type turn struct {
	*Poller
	feed     Feed
	file     state.File
	pos      Position
	counts   tally.Counts
	backfill bool // has no position
}

const defaultFinish = 8 * time.Second

// emit makes a page durable: first its records, acknowledged, and only then the position behind it.
func (t *turn) emit(ctx context.Context, page source.Page) error {
	ctx, done := t.finish(ctx)
	defer done()
	records, counts, err := t.records(page)
	if err != nil {
		return ownError{err}
	}
	if err := t.cfg.Producer.Produce(ctx, records...); err != nil {
		return ownError{err}
	}
	crashpoint.Hit("ingest.poll.after_ack")
	t.counts.Add(counts)
	t.tally.Add(t.pos.Connector, counts)
	if t.backfill {
		return nil
	}
	if page.Cursor != nil {
		t.pos.Cursor = page.Cursor
	}
	t.advance(page)
	if err := t.file.Save(t.pos); err != nil {
		return ownError{err}
	}
	crashpoint.Hit("ingest.poll.after_position")
	return nil
}

// finish gives what has begun a while after ctx ended.
func (p *Poller) finish(ctx context.Context) (context.Context, func()) {
	detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(p.cfg.Finish, cancel) })
	return detached, func() { stop(); cancel() }
}

// stretch is what is complete after a page. The cursor goes on from where the stretch ended, so it grows; it begins anew only after a hole.
func (t *turn) stretch(page source.Page) (since, until time.Time) {
	since, until = page.CompleteSince, page.CompleteUntil
	if t.backfill || t.pos.Since.IsZero() {
		return since, until
	}
	if until.Before(t.pos.Until) {
		until = t.pos.Until
	}
	return t.pos.Since, until
}

func (t *turn) advance(page source.Page) {
	if page.CompleteUntil.IsZero() {
		return
	}
	t.pos.Since, t.pos.Until = t.stretch(page)
	t.metrics.complete.WithLabelValues(t.pos.Connector).Set(float64(t.pos.Until.Unix()))
}

// records are what a page becomes.
func (t *turn) records(page source.Page) ([]kafka.Record, tally.Counts, error) {
	var records []kafka.Record
	var counts tally.Counts
	now := t.cfg.Now()
	var failed error
	add := func(r kafka.Record, err error) {
		records = append(records, r)
		failed = errors.Join(failed, err)
	}
	for reason, n := range page.Dropped {
		counts.Read += n
		counts.Drop(reason, n)
	}
	for _, item := range page.Items {
		counts.Read++
		if item.Err != nil {
			counts.Kill(item.Err.Reason, 1)
			add(record.Dead{Reason: item.Err.Reason, Detail: item.Err.Error(), Original: item.Original, Source: t.pos.Connector, Offset: itemOffset(item.Original), At: now}.Record())
			continue
		}
		counts.Produced++
		m := item.Message
		place := identity.Place{
			Institutions: []*institutions.Institution{t.feed.Institution}, ParentAuthorID: m.ParentAuthorID, RootID: m.RootID, Connector: t.pos.Connector, Now: now,
		}
		for _, e := range t.cfg.Converter.Events(m, place) {
			counts.Events++
			add(record.Message(e))
		}
	}
	if s := page.Size; s != nil {
		counts.Snapshots++
		add(record.Snapshot(&event.AccountSnapshot{
			Institution: t.feed.Institution.ID, Platform: t.feed.Platform, Account: t.feed.Account, ObservedAtMs: s.ObservedAt.UnixMilli(),
			Followers: s.Followers, Following: s.Following, Posts: s.Posts,
		}))
	}
	if !page.CompleteUntil.IsZero() {
		since, until := t.stretch(page)
		add(t.coverage(since, until, schemas.CoverageComplete, ""))
	}
	return records, counts, failed
}

// itemOffset numbers a live item that has no place of its own by its content, so that a repeat has the same number.
func itemOffset(original []byte) int64 {
	h := fnv.New64a()
	h.Write(original)
	return int64(h.Sum64() >> 1)
}

func (t *turn) coverage(since, until time.Time, status, reason string) (kafka.Record, error) {
	return record.Coverage(&event.Coverage{
		Connector: t.pos.Connector, Institution: t.feed.Institution.ID, SinceMs: since.UnixMilli(), UntilMs: until.UnixMilli(),
		Status: status, Reason: reason, RecordedAtMs: t.cfg.Now().UnixMilli(),
	})
}

// end keeps how the poll ended and, where the platform failed, writes the gap since the source was last complete.
func (t *turn) end(ctx context.Context, pollErr error) error {
	connector := t.pos.Connector
	var own ownError
	switch {
	case errors.As(pollErr, &own) && ctx.Err() == nil:
		return fmt.Errorf("polling %s: %w", connector, own.error)
	case pollErr != nil && ctx.Err() != nil:
		t.metrics.polls.WithLabelValues(connector, "stopped").Inc()
		return nil
	}
	ctx, done := t.finish(ctx)
	defer done()
	now := t.cfg.Now().UTC()
	t.pos.PolledAt, t.pos.Error = now, ""
	result := "complete"
	if pollErr != nil {
		result = "gap"
		reason := source.GapReason(pollErr)
		t.pos.Error = pollErr.Error()
		t.metrics.gaps.WithLabelValues(connector, reason).Inc()
		t.cfg.Log.Warn("poll ended early", "connector", connector, "gap", reason, "error", pollErr)
		if since := t.pos.Until; !since.IsZero() && since.Before(now) {
			r, err := t.coverage(since, now, schemas.CoverageGap, reason)
			if err = errors.Join(err, t.cfg.Producer.Produce(ctx, r)); err != nil {
				return fmt.Errorf("writing the gap of %s: %w", connector, err)
			}
		}
		if reason == schemas.GapClamp {
			// What is behind the hole stays lost; the next stretch begins after it.
			t.pos.Since, t.pos.Until = now, now
		}
	}
	t.metrics.polls.WithLabelValues(connector, result).Inc()
	if t.cfg.Progress != nil {
		t.cfg.Progress(connector)
	}
	return t.file.Save(t.pos)
}

var unsafe = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func stateFile(dir, connector string) state.File {
	return state.File{Path: filepath.Join(dir, "source-"+unsafe.ReplaceAllString(connector, "_")+".json"), Kind: "source position", Version: 1}
}

// Load returns the positions of connectors, in their order; one that was never polled has only its name.
func Load(dir string, connectors []string) ([]Position, error) {
	all := make([]Position, len(connectors))
	for i, c := range connectors {
		all[i].Connector = c
		if _, err := stateFile(dir, c).Load(&all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
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
