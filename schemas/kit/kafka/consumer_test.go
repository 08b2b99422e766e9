package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dwiarah/dwiarah/schemas/kit/crashpoint"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/kit/kafkatest"
)

func TestEverythingOfARecordArrives(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 1), kafkatest.Group(t)
	at := time.Now().UTC().Truncate(time.Millisecond) // Kafka deletes what is dated a week ago
	sent := []kafka.Record{
		{Topic: topic, Key: []byte("k"), Value: []byte("v"), Time: at, Headers: []kafka.Header{{Key: "schema", Value: []byte{1}}, {Key: "schema", Value: []byte("again")}, {Key: "flag"}}},
		{Topic: topic, Value: []byte("no key"), Time: at.Add(time.Second)},
		{Topic: topic, Key: []byte("tombstone"), Time: at.Add(-time.Hour)},
		{Topic: topic, Key: []byte{0, 0xff}, Value: []byte("\x00\xff\n"), Time: at},
	}
	if err := producer(t, b).Produce(within(t), sent...); err != nil {
		t.Fatal(err)
	}
	var s store
	r := run(t, settings(b, group, topic), s.handle)
	idle(t, b, group, topic)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for i := range sent {
		sent[i].Offset = int64(i)
	}
	if diff := cmp.Diff(sent, s.all()); diff != "" {
		t.Errorf("-sent +got:\n%s", diff)
	}
}

func TestManyPartitionsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 12), kafkatest.Group(t)
	const keys, versions = 200, 40
	p := producer(t, b)
	for v := range versions {
		batch := make([]kafka.Record, keys)
		for k := range batch {
			batch[k] = kafka.Record{Topic: topic, Key: []byte(strconv.Itoa(k)), Value: []byte(strconv.Itoa(v))}
		}
		if err := p.Produce(within(t), batch...); err != nil {
			t.Fatal(err)
		}
	}
	var s store
	registry := prometheus.NewRegistry()
	cfg := settings(b, group, topic)
	cfg.Metrics = registry
	r := run(t, cfg, s.handle)
	idle(t, b, group, topic)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	next, where := map[string]int{}, map[string]int{}
	for _, got := range s.all() {
		key := string(got.Key)
		if want := strconv.Itoa(next[key]); string(got.Value) != want {
			t.Fatalf("key %s: got version %s, want %s", key, got.Value, want)
		}
		if before, seen := where[key]; seen && before != got.Partition {
			t.Fatalf("key %s is in partitions %d and %d", key, before, got.Partition)
		}
		next[key]++
		where[key] = got.Partition
	}
	for _, batch := range s.batches {
		if len(batch) > cfg.Policy.MaxRecords {
			t.Errorf("a batch has %d records", len(batch))
		}
	}
	if n := len(s.all()); n != keys*versions {
		t.Errorf("got %d records, want %d", n, keys*versions)
	}
	want := fmt.Sprintf("# HELP dwiarah_consumer_records_total Records handled and committed.\n# TYPE dwiarah_consumer_records_total counter\n"+
		"dwiarah_consumer_records_total{group=%q,topic=%q} %d\n", group, topic, keys*versions)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "dwiarah_consumer_records_total"); err != nil {
		t.Error(err)
	}
}

// Java's partitioner: whoever else writes to the topic must choose the same partition.
func TestPartitionIsMurmur2OfTheKey(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 12), kafkatest.Group(t)
	// From org.apache.kafka.common.utils.Utils.murmur2, masked, modulo 12.
	want := map[string]int{"21": (-973932308 & 0x7fffffff) % 12, "foobar": (-790332482 & 0x7fffffff) % 12, "a-little-bit-long-string": (-985981536 & 0x7fffffff) % 12}
	var records []kafka.Record
	for key := range want {
		records = append(records, kafka.Record{Topic: topic, Key: []byte(key)})
	}
	if err := producer(t, b).Produce(within(t), records...); err != nil {
		t.Fatal(err)
	}
	var s store
	run(t, settings(b, group, topic), s.handle)
	idle(t, b, group, topic)
	got := map[string]int{}
	for _, r := range s.all() {
		got[string(r.Key)] = r.Partition
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestHandlerErrorStopsRunAndCommitsNothing(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 3), kafkatest.Group(t)
	values := produce(t, b, topic, "v", 100)
	err := run(t, settings(b, group, topic), func(context.Context, []kafka.Record) error { return errBroken }).wait()
	if !errors.Is(err, errBroken) {
		t.Fatalf("Run returned %v", err)
	}
	if n := behind(lag(t, b, group, topic)); n != int64(len(values)) {
		t.Errorf("%d records are uncommitted, want all %d", n, len(values))
	}
	if n := b.Members(t, group); n != 0 {
		t.Errorf("the group still has %d members: the others would wait for the session to end", n)
	}
	var s store
	run(t, settings(b, group, topic), s.handle)
	idle(t, b, group, topic)
	if n := len(s.values()); n != len(values) {
		t.Errorf("%d values came again, want %d", n, len(values))
	}
}

