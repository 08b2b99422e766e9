package poll_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/ingest/internal/identity"
	"github.com/dwiarah/dwiarah/ingest/internal/poll"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/topic"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/identitykey"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/broker"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter is a platform that writes one message a page, and as many as pages more than the cursor says; then it fails, or is complete.
type counter struct {
	pages int
	fail  error
	now   time.Time
}

func (c *counter) Connector() string { return "web:counter" }

func (c *counter) Check(context.Context) error { return nil }

func (c *counter) Poll(ctx context.Context, cursor json.RawMessage, emit source.Emit) error {
	at := 0
	if cursor != nil {
		if err := json.Unmarshal(cursor, &at); err != nil {
			return err
		}
	}
	for range c.pages {
		at++
		m := &schemas.Message{Platform: "web", MessageID: fmt.Sprint(at), Institution: "kota", Account: "kota", Kind: "mention", AuthorID: "u", CreatedAt: c.now, Text: "halo"}
		if err := emit(ctx, source.Page{Items: []source.Item{{Message: m}}, Cursor: json.RawMessage(fmt.Sprint(at))}); err != nil {
			return err
		}
	}
	if c.fail != nil {
		return c.fail
	}
	return emit(ctx, source.Page{CompleteSince: c.now.Add(-time.Hour), CompleteUntil: c.now})
}

func (c *counter) Backfill(context.Context, time.Time, time.Time, source.Emit) error {
	return errors.ErrUnsupported
}

type bench struct {
	*testing.T
	dir    string
	source *counter
	dirs   *institutions.Directory
}

func newBench(t *testing.T) *bench {
	t.Helper()
	d, err := institutions.Parse("i.yaml", []byte(`institutions: [{id: kota, name: Kota, zone: UTC, accounts: {web: [{handle: kota}]}, purpose: p, legal_basis: l, retention: {text_days: 1, facts_days: 1}}]`))
	if err != nil {
		t.Fatal(err)
	}
	return &bench{T: t, dir: t.TempDir(), dirs: d, source: &counter{now: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)}}
}

func (b *bench) start() *broker.Broker {
	b.Helper()
	k, err := broker.Start(broker.Config{Topics: []kafka.TopicSpec{{Name: schemas.TopicRaw, Partitions: 1}, {Name: schemas.TopicLedger, Partitions: 1}}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { k.Close() })
	return k
}

// poll polls once against a broker.
func (b *bench) poll(ctx context.Context, addr string) error {
	b.Helper()
	ring, err := identitykey.Parse("identity 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\nauthor 1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n")
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	producer, err := kafka.NewProducer(kafka.ProducerConfig{Conn: kafka.Conn{Brokers: []string{addr}}, Log: log})
	if err != nil {
		b.Fatal(err)
	}
	defer producer.Close()
	schedule, err := poll.ParseSchedule("@every 1h")
	if err != nil {
		b.Fatal(err)
	}
	feed := poll.Feed{Source: b.source, Institutions: []*institutions.Institution{b.dirs.Institution("kota")}, Account: "kota", Platform: "web", Schedule: schedule}
	p := poll.New(poll.Config{
		Feeds: []poll.Feed{feed}, Converter: identity.New(ring, b.dirs), Producer: producer, StateDir: b.dir, Log: log,
		Now: func() time.Time { return b.source.now }, Finish: 300 * time.Millisecond,
	})
	return p.Poll(ctx, feed)
}

func (b *bench) position() poll.Position {
	b.Helper()
	all, err := poll.Load(b.dir, []string{b.source.Connector()})
	if err != nil {
		b.Fatal(err)
	}
	return all[0]
}

func (b *bench) ledger(addr string) (all []*event.Coverage) {
	b.Helper()
	err := topic.Read(b.Context(), kafka.Conn{Brokers: []string{addr}}, schemas.TopicLedger, topic.Options{FromStart: true}, func(r kafka.Record) error {
		var l event.LedgerEntry
		if err := event.Decode(r.Headers[0].Value, r.Value, &l); err != nil {
			return err
		}
		all = append(all, l.GetCoverage())
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return all
}

func TestThePositionWaitsForKafka(t *testing.T) {
	b := newBench(t)
	b.source.pages = 3
	k := b.start()
	addr := k.Addr()
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := b.poll(ctx, addr); err != nil {
		t.Errorf("a stop while Kafka is away: %v", err)
	}
	if p := b.position(); p.Cursor != nil || !p.Until.IsZero() {
		t.Errorf("the position ran ahead of Kafka: %+v", p)
	}
	k = b.start()
	if err := b.poll(t.Context(), k.Addr()); err != nil {
		t.Fatal(err)
	}
	if p := b.position(); string(p.Cursor) != "3" || !p.Until.Equal(b.source.now) {
		t.Errorf("position %+v", p)
	}
}

func TestStretchesAndGaps(t *testing.T) {
	b := newBench(t)
	k := b.start()
	first := b.source.now
	step := func(minutes int, fail error) poll.Position {
		t.Helper()
		b.source.now, b.source.fail, b.source.pages = first.Add(time.Duration(minutes)*time.Minute), fail, 1
		if err := b.poll(t.Context(), k.Addr()); err != nil {
			t.Fatal(err)
		}
		return b.position()
	}
	step(0, nil)
	step(1, nil)
	step(2, errors.New("anything"))
	step(3, &source.Error{Gap: schemas.GapBudget, Err: errors.New("used up")})
	healed := step(4, nil)
	if !healed.Since.Equal(first.Add(-time.Hour)) || healed.Error != "" {
		t.Errorf("healed: %+v", healed)
	}
	step(5, &source.Error{Gap: schemas.GapClamp, Err: errors.New("out of reach")})
	after := step(6, nil)
	if !after.Since.Equal(first.Add(5*time.Minute)) || string(after.Cursor) != "7" {
		t.Errorf("after the hole: %+v", after)
	}
	var got []string
	for _, c := range b.ledger(k.Addr()) {
		got = append(got, fmt.Sprintf("%s %s %s-%s", c.Status, c.Reason, time.UnixMilli(c.SinceMs).UTC().Format("15:04"), time.UnixMilli(c.UntilMs).UTC().Format("15:04")))
	}
	want := []string{
		"complete  07:00-08:00", "complete  07:00-08:01", "gap outage 08:01-08:02", "gap budget 08:01-08:03", "complete  07:00-08:04", "gap clamp 08:04-08:05", "complete  08:05-08:06",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("ledger\n got %q\nwant %q", got, want)
	}
}
