// Package stream is the stage between mentions.raw.v1 and mentions.enriched.v1: each batch is decoded, labelled, produced and acknowledged
// before its offsets may be committed. A labeller that panics or hangs costs one label, never the pipeline.
package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/crashpoint"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

const (
	// MaxRecordBytes is what the stage's producer may send: a raw record at its own limit of 1,000,000 bytes still fits once it is enriched, or
	// wrapped as a dead letter, and stays below the 1,048,588 bytes that a broker takes unless told otherwise.
	MaxRecordBytes = 1_040_000
	// wireRoom is what the wire adds to a record beside key, value and headers.
	wireRoom = 1_000
	// attemptHeader says, in decimal, how many times a record has been replayed from the dead letters.
	attemptHeader = "dwiarah-attempt"
)

// Producer writes records and returns nil once all of them are acknowledged. *kafka.Producer is one.
type Producer interface {
	Produce(ctx context.Context, records ...kafka.Record) error
}

// Stage turns batches of raw records into enriched ones.
type Stage struct {
	pool     *pool
	unknown  *event.Enrichment
	producer Producer
	log      *slog.Logger
	metrics  *metrics
}

// Config configures a Stage; every field is required.
type Config struct {
	// Label answers for a message. It may be called from several goroutines.
	Label func(*event.Message) *event.Enrichment
	// Unknown stands for the answer that Label did not give.
	Unknown *event.Enrichment
	// Workers is how many messages are labelled at a time; Timeout is how long one may take.
	Workers  int
	Timeout  time.Duration
	Producer Producer
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// New returns a stage.
func New(cfg Config) (*Stage, error) {
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	return &Stage{pool: &pool{label: cfg.Label, workers: cfg.Workers, timeout: cfg.Timeout}, unknown: cfg.Unknown, producer: cfg.Producer, log: cfg.Log, metrics: m}, nil
}

// dead is a record of the batch that cannot be enriched.
type dead struct {
	place  int
	reason schemas.DeadReason
	detail string
}

// Handle makes everything that derives from the batch durable: the enriched records and the dead letters, all acknowledged. It is a
// kafka.Handler. What it produces is a function of the batch alone, so a repeat after a crash writes the same bytes again.
func (s *Stage) Handle(ctx context.Context, batch []kafka.Record) error {
	messages := make([]*event.Message, len(batch))
	var letters []dead
	var work []int
	for n := range batch {
		m, err := decode(&batch[n])
		if err != nil {
			letters = append(letters, dead{n, reason(err), err.Error()})
			continue
		}
		messages[n] = m
		// A deletion without text has nothing to label; it passes, because the sink has to learn of it.
		if m.DeletedAtMs == nil || m.Text != "" {
			work = append(work, n)
		}
	}
	answers, failures, err := s.label(ctx, messages, work)
	if err != nil {
		return err
	}
	records := make([]kafka.Record, 0, len(batch))
	for n := range batch {
		if messages[n] == nil {
			continue
		}
		r, err := enriched(&batch[n], messages[n], answers[n])
		if err != nil {
			return err
		}
		if r.Size()+wireRoom > MaxRecordBytes {
			letters = append(letters, dead{n, schemas.DeadTooLarge, fmt.Sprintf("the enriched record has %d bytes; at most %d are allowed", r.Size(), MaxRecordBytes-wireRoom)})
			continue
		}
		records = append(records, r)
	}
	for _, d := range letters {
		r, err := letter(&batch[d.place], d)
		if err != nil {
			return err
		}
		records = append(records, r)
	}
	crashpoint.Hit("enrich.before_produce")
	if err := s.producer.Produce(ctx, records...); err != nil {
		return fmt.Errorf("producing enriched messages: %w", err)
	}
	crashpoint.Hit("enrich.after_produce")
	s.settle(batch, letters, failures)
	return nil
}

// label answers for the messages at the places in work. A message that gets no answer gets Unknown, and is counted by its reason.
func (s *Stage) label(ctx context.Context, messages []*event.Message, work []int) ([]*event.Enrichment, map[failure]int, error) {
	answers := make([]*event.Enrichment, len(messages))
	failures := map[failure]int{}
	outcomes, err := s.pool.run(ctx, messages, work)
	if err != nil {
		return nil, nil, err
	}
	for i, n := range work {
		answers[n] = outcomes[i].answer
		if outcomes[i].failure != "" {
			answers[n] = s.unknown
			failures[outcomes[i].failure]++
		}
	}
	return answers, failures, nil
}

// settle counts the batch once everything of it is durable.
func (s *Stage) settle(batch []kafka.Record, letters []dead, failures map[failure]int) {
	s.metrics.consumed.Add(float64(len(batch)))
	s.metrics.enriched.Add(float64(len(batch) - len(letters)))
	for _, d := range letters {
		s.metrics.dead.WithLabelValues(string(d.reason)).Inc()
	}
	for f, n := range failures {
		s.metrics.unknown.WithLabelValues(string(f)).Add(float64(n))
	}
	if len(letters) > 0 {
		first := &batch[letters[0].place]
		s.log.Warn("records dead-lettered", "records", len(letters), "of", len(batch), "first_reason", letters[0].reason, "first_detail", letters[0].detail,
			"first_partition", first.Partition, "first_offset", first.Offset)
	}
	if len(failures) > 0 {
		s.log.Error("classifier gave no answer; labelled unknown", "hangs", failures[hang], "panics", failures[panicked])
	}
}

func decode(r *kafka.Record) (*event.Message, error) {
	m := &event.Message{}
	if err := event.Decode(header(r, event.SchemaHeader), r.Value, m); err != nil {
		return nil, err
	}
	for _, f := range []struct{ key, value string }{{"institution", m.Institution}, {"platform", m.Platform}, {"message_id", m.MessageId}} {
		if f.value == "" {
			return nil, &schemas.FieldError{Reason: schemas.DeadMissingField, Key: f.key, Allowed: "a message has an institution, a platform and a message_id"}
		}
	}
	if !schemas.KnownPlatform(m.Platform) {
		return nil, &schemas.FieldError{Reason: schemas.DeadUnknownPlatform, Key: "platform", Value: m.Platform, Allowed: fmt.Sprintf("one of %v", schemas.Platforms())}
	}
	if !utf8.ValidString(m.Text) {
		return nil, &schemas.FieldError{Reason: schemas.DeadInvalidUTF8, Key: "text", Allowed: "texts are UTF-8"}
	}
	return m, nil
}

func header(r *kafka.Record, key string) []byte {
	for n := len(r.Headers) - 1; n >= 0; n-- {
		if r.Headers[n].Key == key {
			return r.Headers[n].Value
		}
	}
	return nil
}

func reason(err error) schemas.DeadReason {
	var field *schemas.FieldError
	switch {
	case errors.As(err, &field):
		return field.Reason
	case errors.Is(err, event.ErrUnknownSchema):
		return schemas.DeadUnknownSchema
	}
	return schemas.DeadMalformed
}

// enriched keeps the raw record's key, so that all versions of a message meet in one partition, its time and its other headers.
func enriched(raw *kafka.Record, m *event.Message, answer *event.Enrichment) (kafka.Record, error) {
	value, err := event.Encode(&event.Enriched{Message: m, Enrichment: answer})
	if err != nil {
		return kafka.Record{}, fmt.Errorf("enriching partition %d, offset %d: %w", raw.Partition, raw.Offset, err)
	}
	r := kafka.Record{Topic: schemas.TopicEnriched, Key: raw.Key, Value: value, Time: raw.Time, Headers: []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}}}
	for _, h := range raw.Headers {
		if h.Key != event.SchemaHeader {
			r.Headers = append(r.Headers, h)
		}
	}
	return r, nil
}