func TestDrainCommitsTheRunningBatch(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 3), kafkatest.Group(t)
	produce(t, b, topic, "v", 1000)
	var s store
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r := run(t, settings(b, group, topic), func(ctx context.Context, batch []kafka.Record) error {
		once.Do(func() { close(entered) })
		<-release
		if err := ctx.Err(); err != nil {
			t.Errorf("shutdown ended the handler's ctx: %v", err)
		}
		return s.handle(ctx, batch)
	})
	<-entered
	r.cancel()
	close(release)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	stored := len(s.all())
	if left := behind(lag(t, b, group, topic)); stored == 0 || left != int64(1000-stored) {
		t.Errorf("%d records are stored, %d of 1000 uncommitted", stored, left)
	}
	run(t, settings(b, group, topic), s.handle)
	idle(t, b, group, topic)
	for v, n := range s.values() {
		if n != 1 {
			t.Fatalf("%s was handled %d times; a drain makes no repeats", v, n)
		}
	}
	if n := len(s.all()); n != 1000 {
		t.Errorf("%d records are stored, want 1000", n)
	}
}

func TestDrainCommitsWhatWasGathered(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 1), kafkatest.Group(t)
	produce(t, b, topic, "v", 10)
	registry := prometheus.NewRegistry()
	cfg := settings(b, group, topic)
	cfg.Policy = kafka.BatchPolicy{MaxAge: time.Hour} // only the drain ends the batch
	cfg.Metrics = registry
	var s store
	r := run(t, cfg, s.handle)
	eventually(t, "the records are fetched", func() bool { return gauge(t, registry, "dwiarah_consumer_buffered_records") == 10 })
	eventually(t, "the drain hands them on", func() bool { return r.stop() == nil })
	if left := behind(lag(t, b, group, topic)); len(s.all()) != 10 || left != 0 {
		t.Errorf("%d records are stored, %d uncommitted", len(s.all()), left)
	}
}

