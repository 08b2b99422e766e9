// Package kafka is how every service of Dwiarah reads from and writes to Kafka: a consumer by group generation that
// commits only what its handler has made durable, and a producer that returns when all in-sync replicas have the records.
package kafka

import (
	"context"
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

// Dialer returns a dialler of single connections to brokers, secured and authenticated.
func (c Conn) Dialer() *kafkago.Dialer {
	return &kafkago.Dialer{ClientID: c.ClientID, Timeout: dialTimeout, DialFunc: c.dial, SASLMechanism: c.SASL}
}

// dial opens a connection and secures it. kafka-go could do the latter, but some of its ways would then send the first request into a
// handshake that nobody has waited for, and what is wrong would show as whatever that request makes of it.
func (c Conn) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if c.TLS == nil {
		return &plainConn{Conn: conn, addr: addr}, nil
	}
	cfg := c.TLS
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		if cfg.ServerName, _, err = net.SplitHostPort(addr); err != nil {
			return nil, errors.Join(fmt.Errorf("reading the broker's address %q: %w", addr, err), conn.Close())
		}
	}
	secured := tls.Client(conn, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close() // the handshake's error says more
		return nil, fmt.Errorf("securing the connection to broker %s by TLS (does that port speak it?): %w", addr, err)
	}
	return secured, nil
}

// ErrSpeaksTLS says that tls.enabled is missing.
var ErrSpeaksTLS = errors.New("the broker speaks TLS at this port, and tls.enabled is not set")

// plainConn is a connection of plain text that knows the alert of a server that had expected TLS.
type plainConn struct {
	net.Conn
	addr string
	read bool
}

func (c *plainConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	// A response begins with its size: these bytes would be one of 353 MB, larger than any that is asked for.
	if !c.read && n >= 2 && b[0] == 0x15 && b[1] == 0x03 {
		return 0, fmt.Errorf("reading from broker %s: %w", c.addr, ErrSpeaksTLS)
	}
	c.read = c.read || n > 0
	return n, err
}

// client returns a client with a transport of its own, which the caller closes.
func (c Conn) client() (*kafkago.Client, *kafkago.Transport) {
	t := &kafkago.Transport{
		ClientID:    c.ClientID,
		Dial:        c.dial,
		DialTimeout: dialTimeout,
		MetadataTTL: metadataTTL,
		SASL:        c.SASL,
	}
	return &kafkago.Client{Addr: kafkago.TCP(c.Brokers...), Transport: t, Timeout: ioTimeout}, t
}
