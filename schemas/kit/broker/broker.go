// Package broker runs a Kafka-protocol broker inside the process, for tests and for the standalone: one node, one user.
package broker

import (
	"errors"
	"log/slog"

	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// Config configures a Broker.
type Config struct {
	Addr    string            // host:port to listen on; port 0 takes a free one; empty means 127.0.0.1:0
	DataDir string            // log and offsets live here; empty means in memory only
	Topics  []kafka.TopicSpec // made when they are missing
	Log     *slog.Logger      // nil means slog.Default()
}

// Broker is a running broker.
type Broker struct{}

// Start starts a broker and returns when it serves its topics.
func Start(cfg Config) (*Broker, error) { return nil, errors.ErrUnsupported }

// Addr returns the host:port that clients dial.
func (b *Broker) Addr() string { return "" }

// Close flushes the log and stops the broker.
func (b *Broker) Close() error { return nil }