func TestDrainDeadline(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 1), kafkatest.Group(t)
	produce(t, b, topic, "v", 10)
	cfg := settings(b, group, topic)
	cfg.DrainTimeout = 50 * time.Millisecond
	entered := make(chan struct{}, 100)
	r := run(t, cfg, func(ctx context.Context, _ []kafka.Record) error {
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	<-entered
	if err := r.stop(); err == nil || !strings.Contains(err.Error(), "draining") {
		t.Errorf("Run returned %v, want an error of the drain", err)
	}
	if left := behind(lag(t, b, group, topic)); left != 10 {
		t.Errorf("%d records are uncommitted, want 10", left)
	}
}

func TestTwoConsumersShareWithoutLoss(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 6), kafkatest.Group(t)
	var a, c store
	slowly := func(s *store) kafka.Handler {
		return func(ctx context.Context, batch []kafka.Record) error {
			time.Sleep(5 * time.Millisecond) // so that rebalances find a handler at work
			return s.handle(ctx, batch)
		}
	}
	cfg := settings(b, group, topic)
	cfg.Policy.MaxRecords = 50

	watching, unwatch := context.WithCancel(context.Background())
	var watcher sync.WaitGroup
	watcher.Go(func() { // committed offsets never go backwards
		last := map[int]int64{}
		for watching.Err() == nil {
			lags, err := kafka.Lag(watching, b.Conn, group, topic)
			if err != nil {
				continue // a group that rebalances may not answer
			}
			for _, l := range lags {
				if before, seen := last[l.Partition]; seen && l.Committed < before {
					t.Errorf("partition %d: committed offset went from %d back to %d", l.Partition, before, l.Committed)
				}
				last[l.Partition] = l.Committed
			}
		}
	})
	defer watcher.Wait()
	defer unwatch()

	first := run(t, cfg, slowly(&a))
	p := producer(t, b)
	var total atomic.Int64
	var writer sync.WaitGroup
	writing, finish := context.WithCancel(context.Background())
	defer finish()
	writer.Go(func() {
		for writing.Err() == nil {
			records := make([]kafka.Record, 50)
			for j := range records {
				v := strconv.AppendInt(nil, total.Load()+int64(j), 10)
				records[j] = kafka.Record{Topic: topic, Key: v, Value: v}
			}
			if err := p.Produce(within(t), records...); err != nil {
				t.Error(err)
				return
			}
			total.Add(int64(len(records)))
		}
	})
	eventually(t, "the first consumer works", func() bool { return len(a.all()) > 200 })
	second := run(t, cfg, slowly(&c))
	eventually(t, "the second consumer works", func() bool { return len(c.all()) > 200 })
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	alone := len(c.all())
	eventually(t, "the second consumer takes over", func() bool { return len(c.all()) > alone+200 })
	finish()
	writer.Wait()
	idle(t, b, group, topic)
	if err := second.stop(); err != nil {
		t.Fatal(err)
	}
	got := a.values()
	for v, n := range c.values() {
		got[v] += n
	}
	repeats := 0
	for i := range total.Load() {
		n := got[strconv.FormatInt(i, 10)]
		if n == 0 {
			t.Fatalf("record %d was never handled", i)
		}
		repeats += n - 1
	}
	t.Logf("%d of %d records were handled more than once", repeats, total.Load())
}

// A member that the group has given up finishes its batch: its commit must fail, or the new owner's position would be lost. F19.
func TestLateCommitFails(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 1), kafkatest.Group(t)
	produce(t, b, topic, "v", 10)
	registry := prometheus.NewRegistry()
	cfg := settings(b, group, topic)
	cfg.Metrics = registry
	entered, release := make(chan struct{}), make(chan struct{})
	var old, fresh store
	var calls atomic.Int64
	zombie := run(t, cfg, func(ctx context.Context, batch []kafka.Record) error {
		if calls.Add(1) == 1 {
			close(entered)
			<-release // beyond the generation, whatever ctx says
		}
		return old.handle(ctx, batch)
	})
	<-entered
	other := run(t, settings(b, group, topic), fresh.handle) // joins, so that the group asks the first one to join too, which it does not
	idle(t, b, group, topic)
	produce(t, b, topic, "w", 10)
	idle(t, b, group, topic)
	before := lag(t, b, group, topic)
	close(release)
	eventually(t, "the late commit was refused", func() bool { return counter(t, registry, "dwiarah_consumer_commit_failures_total") >= 1 })
	if diff := cmp.Diff(before, lag(t, b, group, topic)); diff != "" {
		t.Errorf("the late commit moved the group's offsets: -before +after:\n%s", diff)
	}
	if err := other.stop(); err != nil {
		t.Error(err)
	}
	produce(t, b, topic, "x", 10)
	idle(t, b, group, topic) // by the first one, a member again
	if err := zombie.stop(); err != nil {
		t.Error(err)
	}
	if n := fresh.values(); n["v.0"] != 1 || n["w.0"] != 1 || old.values()["x.0"] != 1 {
		t.Errorf("the owners handled %v and %v", n, old.values())
	}
}

// The handler of a generation that has ended is asked to stop; its batch is no error but comes again.
func TestGenerationEndAsksTheHandlerToStop(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 2), kafkatest.Group(t)
	values := produce(t, b, topic, "v", 10)
	entered := make(chan struct{})
	var s store
	var calls atomic.Int64
	r := run(t, settings(b, group, topic), func(ctx context.Context, batch []kafka.Record) error {
		if calls.Add(1) == 1 {
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		}
		return s.handle(ctx, batch)
	})
	<-entered
	other := run(t, settings(b, group, topic), s.handle)
	idle(t, b, group, topic)
	if err := errors.Join(r.stop(), other.stop()); err != nil {
		t.Error(err)
	}
	if n := len(s.values()); n != len(values) {
		t.Errorf("%d values are stored, want %d", n, len(values))
	}
}

