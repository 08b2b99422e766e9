// Package sink writes enriched messages and the coverage ledger from Kafka to ClickHouse. What this package does not export is internal; the command
// is cmd/sink, and the standalone composes the same Sink.
package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/crashpoint"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/run"
	"github.com/dwiarah/dwiarah/schemas/kit/telemetry"
	"github.com/dwiarah/dwiarah/sink/internal/deadletter"
	"github.com/dwiarah/dwiarah/sink/internal/erase"
	"github.com/dwiarah/dwiarah/sink/internal/report"
	"github.com/dwiarah/dwiarah/sink/internal/rows"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/verify"
)

// DrainTime is how long Run may take after its ctx has ended.
func (c Config) DrainTime() time.Duration {
	return c.Kafka.Drain.Std() + reportsDrain + erasureDrain + verifyDrain + 2*drainRoom
}

// Sink reads mentions.enriched.v1 and mentions.ledger.v1 and writes the tables of package schemas/clickhouse. Offsets are committed after the INSERTs
// have returned, so that a message is written twice rather than never; the tables absorb that.
type Sink struct {
	cfg       Config
	log       *slog.Logger
	directory *institutions.Directory
	store     *store.Store
	eraser    *store.Store // another pool: its statements take long
	writer    *store.Writer
	consumer  *kafka.Consumer
	letters   producer
	reports   *report.Reports
	progress  *telemetry.Progress
	metrics   metrics
	verify    verify.Config
	verified  *verify.Metrics // nil where nothing is compared
}

// producer is what the dead letters go through: a *kafka.Producer.
type producer interface {
	Produce(ctx context.Context, records ...kafka.Record) error
	Close() error
}

// New builds a sink that has connected to nothing: Run runs it, once, or Close gives it up. The configuration has passed Validate.
func New(cfg Config, tel *telemetry.Telemetry) (_ *Sink, err error) {
	s := &Sink{cfg: cfg, log: tel.Log}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.directory, err = institutions.Load(cfg.Institutions); err != nil {
		return nil, err
	}
	if err = checkCalendars(s.directory, cfg.Calendars); err != nil {
		return nil, err
	}
	if s.metrics, err = newMetrics(tel.Registry); err != nil {
		return nil, err
	}
	// A sink that waits for ClickHouse is not ready; it is ill only when even its attempts have ceased.
	s.progress = tel.Health.Progress("sink", cfg.ClickHouse.AttemptTimeout.Std()+cfg.ClickHouse.RetryMost.Std()+time.Minute)
	if s.store, err = store.Open(cfg.ClickHouse); err != nil {
		return nil, err
	}
	tel.Health.Ready("clickhouse", s.store.Ping)
	if s.eraser, err = store.Open(cfg.ClickHouse.Patient()); err != nil {
		return nil, err
	}
	if s.writer, err = store.NewWriter(s.store, s.directory, s.progress.Advance, s.log, tel.Registry); err != nil {
		return nil, err
	}
	conn, err := cfg.Kafka.Conn(ClientID)
	if err != nil {
		return nil, err
	}
	s.letters, err = kafka.NewProducer(kafka.ProducerConfig{
		Conn: conn, MaxRecordBytes: deadletter.MaxRecordBytes, Log: s.log, Metrics: tel.Registry,
	})
	if err != nil {
		return nil, err
	}
	s.verify = verify.Config{Conn: conn, SinkGroup: cfg.Kafka.Group, Store: s.store, Directory: s.directory}
	if cfg.Verify.Enabled {
		if s.verified, err = verify.NewMetrics(tel.Registry); err != nil {
			return nil, err
		}
	}
	if s.reports, err = report.New(cfg.Reports, s.store.Conn(), s.log, tel.Registry, nil); err != nil {
		return nil, err
	}
	s.consumer, err = kafka.NewConsumer(kafka.ConsumerConfig{
		Conn: conn, Group: cfg.Kafka.Group, Topics: []string{schemas.TopicEnriched, schemas.TopicLedger},
		Policy:       kafka.BatchPolicy{MaxRecords: cfg.Batch.Records, MaxBytes: int(cfg.Batch.Bytes), MaxAge: cfg.Batch.Age.Std()},
		DrainTimeout: cfg.Kafka.Drain.Std(), AllowGap: cfg.Kafka.AllowGap,
		Log: s.log, Metrics: tel.Registry, Progress: s.progress,
	}, s.handle)
	if err != nil {
		return nil, err
	}
	return s, nil
}

