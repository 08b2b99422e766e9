// Package kafka is how every service of Dwiarah reads from and writes to Kafka: a consumer by group generation that
// commits only what its handler has made durable, and a producer that returns when all in-sync replicas have the records.
package kafka

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
)

const (
	dialTimeout = 5 * time.Second  // to open, secure and authenticate one connection
	ioTimeout   = 10 * time.Second // of one request, beside the time that the request itself asks the broker to wait
	metadataTTL = 2 * time.Second  // the transport learns of a new leader by this poll only
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
	Time      time.Time // to the millisecond, UTC; the producer puts the present where it is zero
}

// Size returns the bytes of the record's key, value and headers.
func (r *Record) Size() int {
	n := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}

func (c Conn) validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("Conn.Brokers is empty; it wants host:port of at least one broker"))
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			errs = append(errs, fmt.Errorf("Conn.Brokers has %q; it wants host:port: %w", b, err))
		}
	}
	return errors.Join(errs...)
}

func (c Conn) dialer() *kafkago.Dialer {
	return &kafkago.Dialer{ClientID: c.ClientID, Timeout: dialTimeout, DualStack: true, TLS: c.TLS, SASLMechanism: c.SASL}
}

// client returns a client with a transport of its own, which the caller closes.
func (c Conn) client() (*kafkago.Client, *kafkago.Transport) {
	t := &kafkago.Transport{
		ClientID:    c.ClientID,
		Dial:        (&net.Dialer{Timeout: dialTimeout}).DialContext,
		DialTimeout: dialTimeout,
		MetadataTTL: metadataTTL,
		TLS:         c.TLS,
		SASL:        c.SASL,
	}
	return &kafkago.Client{Addr: kafkago.TCP(c.Brokers...), Transport: t, Timeout: ioTimeout}, t
}
