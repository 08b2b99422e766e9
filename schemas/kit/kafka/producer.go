package kafka

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ProducerConfig configures a Producer. Conn is required.
type ProducerConfig struct {
	Conn           Conn
	MaxRecordBytes int           // of one record, uncompressed; 0 means 1,000,000; at most the topic's max.message.bytes
	BatchRecords   int           // records a request; 0 means 1,000
	BatchWait      time.Duration // how long a batch waits for more; 0 means 5 ms

	Log     *slog.Logger          // nil means slog.Default()
	Metrics prometheus.Registerer // nil means none
}

// Producer writes records to topics. Its methods are safe for concurrent use.
type Producer struct{ cfg ProducerConfig }

// NewProducer checks cfg and returns a producer that has not connected yet.
func NewProducer(cfg ProducerConfig) (*Producer, error) { return &Producer{cfg: cfg}, nil }

// Produce returns nil only when every record is acknowledged by all in-sync replicas. It retries until then or until ctx ends.
func (p *Producer) Produce(ctx context.Context, records ...Record) error { return errors.ErrUnsupported }

// Close releases the connections.
func (p *Producer) Close() error { return nil }
