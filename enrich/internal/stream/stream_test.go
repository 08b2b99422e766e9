package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/broker"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// patience bounds every wait for what must happen; no test measures time.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	code := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var at = time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)

func message(id, text string) *event.Message {
	return &event.Message{Institution: "dinas-a", Platform: schemas.PlatformMastodon, MessageId: id, Kind: schemas.KindReply, Direction: schemas.Inbound, Text: text}
}

func raw(t testing.TB, m *event.Message) kafka.Record {
	t.Helper()
	value, err := event.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return kafka.Record{Topic: schemas.TopicRaw, Key: []byte(m.MessageId), Value: value, Time: at,
		Headers: []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}, {Key: "trace", Value: []byte("1")}}}
}

// label is a labeller that fails where the text says so.
func label(release <-chan struct{}) func(*event.Message) *event.Enrichment {
	return func(m *event.Message) *event.Enrichment {
		switch m.Text {
		case "panic":
			panic("broken")
		case "hang":
			<-release
		}
		return &event.Enrichment{Sentiment: schemas.Neutral, Lang: "id", ModelSeq: 1}
	}
}

var unknown = &event.Enrichment{Sentiment: schemas.SentimentUnknown}

// log is a producer that remembers.
type log struct {
	mu      sync.Mutex
	records []kafka.Record
	err     error
}

func (l *log) Produce(_ context.Context, records ...kafka.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.records = append(l.records, records...)
	return nil
}

func stage(t testing.TB, p Producer, timeout time.Duration) (*Stage, *prometheus.Registry, func()) {
	t.Helper()
	registry := prometheus.NewRegistry()
	release := make(chan struct{})
	s, err := New(Config{Label: label(release), Unknown: unknown, Workers: 3, Timeout: timeout, Producer: p, Log: slog.Default(), Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	return s, registry, sync.OnceFunc(func() { close(release) })
}

func mixed(t testing.TB) []kafka.Record {
	gone := message("gone", "")
	deleted := at.UnixMilli()
	gone.DeletedAtMs = &deleted
	noID, badPlatform, badText := message("", "x"), message("p", "x"), message("u", "a\xff")
	badPlatform.Platform = "fax"
	future := raw(t, message("v9", "x"))
	future.Headers = []kafka.Header{{Key: event.SchemaHeader, Value: []byte("9")}}
	batch := []kafka.Record{
		raw(t, message("a", "Halo min")), raw(t, gone), raw(t, noID), raw(t, badPlatform), raw(t, badText), future,
		{Topic: schemas.TopicRaw, Key: []byte("bytes"), Value: []byte("\x00\xff not a message"), Time: at, Headers: []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}}},
		raw(t, message("b", "panic")), raw(t, message("c", "terima kasih")),
	}
	for n := range batch {
		batch[n].Offset = int64(n)
	}
	return batch
}

