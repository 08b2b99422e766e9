package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		child()
		return
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))
	code := kafkatest.Main(m)
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// running is a consumer that runs until stop.
type running struct {
	tb     testing.TB
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

func run(tb testing.TB, cfg kafka.ConsumerConfig, h kafka.Handler) *running {
	tb.Helper()
	c, err := kafka.NewConsumer(cfg, h)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{tb: tb, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = c.Run(ctx)
	}()
	tb.Cleanup(func() { r.stop() })
	return r
}

// stop ends Run's ctx and returns what Run returns.
func (r *running) stop() error {
	r.tb.Helper()
	r.cancel()
	return r.wait()
}

// wait returns what Run returns by itself.
func (r *running) wait() error {
	r.tb.Helper()
	select {
	case <-r.done:
	case <-time.After(kafkatest.Patience()):
		r.tb.Fatalf("Run does not return")
	}
	return r.err
}

// store is a handler's durable state: every record it was ever given.
type store struct {
	mu      sync.Mutex
	records []kafka.Record
	batches [][]kafka.Record
}

func (s *store) handle(_ context.Context, batch []kafka.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = append(s.records, batch...)
	s.batches = append(s.batches, batch)
	return nil
}

func (s *store) all() []kafka.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]kafka.Record(nil), s.records...)
}

// values returns how often each value was stored.
func (s *store) values() map[string]int {
	out := map[string]int{}
	for _, r := range s.all() {
		out[string(r.Value)]++
	}
	return out
}

func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(kafkatest.Patience())
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("never came true: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func within(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), kafkatest.Patience())
	tb.Cleanup(cancel)
	return ctx
}

func producer(tb testing.TB, b *kafkatest.Broker) *kafka.Producer {
	tb.Helper()
	p, err := kafka.NewProducer(kafka.ProducerConfig{Conn: b.Conn})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.Close(); err != nil {
			tb.Error(err)
		}
	})
	return p
}

// produce writes n records with the values prefix.0 to prefix.n-1, each its own key.
func produce(tb testing.TB, b *kafkatest.Broker, topic, prefix string, n int) []string {
	tb.Helper()
	records, values := make([]kafka.Record, n), make([]string, n)
	for i := range records {
		values[i] = fmt.Sprintf("%s.%d", prefix, i)
		records[i] = kafka.Record{Topic: topic, Key: []byte(values[i]), Value: []byte(values[i])}
	}
	if err := producer(tb, b).Produce(within(tb), records...); err != nil {
		tb.Fatal(err)
	}
	return values
}

func lag(tb testing.TB, b *kafkatest.Broker, group, topic string) []kafka.PartitionLag {
	tb.Helper()
	var lags []kafka.PartitionLag
	eventually(tb, "the lag of "+group+" can be read", func() bool {
		var err error
		lags, err = kafka.Lag(within(tb), b.Conn, group, topic)
		return err == nil
	})
	return lags
}

func behind(lags []kafka.PartitionLag) (n int64) {
	for _, l := range lags {
		n += l.Behind()
	}
	return n
}

// idle waits until the group has committed everything.
func idle(tb testing.TB, b *kafkatest.Broker, group, topic string) {
	tb.Helper()
	eventually(tb, group+" has committed everything", func() bool { return behind(lag(tb, b, group, topic)) == 0 })
}

func settings(b *kafkatest.Broker, group, topic string) kafka.ConsumerConfig {
	return kafka.ConsumerConfig{Conn: b.Conn, Group: group, Topics: []string{topic}, Policy: kafka.BatchPolicy{MaxRecords: 500, MaxAge: 20 * time.Millisecond}}
}

var errBroken = errors.New("the table is gone")