// F9.
func TestOffsetThatRetentionAte(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 1), kafkatest.Group(t)
	cfg := settings(b, group, topic)
	produce(t, b, topic, "read", 10)
	var s store
	r := run(t, cfg, s.handle)
	idle(t, b, group, topic)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	produce(t, b, topic, "eaten", 25)
	produce(t, b, topic, "kept", 5)
	b.DeleteRecords(t, topic, 0, 35)

	var gap *kafka.OffsetRangeError
	if err := run(t, cfg, s.handle).wait(); !errors.As(err, &gap) {
		t.Fatalf("Run returned %v, want an OffsetRangeError", err)
	}
	if diff := cmp.Diff(&kafka.OffsetRangeError{Group: group, Topic: topic, Offset: 10, First: 35, End: 40}, gap); diff != "" || gap.Lost() != 25 {
		t.Errorf("lost %d; -want +got:\n%s", gap.Lost(), diff)
	}

	registry := prometheus.NewRegistry()
	cfg.AllowGap, cfg.Metrics = true, registry
	r = run(t, cfg, s.handle)
	idle(t, b, group, topic)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if lost := counter(t, registry, "dwiarah_consumer_lost_records_total"); lost != 25 {
		t.Errorf("%v records are counted as lost, want 25", lost)
	}
	if n := len(s.values()); n != 15 {
		t.Errorf("%d values are stored, want 15", n)
	}
}

// Positions that an operator rolls back, or deletes with the group, are where reading begins anew: repeats, and nothing skipped. F8.
func TestPositionsThatAnOperatorMoves(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	for name, c := range map[string]struct {
		move func(group, topic string)
		want int // records that come again
	}{
		"rolled back":   {func(group, topic string) { b.CommitOffset(t, group, topic, 0, 4) }, 6},
		"group deleted": {func(group, _ string) { b.DeleteGroup(t, group) }, 10},
	} {
		t.Run(name, func(t *testing.T) {
			topic, group := b.Topic(t, 1), kafkatest.Group(t)
			values := produce(t, b, topic, "v", 10)
			var s store
			r := run(t, settings(b, group, topic), s.handle)
			idle(t, b, group, topic)
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the group is empty", func() bool { return b.Members(t, group) == 0 })
			c.move(group, topic)
			values = append(values, produce(t, b, topic, "w", 5)...)
			r = run(t, settings(b, group, topic), s.handle)
			eventually(t, "everything is read", func() bool { return len(s.all()) == 10+c.want+5 })
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			times := s.values()
			for n, v := range values {
				want := 1
				if n < 10 && n >= 10-c.want {
					want = 2
				}
				if times[v] != want {
					t.Errorf("%s was read %d times, want %d", v, times[v], want)
				}
			}
		})
	}
}

// The group may start behind deleted records without a word: those were never its own.
func TestFirstOffsetNeedNotBeZero(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 1), kafkatest.Group(t)
	produce(t, b, topic, "v", 10)
	b.DeleteRecords(t, topic, 0, 4)
	var s store
	r := run(t, settings(b, group, topic), s.handle)
	idle(t, b, group, topic)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(s.all()); n != 6 {
		t.Errorf("%d records are stored, want 6", n)
	}
}

// From its first generation on the group has a position, even in partitions where it has handled nothing:
// otherwise what retention eats before the first batch would vanish without a word. F9.
func TestGapBeforeTheFirstBatch(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 1), kafkatest.Group(t)
	var s store
	r := run(t, settings(b, group, topic), s.handle)
	eventually(t, "the group has a position", func() bool { return lag(t, b, group, topic)[0].Committed == 0 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	produce(t, b, topic, "v", 10)
	b.DeleteRecords(t, topic, 0, 10)
	var gap *kafka.OffsetRangeError
	if err := run(t, settings(b, group, topic), s.handle).wait(); !errors.As(err, &gap) || gap.Lost() != 10 {
		t.Fatalf("Run returned %v, want an OffsetRangeError with 10 lost", err)
	}
}

// A topic that was made anew, or a log that was truncated, ends before the group's offset.
func TestOffsetPastTheEnd(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 1), kafkatest.Group(t)
	produce(t, b, topic, "new", 3)
	b.CommitOffset(t, group, topic, 0, 10)
	cfg := settings(b, group, topic)
	var s store
	var gap *kafka.OffsetRangeError
	if err := run(t, cfg, s.handle).wait(); !errors.As(err, &gap) || gap.Offset != 10 || gap.End != 3 || gap.Lost() != 0 {
		t.Fatalf("Run returned %v, want an OffsetRangeError past the end", err)
	}
	cfg.AllowGap = true
	run(t, cfg, s.handle)
	eventually(t, "the new records are read", func() bool { return s.values()["new.2"] == 1 })
}

