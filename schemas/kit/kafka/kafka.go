// Package kafka is how every service of Dwiarah reads from and writes to Kafka: a consumer by group generation that
// commits only what its handler has made durable, and a producer that returns when all in-sync replicas have the records.
package kafka

import (
	"crypto/tls"
	"time"

	"github.com/segmentio/kafka-go/sasl"
)

// Conn says how to reach a cluster.
type Conn struct {
	Brokers  []string       // host:port of one or more brokers
	ClientID string         // shown in the brokers' logs and quotas
	TLS      *tls.Config    // nil for plain text
	SASL     sasl.Mechanism // nil for none
}

// Header is one key and value beside a record. Keys may repeat; order is kept.
type Header struct {
	Key   string
	Value []byte
}

// Record is one message of a topic. Partition and Offset are set by the consumer; the producer ignores them.
type Record struct {
	Topic     string
	Partition int
	Offset    int64
	Key       []byte
	Value     []byte
	Headers   []Header
	Time      time.Time // to the millisecond, UTC
}
