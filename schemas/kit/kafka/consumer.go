package kafka

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// BatchPolicy says when a batch is handed to the handler: at the first limit that is reached.
type BatchPolicy struct {
	MaxRecords int           // records; 0 means 20,000
	MaxBytes   int           // bytes of keys, values and headers; 0 means 32 MiB
	MaxAge     time.Duration // since the batch's first record; 0 means 1 s
}

// Handler makes everything that derives from the batch durable. Returning nil lets the consumer commit the batch's
// offsets on the generation it was fetched in; an error stops Run and nothing of the batch is committed.
// The batch spans the partitions of one generation; order within a partition is kept. The handler owns the records.
// ctx ends when the generation has ended or the drain deadline has passed, never by shutdown alone.
type Handler func(ctx context.Context, batch []Record) error

// Progress is told what the consumer does, for a health check. *telemetry.Progress is one.
type Progress interface {
	Advance() // a batch was committed
	Idle()    // there is nothing to read
}

// ConsumerConfig configures a Consumer. Conn, Group and Topics are required.
type ConsumerConfig struct {
	Conn   Conn
	Group  string
	Topics []string
	Policy BatchPolicy

	SessionTimeout time.Duration // 6 to 10 s; 0 means 6 s
	DrainTimeout   time.Duration // how long the running handler may take after ctx ended; 0 means 10 s
	AllowGap       bool          // go on at the first offset when the wanted one is gone, instead of stopping
	RestartAfter   time.Duration // without progress while records wait: join the group anew; 0 means 30 s
	FailAfter      time.Duration // without progress while records wait: Run returns a *StalledError; 0 means 2 min

	Log      *slog.Logger          // nil means slog.Default()
	Metrics  prometheus.Registerer // nil means none
	Progress Progress              // nil means none
}

// Consumer reads topics as a member of a group.
type Consumer struct{ cfg ConsumerConfig }

// NewConsumer checks cfg and returns a consumer that has not connected yet.
func NewConsumer(cfg ConsumerConfig, h Handler) (*Consumer, error) {
	return &Consumer{cfg: cfg}, nil
}

// Run consumes until ctx ends (then it drains and returns nil) or something breaks.
func (c *Consumer) Run(ctx context.Context) error { return errors.ErrUnsupported }