func TestAddedPartitionsAreRead(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 1), kafkatest.Group(t)
	var s store
	run(t, settings(b, group, topic), s.handle)
	produce(t, b, topic, "one", 10)
	idle(t, b, group, topic)
	b.AddPartitions(t, topic, 4)
	eventually(t, "records of an added partition are read", func() bool {
		produce(t, b, topic, "four", 10)
		time.Sleep(200 * time.Millisecond) // kafka-go looks for partitions every 5 s: no need for thousands of records
		for _, r := range s.all() {
			if r.Partition > 0 {
				return true
			}
		}
		return false
	})
}

func TestMissingTopic(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	cfg := settings(b, kafkatest.Group(t), "nobody.made.this.v1")
	cfg.RestartAfter = 300 * time.Millisecond
	var missing *kafka.UnknownTopicError
	if err := run(t, cfg, (&store{}).handle).wait(); !errors.As(err, &missing) || missing.Topic != "nobody.made.this.v1" {
		t.Errorf("Run returned %v, want an UnknownTopicError", err)
	}
}

// A group whose topic is deleted would simply have nothing to read.
func TestTopicDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	kept, gone, group := b.Topic(t, 1), b.Topic(t, 1), kafkatest.Group(t)
	cfg := settings(b, group, kept)
	cfg.Topics = append(cfg.Topics, gone)
	cfg.RestartAfter = 500 * time.Millisecond
	var s store
	r := run(t, cfg, s.handle)
	produce(t, b, gone, "v", 10)
	idle(t, b, group, gone)
	b.DeleteTopic(t, gone)
	var missing *kafka.UnknownTopicError
	if err := r.wait(); !errors.As(err, &missing) || missing.Topic != gone {
		t.Errorf("Run returned %v, want an UnknownTopicError", err)
	}
}

// While the handler is at work, memory is bounded by the policy, not by the lag. F5, of the consumer.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 4), kafkatest.Group(t)
	produce(t, b, topic, "v", 20_000)
	registry := prometheus.NewRegistry()
	cfg := settings(b, group, topic)
	cfg.Policy = kafka.BatchPolicy{MaxRecords: 400, MaxAge: time.Hour}
	cfg.Metrics = registry
	release := make(chan struct{})
	var s store
	run(t, cfg, func(ctx context.Context, batch []kafka.Record) error {
		<-release
		return s.handle(ctx, batch)
	})
	// One batch at the handler, one in the queue, one chunk of an eighth at each of the four partitions and at the gatherer.
	const bound = 400 + 400 + 5*50
	buffered := func() float64 { return gauge(t, registry, "dwiarah_consumer_buffered_records") }
	eventually(t, "the buffers are full", func() bool { return buffered() >= 800 })
	for range 50 {
		if n := buffered(); n > bound {
			t.Fatalf("%v records are in memory, want at most %d", n, bound)
		}
		time.Sleep(10 * time.Millisecond)
	}
	close(release)
	eventually(t, "all full batches are handled", func() bool { return len(s.values()) >= 20_000-20_000%400 })
}

type progress struct {
	mu    sync.Mutex
	calls []string
}

func (p *progress) note(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, s)
}
func (p *progress) Advance() { p.note("advance") }
func (p *progress) Idle()    { p.note("idle") }

// Stuck is called all the time; TestOneStuckPartitionIsSeen looks at it.
func (p *progress) Stuck([]string) {}

func (p *progress) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.calls) == 0 {
		return ""
	}
	return p.calls[len(p.calls)-1]
}

