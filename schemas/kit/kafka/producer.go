package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/dwiarah/dwiarah/schemas/kit/crashpoint"
)

// unknownTopicAttempts bounds the attempts at a topic that the brokers do not know: a few, because a new topic takes a
// moment to be known everywhere, not endless, because a misspelt one never will be.
const unknownTopicAttempts = 10

// ProducerConfig configures a Producer. Conn is required.
type ProducerConfig struct {
	Conn           Conn
	MaxRecordBytes int           // of one record, uncompressed, and of one request to a partition; 0 means 1,000,000; not above the topics' max.message.bytes
	BatchRecords   int           // records of one request to a partition; 0 means 1,000
	BatchWait      time.Duration // how long a request waits for more records; 0 means 5 ms

	Log     *slog.Logger          // nil means slog.Default()
	Metrics prometheus.Registerer // nil means none
}

func (cfg ProducerConfig) withDefaults() ProducerConfig {
	if cfg.MaxRecordBytes == 0 {
		cfg.MaxRecordBytes = 1_000_000 // the brokers' own default is 1,048,588, of which the frame of a request takes some
	}
	if cfg.BatchRecords == 0 {
		cfg.BatchRecords = 1_000
	}
	if cfg.BatchWait == 0 {
		cfg.BatchWait = 5 * time.Millisecond
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return cfg
}

// Producer writes records to topics: compressed with lz4, to the partition that Murmur2 of the key chooses, as the Java
// client does. Its methods are safe for concurrent use.
type Producer struct {
	cfg       ProducerConfig
	writer    *kafkago.Writer
	transport *kafkago.Transport
	metrics   *producerMetrics
}

// NewProducer checks cfg and returns a producer that has not connected yet.
func NewProducer(cfg ProducerConfig) (*Producer, error) {
	cfg = cfg.withDefaults()
	errs := []error{cfg.Conn.validate()}
	if cfg.MaxRecordBytes < 1 {
		errs = append(errs, fmt.Errorf("MaxRecordBytes is %d; at least 1 is needed", cfg.MaxRecordBytes))
	}
	if cfg.BatchRecords < 1 {
		errs = append(errs, fmt.Errorf("BatchRecords is %d; at least 1 is needed", cfg.BatchRecords))
	}
	if cfg.BatchWait < time.Millisecond {
		errs = append(errs, fmt.Errorf("BatchWait is %v; at least 1ms is needed", cfg.BatchWait))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("configuring a producer: %w", err)
	}
	client, transport := cfg.Conn.client()
	return &Producer{
		cfg:       cfg,
		transport: transport,
		metrics:   newProducerMetrics(cfg.Metrics),
		writer: &kafkago.Writer{
			Addr:         client.Addr,
			Transport:    transport,
			Balancer:     kafkago.Murmur2Balancer{},
			RequiredAcks: kafkago.RequireAll, // the writer's zero value is to ask for no acknowledgement at all
			Compression:  kafkago.Lz4,
			BatchSize:    cfg.BatchRecords,
			BatchBytes:   int64(cfg.MaxRecordBytes),
			BatchTimeout: cfg.BatchWait,
			ReadTimeout:  ioTimeout,
			WriteTimeout: ioTimeout,
			MaxAttempts:  1, // Produce decides what is tried again, and for how long
		},
	}, nil
}

// Produce returns nil only when every record is acknowledged by all in-sync replicas. It tries again until then, until ctx
// ends, or until the brokers refuse; after an error some of the records may be in the log. Records of one key keep their
// order; after a failure some may be there twice. A record above the size limit is a *TooLargeError, and nothing is sent.
func (p *Producer) Produce(ctx context.Context, records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	start := time.Now()
	pending := make([]kafkago.Message, len(records))
	for i := range records {
		r := &records[i]
		if size := wireSize(r); size > p.cfg.MaxRecordBytes {
			return &TooLargeError{Index: i, Topic: r.Topic, Size: size, Limit: p.cfg.MaxRecordBytes}
		}
		if r.Topic == "" {
			return fmt.Errorf("producing: record %d of the call names no topic", i)
		}
		pending[i] = message(r, start)
	}
	wait := newBackOff()
	for attempt := 1; ; attempt++ {
		err := p.writer.WriteMessages(ctx, pending...)
		if err == nil {
			break
		}
		left, cause := unacknowledged(pending, err)
		unknown := errors.Is(cause, kafkago.UnknownTopicOrPartition) && attempt >= unknownTopicAttempts
		if closed := errors.Is(cause, io.ErrClosedPipe); ctx.Err() != nil || closed || unknown || refused(cause) {
			return fmt.Errorf("producing to topic %q (%d of %d records not acknowledged): %w", left[0].Topic, len(left), len(records), cause)
		}
		p.metrics.retries.Inc()
		p.cfg.Log.Warn("producing again what was not acknowledged", "topic", left[0].Topic, "records", len(left), "attempt", attempt, "error", cause)
		if !sleep(ctx, wait.NextBackOff()) {
			return fmt.Errorf("producing to topic %q (%d of %d records not acknowledged): %w",
				left[0].Topic, len(left), len(records), fmt.Errorf("%w: %w", context.Cause(ctx), cause))
		}
		pending = left
	}
	for i := range records {
		p.metrics.records.WithLabelValues(records[i].Topic).Inc()
		p.metrics.bytes.WithLabelValues(records[i].Topic).Add(float64(records[i].Size()))
	}
	p.metrics.seconds.Observe(time.Since(start).Seconds())
	crashpoint.Hit("producer.after_ack")
	return nil
}

// Close waits for the requests under way, each of which has its own timeout, and releases the connections.
func (p *Producer) Close() error {
	err := p.writer.Close()
	p.transport.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("closing the producer: %w", err)
	}
	return nil
}

// unacknowledged returns the messages to send again after err, and one error that stands for all. Beside the failed ones
// these are the later ones of the same keys, though acknowledged: else an older version of a key would follow a newer one.
func unacknowledged(sent []kafkago.Message, err error) ([]kafkago.Message, error) {
	var each kafkago.WriteErrors
	if !errors.As(err, &each) || len(each) != len(sent) {
		return sent, err // nothing is known of any of them
	}
	type key struct{ topic, key string }
	failed := map[key]bool{}
	var left []kafkago.Message
	var cause error
	for i, err := range each {
		k := key{sent[i].Topic, string(sent[i].Key)}
		if err != nil {
			failed[k] = true
			if cause == nil || refused(err) {
				cause = err
			}
		}
		if err != nil || sent[i].Key != nil && failed[k] {
			left = append(left, sent[i])
		}
	}
	return left, cause
}

func message(r *Record, now time.Time) kafkago.Message {
	m := kafkago.Message{Topic: r.Topic, Key: r.Key, Value: r.Value, Time: r.Time}
	if m.Time.IsZero() {
		m.Time = now
	}
	if len(r.Headers) > 0 {
		m.Headers = make([]kafkago.Header, len(r.Headers))
		for i, h := range r.Headers {
			m.Headers[i] = kafkago.Header(h)
		}
	}
	return m
}

// wireSize returns an upper bound of the record's bytes in a batch: its lengths, offsets and times are varints.
func wireSize(r *Record) int {
	const perRecord, perHeader = 64, 10
	return r.Size() + perRecord + perHeader*len(r.Headers)
}
