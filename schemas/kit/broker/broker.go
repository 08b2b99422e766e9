// Package broker runs a Kafka-protocol broker inside the process, for tests and for the standalone: one node, one user,
// loopback only, no authentication. Production runs Kafka.
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// topicsTimeout bounds the creation of the topics at the start, in a process that talks to itself.
const topicsTimeout = 30 * time.Second

// Config configures a Broker. Its zero value is a broker in memory, on a free port, without topics.
type Config struct {
	Addr string // host:port to listen on, loopback; port 0 takes a free one; empty means 127.0.0.1:0
	// Advertise is the host:port that clients are told to use, where something stands between; empty means Addr.
	Advertise string
	DataDir   string            // log and offsets live here and survive the process; empty means in memory only
	Topics    []kafka.TopicSpec // made when they are missing, given their settings when not; Replication is of no account here
	Log       *slog.Logger      // nil means slog.Default()
}

// Broker is a running broker.
type Broker struct {
	cluster  *kfake.Cluster
	sessions *sessions
	addr     string
	lock     *os.File // held while the broker owns DataDir; nil in memory
	once     sync.Once
	closed   error
}

// Start starts a broker and returns when it serves its topics. With a DataDir every acknowledged record and every committed
// offset is on disk (fsync), so that they outlive kill -9 of the process; a second broker on the same directory is refused.
// The port may change between two runs on one directory.
func Start(cfg Config) (*Broker, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	b, err := start(cfg)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded broker on %s: %w", cfg.Addr, err)
	}
	return b, nil
}

func start(cfg Config) (_ *Broker, err error) {
	b := &Broker{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.WithLogger(logger{cfg.Log}),
		kfake.BrokerConfigs(map[string]string{"default.replication.factor": "1"}),
	}
	if cfg.DataDir != "" {
		if b.lock, err = lock(cfg.DataDir); err != nil {
			return nil, err
		}
		options = append(options, kfake.DataDir(filepath.Join(cfg.DataDir, "log")), kfake.SyncWrites())
	}
	listener, err := listen(cfg.Addr)
	if err != nil {
		return nil, err
	}
	b.addr = listener.Addr().String()
	if cfg.Advertise != "" {
		shown, err := net.ResolveTCPAddr("tcp", cfg.Advertise)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("advertising %q: %w", cfg.Advertise, err), listener.Close())
		}
		listener = advertised{listener, shown}
	}
	options = append(options, kfake.ListenFn(func(string, string) (net.Listener, error) { return listener, nil }))
	if b.cluster, err = kfake.NewCluster(options...); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	b.sessions = watchSessions(b.cluster, b.addr)
	if len(cfg.Topics) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), topicsTimeout)
		defer cancel()
		topics := make([]kafka.TopicSpec, len(cfg.Topics))
		for i, t := range cfg.Topics {
			t.Replication = 1
			topics[i] = t
		}
		conn := kafka.Conn{Brokers: []string{b.addr}, ClientID: "broker"}
		if err := kafka.EnsureTopics(ctx, conn, topics); err != nil {
			return nil, err
		}
		// Also for the sake of retention: the broker looks after it hourly once a topic was given one, and forgets that with its process.
		if err := kafka.SetTopics(ctx, conn, topics); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Addr returns the host:port that clients dial.
func (b *Broker) Addr() string { return b.addr }

// Close deletes what the topics' retention has ended, which otherwise happens every hour and never where processes are shorter, flushes the log and stops the broker.
// Clients lose their connections. A second call answers as the first.
func (b *Broker) Close() error {
	b.once.Do(func() { b.closed = b.close() })
	return b.closed
}

func (b *Broker) close() error {
	if b.sessions != nil {
		b.sessions.close()
	}
	if b.cluster != nil {
		b.cluster.ApplyRetention()
		b.cluster.Close()
	}
	if b.lock != nil {
		if err := unlock(b.lock); err != nil {
			return fmt.Errorf("unlocking the embedded broker's directory: %w", err)
		}
	}
	return nil
}

// listen listens on loopback only: whoever reaches the broker may read and write everything.
func listen(addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address %q: want host:port: %w", addr, err)
	}
	ips := []net.IP{net.IPv4zero} // what no host means
	if host != "" {
		if ips, err = net.LookupIP(host); err != nil {
			return nil, fmt.Errorf("address %q: %w", addr, err)
		}
	}
	for _, ip := range ips {
		if !ip.IsLoopback() {
			return nil, fmt.Errorf("address %q: the embedded broker has no authentication and serves loopback only, 127.0.0.1 or localhost", addr)
		}
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	return listener, nil
}

// advertised is a listener that goes by another address.
type advertised struct {
	net.Listener
	addr net.Addr
}

// Addr is what kfake tells its clients.
func (a advertised) Addr() net.Addr { return a.addr }

func lock(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the data directory's lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s is in use by another broker: %w", dir, err), f.Close())
	}
	return f, nil
}

// unlock frees the directory even while a child that is just being started has the file as well: closing it here alone would leave the lock with that.
func unlock(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

// logger passes kfake's warnings on; what it says of single requests is noise.
type logger struct{ log *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error("embedded broker", "says", fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.Warn("embedded broker", "says", fmt.Sprintf(format, args...))
	}
}