// letter keeps the record as it came. Its time is the raw record's own, so that a repeat writes the same letter.
func letter(raw *kafka.Record, d dead) (kafka.Record, error) {
	l := &event.DeadLetter{
		Stage: schemas.StageEnrich, Reason: string(d.reason), Detail: d.detail, Original: raw.Value, Source: raw.Topic, Partition: int32(raw.Partition), Offset: raw.Offset,
		Attempt: attempt(raw) + 1, AtMs: raw.Time.UnixMilli(), Key: raw.Key,
	}
	for _, h := range raw.Headers {
		l.Headers = append(l.Headers, &event.Header{Key: h.Key, Value: h.Value})
	}
	if l.SizeVT()+len(raw.Key)+wireRoom > MaxRecordBytes {
		l.Detail = fmt.Sprintf("%s; the record, of %d bytes, is larger than the dead letters take and stays where it came from", d.detail, raw.Size())
		l.Original, l.Headers = nil, nil
	}
	value, err := event.Encode(l)
	if err != nil {
		return kafka.Record{}, fmt.Errorf("dead-lettering partition %d, offset %d: %w", raw.Partition, raw.Offset, err)
	}
	return kafka.Record{Topic: schemas.TopicDead, Key: raw.Key, Value: value, Time: raw.Time, Headers: []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}}}, nil
}

func attempt(r *kafka.Record) uint32 {
	n := uint32(0)
	for _, b := range header(r, attemptHeader) {
		if b < '0' || b > '9' || n > 1e6 {
			return 0
		}
		n = 10*n + uint32(b-'0')
	}
	return n
}

// metrics: consumed = enriched + dead-lettered, always; unknown is a part of enriched.
type metrics struct {
	consumed, enriched prometheus.Counter
	dead, unknown      *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		consumed: prometheus.NewCounter(prometheus.CounterOpts{Name: "dwiarah_enrich_consumed_total", Help: "Raw records whose fate is settled: enriched or dead-lettered. Repeats count again."}),
		enriched: prometheus.NewCounter(prometheus.CounterOpts{Name: "dwiarah_enrich_enriched_total", Help: "Enriched records acknowledged, deletions without text included. Repeats count again."}),
		dead:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dwiarah_enrich_dead_lettered_total", Help: "Raw records dead-lettered, by reason. Repeats count again."}, []string{"reason"}),
		unknown:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dwiarah_enrich_unknown_total", Help: "Enriched records that the classifier had no answer for, by how it failed."}, []string{"failure"}),
	}
	for _, c := range []prometheus.Collector{m.consumed, m.enriched, m.dead, m.unknown} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering enrich's metrics: %w", err)
		}
	}
	for _, r := range schemas.DeadReasons() {
		m.dead.WithLabelValues(string(r))
	}
	for _, f := range []failure{hang, panicked} {
		m.unknown.WithLabelValues(string(f))
	}
	return m, nil
}