const (
	// drainRoom is what the end of the consumer takes beside the batch under way: leaving the group, closing connections.
	drainRoom = 5 * time.Second
	// reportsDrain is how long a report may take to notice that it is to be given up; the next start makes it anew.
	reportsDrain = 5 * time.Second
	// erasureDrain is how long a run of the erasure may take to notice its end and to write its record.
	erasureDrain = 15 * time.Second
	// verifyDrain is how long a comparison may take to notice that it is to be given up.
	verifyDrain = 5 * time.Second
)

// Run prepares the store, consumes, makes reports and erases until ctx ends, then drains and returns nil; it returns an error when something broke that no repeat
// mends.
func (s *Sink) Run(ctx context.Context) error {
	err := s.prepare(ctx)
	switch {
	case err == nil:
		err = run.New(s.log,
			run.Part{Name: "consumer", Run: s.consumer.Run, Drain: s.cfg.Kafka.Drain.Std() + drainRoom},
			run.Part{Name: "reports", Run: s.reports.Run, Drain: reportsDrain},
			run.Part{Name: "erasure", Run: func(ctx context.Context) error { return erase.Schedule(ctx, s.cfg.Erasure, s.eraser, s.log) }, Drain: erasureDrain},
			run.Part{Name: "verify", Run: func(ctx context.Context) error {
				return verify.Schedule(ctx, s.cfg.Verify, s.verify, s.verified, s.log)
			}, Drain: verifyDrain},
		).Run(ctx)
	case ctx.Err() != nil: // stopped while ClickHouse was waited for
		err = nil
	}
	return errors.Join(err, s.Close())
}

// ReportOrder asks for one report by hand, and ReportMade is a page of it that was made.
type (
	ReportOrder = report.Order
	ReportMade  = report.Made
)

// Report makes a report by hand, beside or without Run, from what the database holds.
func (s *Sink) Report(ctx context.Context, o ReportOrder) ([]ReportMade, error) {
	return s.reports.RunOnce(ctx, o)
}

// Close gives up a sink that is not going to run. Run does it by itself.
func (s *Sink) Close() error {
	var errs []error
	if s.letters != nil {
		errs = append(errs, s.letters.Close())
	}
	for _, pool := range []*store.Store{s.store, s.eraser} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}

// handle makes a batch durable: what can be decoded is inserted, the rest and what the store refuses is dead-lettered. The consumer commits after it.
func (s *Sink) handle(ctx context.Context, batch []kafka.Record) error {
	entries, places, dead := decode(batch)
	crashpoint.Hit("sink.before_insert")
	refusals, err := s.writer.Write(ctx, entries)
	if err != nil {
		return err
	}
	crashpoint.Hit("sink.after_insert")
	for _, r := range refusals {
		dead = append(dead, unstorable{places[r.Index], schemas.DeadRefused, store.Reason(r.Err)})
	}
	if err := s.deadLetter(ctx, batch, dead); err != nil {
		return err
	}
	s.metrics.count(batch, dead)
	return nil
}

// unstorable is a record of the batch that cannot be stored.
type unstorable struct {
	place  int // in the batch
	reason schemas.DeadReason
	detail string
}