// F11, enrich's part, and F22: a panic costs one label.
func TestEveryRecordIsEnrichedOrDeadLettered(t *testing.T) {
	l := &log{}
	s, registry, _ := stage(t, l, patience)
	batch := mixed(t)
	if err := s.Handle(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range l.records {
		if string(r.Headers[0].Value) != string(event.SchemaValue()) || !r.Time.Equal(at) {
			t.Errorf("%q: schema header or time is not the record's", r.Key)
		}
		switch r.Topic {
		case schemas.TopicEnriched:
			e := &event.Enriched{}
			if err := event.Decode(r.Headers[0].Value, r.Value, e); err != nil {
				t.Fatal(err)
			}
			if len(r.Headers) != 2 || r.Headers[1].Key != "trace" {
				t.Errorf("%q: the other headers are lost", r.Key)
			}
			out = append(out, string(r.Key)+" "+e.GetEnrichment().GetSentiment())
		case schemas.TopicDead:
			d := &event.DeadLetter{}
			if err := event.Decode(r.Headers[0].Value, r.Value, d); err != nil {
				t.Fatal(err)
			}
			in := batch[d.Offset]
			if !bytes.Equal(d.Original, in.Value) || d.Source != schemas.TopicRaw || d.Stage != schemas.StageEnrich || d.Attempt != 1 || len(d.Headers) != len(in.Headers) {
				t.Errorf("letter of offset %d does not keep the record: %v", d.Offset, d)
			}
			out = append(out, fmt.Sprintf("offset %d %s", d.Offset, d.Reason))
		}
	}
	want := []string{"a neutral", "gone ", "b unknown", "c neutral", "offset 2 missing_field", "offset 3 unknown_platform", "offset 4 invalid_utf8", "offset 5 unknown_schema", "offset 6 malformed"}
	if !slices.Equal(out, want) {
		t.Errorf("got  %q\nwant %q", out, want)
	}
	counts(t, registry, map[string]float64{"consumed": 9, "enriched": 4, "dead_lettered": 5, "unknown": 1})
}

// counts compares the sums of the stage's counters, and holds consumed = enriched + dead-lettered.
func counts(t testing.TB, registry *prometheus.Registry, want map[string]float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		name := strings.TrimSuffix(strings.TrimPrefix(f.GetName(), "dwiarah_enrich_"), "_total")
		for _, m := range f.Metric {
			got[name] += m.GetCounter().GetValue()
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counters: got %v, want %v", got, want)
	}
	if got["consumed"] != got["enriched"]+got["dead_lettered"] {
		t.Errorf("counters do not add up: %v", got)
	}
}

// F17: what a newer ingest says beyond this release's fields goes through to whoever knows it.
func TestFieldsOfANewerReleasePass(t *testing.T) {
	l := &log{}
	s, _, _ := stage(t, l, patience)
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 7)
	m := message("a", "halo")
	m.ProtoReflect().SetUnknown(unknown)
	if err := s.Handle(t.Context(), []kafka.Record{raw(t, m), raw(t, message("b", "halo"))}); err != nil {
		t.Fatal(err)
	}
	e := &event.Enriched{}
	if err := event.Decode(event.SchemaValue(), l.records[0].Value, e); err != nil || len(l.records) != 2 {
		t.Fatal(len(l.records), err)
	}
	if got := e.Message.ProtoReflect().GetUnknown(); !bytes.Equal(got, unknown) || e.Enrichment.GetSentiment() != schemas.Neutral {
		t.Errorf("fields %x, labelled %v", got, e.Enrichment)
	}
}

func TestReplayWritesTheSameBytes(t *testing.T) {
	a, b := &log{}, &log{}
	for _, l := range []*log{a, b} {
		s, _, _ := stage(t, l, patience)
		if err := s.Handle(t.Context(), mixed(t)); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.records) == 0 || fmt.Sprintf("%#v", a.records) != fmt.Sprintf("%#v", b.records) {
		t.Error("two runs over one batch differ")
	}
}