func TestProgress(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 2), kafkatest.Group(t)
	var p progress
	cfg := settings(b, group, topic)
	cfg.Progress = &p
	entered, release := make(chan struct{}, 100), make(chan struct{})
	run(t, cfg, func(context.Context, []kafka.Record) error {
		entered <- struct{}{}
		<-release
		return nil
	})
	eventually(t, "idle on an empty topic", func() bool { return p.last() == "idle" })
	produce(t, b, topic, "v", 1)
	<-entered
	if got := p.last(); got != "advance" {
		t.Errorf("while the handler works the consumer is %q", got)
	}
	close(release)
	eventually(t, "idle again", func() bool { return p.last() == "idle" })
}

const childVariable = "DWIARAH_KAFKA_TEST_CHILD"

// child is the process that TestKillBeforeCommit kills: a consumer that writes what it handles to standard output.
func child() {
	args := strings.Split(os.Getenv(childVariable), ",")
	c, err := kafka.NewConsumer(kafka.ConsumerConfig{Conn: kafka.Conn{Brokers: []string{args[0]}}, Group: args[1], Topics: []string{args[2]},
		Policy: kafka.BatchPolicy{MaxRecords: 10, MaxAge: 10 * time.Millisecond}}, func(_ context.Context, batch []kafka.Record) error {
		for _, r := range batch {
			if _, err := fmt.Println(string(r.Value)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = c.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func TestKillBeforeCommit(t *testing.T) {
	t.Parallel()
	b := kafkatest.Shared(t)
	topic, group := b.Topic(t, 1), kafkatest.Group(t)
	values := produce(t, b, topic, "v", 100)
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), childVariable+"="+strings.Join([]string{b.Conn.Brokers[0], group, topic}, ","), crashpoint.Variable+"=consumer.before_commit:3")
	var out strings.Builder
	victim.Stdout, victim.Stderr = &out, io.Discard
	err := victim.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended with %v, want SIGKILL", err)
	}
	handled := strings.Fields(out.String())
	l := lag(t, b, group, topic)[0]
	if len(handled) == 0 || l.Committed >= int64(len(handled)) {
		t.Fatalf("the child handled %d records and committed offset %d; the last batch must be uncommitted", len(handled), l.Committed)
	}
	var s store
	run(t, settings(b, group, topic), s.handle)
	idle(t, b, group, topic)
	got := s.values()
	for _, v := range handled[:l.Committed] {
		got[v]++
	}
	for _, v := range values {
		if got[v] != 1 {
			t.Errorf("%s: committed or handled anew %d times, want once", v, got[v])
		}
	}
	if len(s.all()) != len(values)-int(l.Committed) {
		t.Errorf("%d records came again", len(s.all()))
	}
}

// F7, in good order.
func TestBrokerRestart(t *testing.T) {
	t.Parallel()
	b := kafkatest.Start(t)
	topic, group := b.Topic(t, 3), kafkatest.Group(t)
	var s store
	r := run(t, settings(b, group, topic), s.handle)
	p := producer(t, b)
	write := func(prefix string) {
		for i := range 200 {
			v := []byte(prefix + strconv.Itoa(i))
			if err := p.Produce(within(t), kafka.Record{Topic: topic, Key: v, Value: v}); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("before.")
	idle(t, b, group, topic)
	before := lag(t, b, group, topic)
	b.Stop(t)
	var writer sync.WaitGroup
	writer.Go(func() { write("during.") }) // begins while the broker is away, and must get through
	b.Restart(t)
	writer.Wait()
	idle(t, b, group, topic)
	after := lag(t, b, group, topic)
	for i := range before {
		if after[i].Committed < before[i].Committed || after[i].End < before[i].End {
			t.Errorf("the restart lost log or offsets: before %+v, after %+v", before[i], after[i])
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(s.values()); n != 400 {
		t.Errorf("%d values are stored, want 400", n)
	}
}

// gauge returns the sum of a metric over its labels.
func gauge(tb testing.TB, r *prometheus.Registry, name string) float64 {
	tb.Helper()
	families, err := r.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func counter(tb testing.TB, r *prometheus.Registry, name string) float64 { return gauge(tb, r, name) }