// decode returns the batch's entries, the place of each in the batch, and what is no entry.
func decode(batch []kafka.Record) (entries []store.Entry, places []int, dead []unstorable) {
	entries, places = make([]store.Entry, 0, len(batch)), make([]int, 0, len(batch))
	for n, record := range batch {
		entry, err := decodeEntry(record)
		if err != nil {
			dead = append(dead, unstorable{n, reason(err), err.Error()})
			continue
		}
		entries, places = append(entries, entry), append(places, n)
	}
	return entries, places, dead
}

func decodeEntry(r kafka.Record) (store.Entry, error) {
	schema := deadletter.Header(r.Headers, event.SchemaHeader)
	if r.Topic == schemas.TopicLedger {
		entry := &event.LedgerEntry{}
		if err := event.Decode(schema, r.Value, entry); err != nil {
			return store.Entry{}, err
		}
		return store.Entry{Ledger: entry}, rows.CheckLedger(entry)
	}
	enriched := &event.Enriched{}
	if err := event.Decode(schema, r.Value, enriched); err != nil {
		return store.Entry{}, err
	}
	return store.Entry{Enriched: enriched}, rows.CheckEnriched(enriched)
}

func reason(err error) schemas.DeadReason {
	var field *schemas.FieldError
	switch {
	case errors.As(err, &field):
		return field.Reason
	case errors.Is(err, event.ErrUnknownSchema):
		return schemas.DeadUnknownSchema
	default:
		return schemas.DeadMalformed
	}
}

func (s *Sink) deadLetter(ctx context.Context, batch []kafka.Record, dead []unstorable) error {
	if len(dead) == 0 {
		return nil
	}
	letters := make([]kafka.Record, len(dead))
	for n, d := range dead {
		var err error
		if letters[n], err = deadletter.New(batch[d.place], d.reason, d.detail, time.Now()); err != nil {
			return err
		}
	}
	if err := s.letters.Produce(ctx, letters...); err != nil {
		return fmt.Errorf("dead-lettering %d records: %w", len(dead), err)
	}
	first := batch[dead[0].place]
	s.log.Warn("records dead-lettered", "records", len(dead), "of", len(batch), "first_reason", dead[0].reason, "first_detail", dead[0].detail,
		"first_topic", first.Topic, "first_partition", first.Partition, "first_offset", first.Offset)
	return nil
}

// metrics count what went in and where it ended: consumed = stored + dead-lettered, always.
type metrics struct {
	consumed, stored *prometheus.CounterVec // topic
	dead             *prometheus.CounterVec // topic, reason
}

func newMetrics(registry prometheus.Registerer) (metrics, error) {
	m := metrics{
		consumed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dwiarah_sink_consumed_total", Help: "Records whose fate is settled: stored or dead-lettered. Repeats count again.",
		}, []string{"topic"}),
		stored: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dwiarah_sink_stored_total", Help: "Records stored in ClickHouse. Repeats count again.",
		}, []string{"topic"}),
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dwiarah_sink_dead_lettered_total", Help: "Records dead-lettered, by reason. Repeats count again.",
		}, []string{"topic", "reason"}),
	}
	for _, c := range []prometheus.Collector{m.consumed, m.stored, m.dead} {
		if err := registry.Register(c); err != nil {
			return metrics{}, fmt.Errorf("registering the sink's metrics: %w", err)
		}
	}
	for _, topic := range []string{schemas.TopicEnriched, schemas.TopicLedger} {
		m.consumed.WithLabelValues(topic)
		m.stored.WithLabelValues(topic)
		for _, reason := range schemas.DeadReasons() {
			m.dead.WithLabelValues(topic, string(reason))
		}
	}
	return m, nil
}

func (m metrics) count(batch []kafka.Record, dead []unstorable) {
	stored := map[string]int{}
	for _, r := range batch {
		stored[r.Topic]++
		m.consumed.WithLabelValues(r.Topic).Inc()
	}
	for _, d := range dead {
		topic := batch[d.place].Topic
		stored[topic]--
		m.dead.WithLabelValues(topic, string(d.reason)).Inc()
	}
	for topic, n := range stored {
		m.stored.WithLabelValues(topic).Add(float64(n))
	}
}