// F22: hanging costs the labels of the messages that hang, and bounded time.
func TestHangIsBounded(t *testing.T) {
	l := &log{}
	s, registry, release := stage(t, l, 20*time.Millisecond)
	defer release()
	batch := []kafka.Record{raw(t, message("a", "hang")), raw(t, message("b", "hang")), raw(t, message("c", "hang")), raw(t, message("d", "hang")), raw(t, message("e", "halo"))}
	if err := s.Handle(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if len(l.records) != len(batch) {
		t.Fatalf("%d records for %d messages", len(l.records), len(batch))
	}
	counts(t, registry, map[string]float64{"consumed": 5, "enriched": 5, "dead_lettered": 0, "unknown": 4})
}

// F22: a classifier that hangs on everything stops the stage, before anything is committed.
func TestHangingForGoodStops(t *testing.T) {
	s, registry, release := stage(t, &log{}, 5*time.Millisecond)
	defer release()
	var batch []kafka.Record
	for n := range maxAbandoned + 1 {
		batch = append(batch, raw(t, message(fmt.Sprint(n), "hang")))
	}
	if err := s.Handle(t.Context(), batch); err == nil {
		t.Fatal("a labeller that hangs for good has to stop the stage")
	}
	counts(t, registry, map[string]float64{"consumed": 0, "enriched": 0, "dead_lettered": 0, "unknown": 0})
}

func TestNothingIsCountedBeforeItIsDurable(t *testing.T) {
	away := errors.New("broker away")
	s, registry, _ := stage(t, &log{err: away}, patience)
	if err := s.Handle(t.Context(), mixed(t)); !errors.Is(err, away) {
		t.Fatalf("got %v, want the producer's error", err)
	}
	counts(t, registry, map[string]float64{"consumed": 0, "enriched": 0, "dead_lettered": 0, "unknown": 0})
}

func TestAttemptIsCounted(t *testing.T) {
	r := raw(t, message("", ""))
	r.Headers = append(r.Headers, kafka.Header{Key: attemptHeader, Value: []byte("3")})
	got, err := letter(&r, dead{0, schemas.DeadMissingField, ""})
	if err != nil {
		t.Fatal(err)
	}
	d := &event.DeadLetter{}
	if err := event.Decode(event.SchemaValue(), got.Value, d); err != nil {
		t.Fatal(err)
	}
	if d.Attempt != 4 {
		t.Errorf("attempt %d, want 4", d.Attempt)
	}
}

// F12, enrich's part.
func TestLargestRecordsFit(t *testing.T) {
	l := &log{}
	s, _, _ := stage(t, l, patience)
	good := raw(t, message("big", strings.Repeat("x", 990_000)))
	bad := kafka.Record{Topic: schemas.TopicRaw, Value: bytes.Repeat([]byte{0xff}, 999_000), Time: at}
	if err := s.Handle(t.Context(), []kafka.Record{good, bad}); err != nil {
		t.Fatal(err)
	}
	for _, r := range l.records {
		if r.Size() > MaxRecordBytes-wireRoom || r.Size() < 990_000 {
			t.Errorf("record for %s has %d bytes", r.Topic, r.Size())
		}
	}
}

// TestThroughABroker runs the stage between real topics: everything arrives, keyed as it came, and a second group writes the same bytes again.
func TestThroughABroker(t *testing.T) {
	b, err := broker.Start(broker.Config{Topics: []kafka.TopicSpec{{Name: schemas.TopicRaw, Partitions: 3}, {Name: schemas.TopicEnriched, Partitions: 3}, {Name: schemas.TopicDead, Partitions: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	conn := kafka.Conn{Brokers: []string{b.Addr()}, ClientID: "test"}
	p, err := kafka.NewProducer(kafka.ProducerConfig{Conn: conn, MaxRecordBytes: MaxRecordBytes})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const n = 300
	batch := mixed(t)
	for i := range n {
		batch = append(batch, raw(t, message(fmt.Sprint("m", i), "Halo")))
	}
	if err := p.Produce(t.Context(), batch...); err != nil {
		t.Fatal(err)
	}
	for round := 1; round <= 2; round++ {
		s, registry, _ := stage(t, p, patience)
		c, err := kafka.NewConsumer(kafka.ConsumerConfig{Conn: conn, Group: fmt.Sprint("enrich-", round), Topics: []string{schemas.TopicRaw}, Policy: kafka.BatchPolicy{MaxRecords: 50, MaxAge: 10 * time.Millisecond}}, s.Handle)
		if err != nil {
			t.Fatal(err)
		}
		until(t, c, func() bool { return testutil.ToFloat64(s.metrics.consumed) == float64(len(batch)) })
		counts(t, registry, map[string]float64{"consumed": float64(len(batch)), "enriched": n + 4, "dead_lettered": 5, "unknown": 1})
	}
	got := read(t, conn, schemas.TopicEnriched, 2*(n+4))
	for key, values := range got {
		if len(values) != 2 || !bytes.Equal(values[0], values[1]) {
			t.Errorf("%q: %d records, or two that differ", key, len(values))
		}
	}
	if len(got) != n+4 {
		t.Errorf("%d keys, want %d", len(got), n+4)
	}
	read(t, conn, schemas.TopicDead, 2*5)
}

// until runs the consumer until ok holds.
func until(t testing.TB, c *kafka.Consumer, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	for !ok() {
		select {
		case err := <-done:
			t.Fatalf("the consumer ended early: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// read returns the values of a topic by key, once it has n records.
func read(t testing.TB, conn kafka.Conn, topic string, n int) map[string][][]byte {
	t.Helper()
	var mu sync.Mutex
	got, total := map[string][][]byte{}, 0
	c, err := kafka.NewConsumer(kafka.ConsumerConfig{Conn: conn, Group: "reader-" + topic, Topics: []string{topic}, Policy: kafka.BatchPolicy{MaxAge: 10 * time.Millisecond}},
		func(_ context.Context, batch []kafka.Record) error {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range batch {
				got[string(r.Key)] = append(got[string(r.Key)], r.Value)
				total++
			}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	until(t, c, func() bool { mu.Lock(); defer mu.Unlock(); return total >= n })
	if total != n {
		t.Errorf("topic %s has %d records, want %d", topic, total, n)
	}
	return got
}
