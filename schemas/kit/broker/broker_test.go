package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/schemas/kit/broker"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

const (
	patience      = time.Minute
	childVariable = "DWIARAH_BROKER_TEST_CHILD"
	topic         = "mentions.raw.v1"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	if dir := os.Getenv(childVariable); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m)
}

var topics = []kafka.TopicSpec{{Name: topic, Partitions: 3, Config: map[string]string{"retention.ms": strconv.Itoa(72 * 3600 * 1000)}}}

func start(tb testing.TB, cfg broker.Config) *broker.Broker {
	tb.Helper()
	b, err := broker.Start(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}

func produce(ctx context.Context, addr string, from, to int) error {
	p, err := kafka.NewProducer(kafka.ProducerConfig{Conn: kafka.Conn{Brokers: []string{addr}}})
	if err != nil {
		return err
	}
	var records []kafka.Record
	for i := from; i < to; i++ {
		records = append(records, kafka.Record{Topic: topic, Key: []byte(strconv.Itoa(i)), Value: []byte(strconv.Itoa(i))})
	}
	return errors.Join(p.Produce(ctx, records...), p.Close())
}

// consume reads until n different values have come and returns how often each did.
func consume(tb testing.TB, addr, group string, n int) map[string]int {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got := map[string]int{}
	c, err := kafka.NewConsumer(kafka.ConsumerConfig{Conn: kafka.Conn{Brokers: []string{addr}}, Group: group, Topics: []string{topic},
		Policy: kafka.BatchPolicy{MaxAge: 10 * time.Millisecond}}, func(_ context.Context, batch []kafka.Record) error {
		for _, r := range batch {
			got[string(r.Value)]++
		}
		if len(got) >= n {
			cancel()
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.Run(ctx); err != nil {
		tb.Fatal(err)
	}
	return got
}

func TestLogAndOffsetsSurviveARestart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dir := t.TempDir()
	b, err := broker.Start(broker.Config{DataDir: dir, Topics: topics})
	if err != nil {
		t.Fatal(err)
	}
	addr := b.Addr()
	if err := produce(ctx, addr, 0, 1000); err != nil {
		t.Fatal(err)
	}
	if got := consume(t, addr, "first", 1000); len(got) != 1000 {
		t.Fatalf("%d values came", len(got))
	}
	before, err := kafka.Lag(ctx, kafka.Conn{Brokers: []string{addr}}, "first", topic)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{addr, "127.0.0.1:0"} { // the same port, and whichever
		b, err := broker.Start(broker.Config{Addr: again, DataDir: dir, Topics: topics})
		if err != nil {
			t.Fatal(err)
		}
		if again == addr && b.Addr() != addr {
			t.Errorf("the broker is at %s, want %s", b.Addr(), addr)
		}
		after, err := kafka.Lag(ctx, kafka.Conn{Brokers: []string{b.Addr()}}, "first", topic)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("before %+v, after %+v", before, after)
		}
		if got := consume(t, b.Addr(), "group of "+again, 1000); len(got) != 1000 {
			t.Errorf("%d values came to a new group", len(got))
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// child is a broker in a process of its own, with a consumer that commits, until it is killed.
func child(dir string) {
	b, err := broker.Start(broker.Config{DataDir: dir, Topics: topics})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	ctx := context.Background()
	go func() {
		c, err := kafka.NewConsumer(kafka.ConsumerConfig{Conn: kafka.Conn{Brokers: []string{b.Addr()}}, Group: "killed", Topics: []string{topic},
			Policy: kafka.BatchPolicy{MaxAge: time.Millisecond}}, func(context.Context, []kafka.Record) error { return nil })
		if err == nil {
			err = c.Run(ctx)
		}
		fmt.Println("error", err)
	}()
	for i := 0; ; i += 10 {
		if err := produce(ctx, b.Addr(), i, i+10); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(i + 10) // acknowledged up to here
	}
}

// What was acknowledged outlives kill -9, and the committed offsets are never ahead of the log.
func TestAcknowledgedOutlivesKill(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for round := range 3 {
		dir := t.TempDir()
		process := exec.Command(os.Args[0])
		process.Env = append(os.Environ(), childVariable+"="+dir)
		out, err := process.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged := 0
		for acknowledged < 300*(round+1) {
			var line string
			if _, err := fmt.Fscanln(out, &line); err != nil {
				t.Fatal(err)
			}
			if acknowledged, err = strconv.Atoi(line); err != nil {
				t.Fatalf("the child says %q", line)
			}
		}
		if err := process.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for { // what it said before it died
			var line string
			if _, err := fmt.Fscanln(out, &line); err != nil {
				break
			}
			if n, err := strconv.Atoi(line); err == nil {
				acknowledged = n
			}
		}
		_ = process.Wait() // killed

		b := start(t, broker.Config{DataDir: dir, Topics: topics})
		lags, err := kafka.Lag(ctx, kafka.Conn{Brokers: []string{b.Addr()}}, "killed", topic)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lags {
			if l.Committed > l.End {
				t.Errorf("partition %d: offset %d is committed, the log ends at %d", l.Partition, l.Committed, l.End)
			}
		}
		got := consume(t, b.Addr(), "after", acknowledged)
		for i := range acknowledged {
			if got[strconv.Itoa(i)] == 0 {
				t.Fatalf("record %d of %d acknowledged ones is gone", i, acknowledged)
			}
		}
	}
}

func TestOneBrokerADirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, err := broker.Start(broker.Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := broker.Start(broker.Config{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "in use by another broker") {
		t.Errorf("the second one: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, broker.Config{DataDir: dir})
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	if _, port, _ := net.SplitHostPort(start(t, broker.Config{}).Addr()); port == "0" || port == "" {
		t.Errorf("port %q", port)
	}
	taken := start(t, broker.Config{Addr: "localhost:0"}).Addr()
	for addr, want := range map[string]string{
		"0.0.0.0:9092":   "serves loopback only",
		":9092":          "serves loopback only",
		"192.0.2.1:9092": "serves loopback only",
		"9092":           "want host:port",
		taken:            "address already in use",
	} {
		if _, err := broker.Start(broker.Config{Addr: addr}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", addr, err, want)
		}
	}
}

func TestTopicsMustMatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, err := broker.Start(broker.Config{DataDir: dir, Topics: topics})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	var wrong *kafka.PartitionsError
	_, err = broker.Start(broker.Config{DataDir: dir, Topics: []kafka.TopicSpec{{Name: topic, Partitions: 12}}})
	if !errors.As(err, &wrong) || wrong.Have != 3 || wrong.Want != 12 {
		t.Errorf("got %v", err)
	}
	start(t, broker.Config{DataDir: dir, Topics: topics}) // the failed start left nothing behind
}

func TestUnusableDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.Start(broker.Config{DataDir: file}); err == nil || !strings.Contains(err.Error(), "data directory") {
		t.Errorf("got %v", err)
	}
}

// What a topic's retention has ended leaves the disk, also of a topic that was made without one.
func TestRetentionReachesTheDisk(t *testing.T) {
	dir := t.TempDir()
	run := func(config map[string]string, do func(conn kafka.Conn)) {
		t.Helper()
		b, err := broker.Start(broker.Config{DataDir: dir, Log: slog.New(slog.DiscardHandler), Topics: []kafka.TopicSpec{{Name: topic, Partitions: 1, Config: config}}})
		if err != nil {
			t.Fatal(err)
		}
		do(kafka.Conn{Brokers: []string{b.Addr()}})
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	const said = "air di tempat kami keruh"
	holders := func() (n int) {
		t.Helper()
		if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			if bytes.Contains(b, []byte(said)) {
				n++
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	run(nil, func(conn kafka.Conn) {
		p, err := kafka.NewProducer(kafka.ProducerConfig{Conn: conn})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if err := p.Produce(t.Context(), kafka.Record{Topic: topic, Value: []byte(said)}); err != nil {
			t.Fatal(err)
		}
	})
	run(map[string]string{"retention.ms": "3600000"}, func(kafka.Conn) {})
	if holders() == 0 {
		t.Error("what is an hour old at most is gone")
	}
	run(map[string]string{"retention.ms": "1"}, func(kafka.Conn) {})
	if n := holders(); n > 0 {
		t.Errorf("%d files hold what the retention has ended", n)
	}
}

// Who closes a broker that is closed is answered, and nothing hangs.
func TestClosedTwice(t *testing.T) {
	t.Parallel()
	b, err := broker.Start(broker.Config{DataDir: t.TempDir(), Topics: topics})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() {
		done <- b.Close()
		done <- b.Close()
	}()
	for range 2 {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Fatal("closing hangs")
		}
	}
}
