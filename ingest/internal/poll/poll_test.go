package poll_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/ingest/internal/identity"
	"github.com/dwiarah/dwiarah/ingest/internal/poll"
	"github.com/dwiarah/dwiarah/ingest/internal/recheck"
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
	mu    sync.Mutex // of now, where a test moves the clock beside a poll
}

func (c *counter) clock() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *counter) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
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
	feed   *poll.Feed // instead of one of the source
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

// poller returns a poller of one feed before a broker.
func (b *bench) poller(addr string) (*poll.Poller, poll.Feed) {
	b.Helper()
	ring, err := identitykey.Parse("identity 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\nauthor 1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n" +
		"author 2 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e20\n")
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	producer, err := kafka.NewProducer(kafka.ProducerConfig{Conn: kafka.Conn{Brokers: []string{addr}}, Log: log})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { producer.Close() })
	feed := poll.Feed{Source: b.source, Institutions: []*institutions.Institution{b.dirs.Institution("kota")}, Account: "kota", Platform: "web"}
	if b.feed != nil {
		feed = *b.feed
	}
	if feed.Schedule == nil {
		if feed.Schedule, err = poll.ParseSchedule("@every 1m"); err != nil {
			b.Fatal(err)
		}
	}
	return poll.New(poll.Config{
		Feeds: []poll.Feed{feed}, Converter: identity.New(ring, b.dirs), Producer: producer, StateDir: b.dir, Log: log,
		Now: b.source.clock, Finish: 300 * time.Millisecond,
	}), feed
}

// poll polls once against a broker.
func (b *bench) poll(ctx context.Context, addr string) error {
	b.Helper()
	p, feed := b.poller(addr)
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
		if c := l.GetCoverage(); c != nil {
			all = append(all, c)
		}
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

// TestCoverageToTheSecond: whatever goes wrong and when, each second is covered or a gap with its reason, as the outages that were injected say.
func TestCoverageToTheSecond(t *testing.T) {
	for seed := range uint64(3) {
		b := newBench(t)
		k := b.start()
		p, feed := b.poller(k.Addr())
		random := rand.New(rand.NewPCG(seed, 7))
		begun := b.source.now
		want := map[int64]string{} // by second: covered, or the reason of the gap
		mark := func(from, until time.Time, what string) {
			for s := from.Unix(); s < until.Unix(); s++ {
				want[s] = what
			}
		}
		lost := map[int64]string{} // seconds that stay a gap, whatever comes later
		lastOK := begun
		for range 60 {
			b.source.move(time.Duration(20+random.IntN(80)) * time.Second)
			now := b.source.now
			reason := ""
			if random.IntN(3) == 0 {
				reason = []string{schemas.GapOutage, schemas.GapBudget, schemas.GapAuth, schemas.GapLimit, schemas.GapClamp}[random.IntN(5)]
			}
			b.source.fail, b.source.pages = nil, random.IntN(2)
			if reason != "" {
				b.source.fail = &source.Error{Gap: reason, Err: errors.New("injected")}
			}
			if err := p.Poll(t.Context(), feed); err != nil {
				t.Fatal(err)
			}
			switch reason {
			case "":
				mark(begun, now, "covered")
				lastOK = now
			case schemas.GapClamp:
				mark(lastOK, now, reason)
				for s := lastOK.Unix(); s < now.Unix(); s++ {
					lost[s] = reason
				}
				lastOK = now
			default:
				mark(lastOK, now, reason)
			}
			for s, what := range lost {
				want[s] = what
			}
		}
		// What the ledger says, the rows in their order: a complete stretch covers what was a gap.
		got := map[int64]string{}
		for _, c := range b.ledger(k.Addr()) {
			what := c.Reason
			if c.Status == schemas.CoverageComplete {
				what = "covered"
			}
			for s := max(c.SinceMs/1000, begun.Unix()); s < c.UntilMs/1000; s++ {
				got[s] = what
			}
		}
		for s := begun.Unix(); s < b.source.now.Unix(); s++ {
			if got[s] != want[s] {
				t.Fatalf("seed %d: second %d is %q, want %q", seed, s-begun.Unix(), got[s], want[s])
			}
		}
	}
}

// hanging is a platform that never answers.
type hanging struct{ *counter }

func (hanging) Poll(ctx context.Context, _ json.RawMessage, _ source.Emit) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// TestADeadConnectorShows: a source that was never read, and one whose poll hangs, are gaps within a period of their schedule.
func TestADeadConnectorShows(t *testing.T) {
	b := newBench(t)
	k := b.start()
	begun := b.source.now
	b.feed = &poll.Feed{Source: hanging{b.source}, Institutions: []*institutions.Institution{b.dirs.Institution("kota")}, Account: "kota", Platform: "web"}
	p, feed := b.poller(k.Addr())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	begin := make(chan struct{})
	go func() { close(begin); done <- p.Poll(ctx, feed) }()
	<-begin
	deadline := time.Now().Add(time.Minute)
	for minutes := 0; len(b.ledger(k.Addr())) < 3 && time.Now().Before(deadline); minutes++ {
		b.source.move(61 * time.Second)
		if err := p.Watch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	all := b.ledger(k.Addr())
	if len(all) != 3 {
		t.Fatalf("ledger %v", all)
	}
	for i, c := range all {
		if c.Status != schemas.CoverageGap || c.Reason != schemas.GapOutage || c.SinceMs < begun.UnixMilli() || c.SinceMs != all[0].SinceMs || i > 0 && c.UntilMs != all[i-1].UntilMs+61_000 {
			t.Errorf("row %d: %v", i, c)
		}
	}
	// Whoever fails from the first poll on has a gap from there.
	b = newBench(t)
	b.source.fail = errors.New("anything")
	p, feed = b.poller(k.Addr())
	for range 2 {
		if err := p.Poll(t.Context(), feed); err != nil {
			t.Fatal(err)
		}
		b.source.move(time.Minute)
	}
	if c := b.ledger(k.Addr())[3]; c.Status != schemas.CoverageGap || c.SinceMs != begun.UnixMilli() || c.UntilMs != begun.Add(time.Minute).UnixMilli() {
		t.Errorf("the first gap: %v", c)
	}
}

// pushed is a platform that pushes: its stream shows life and breaks.
type pushed struct {
	*counter
	calls chan string
}

func (p pushed) Poll(ctx context.Context, cursor json.RawMessage, emit source.Emit) error {
	p.calls <- "poll"
	return p.counter.Poll(ctx, cursor, emit)
}

func (p pushed) Stream(ctx context.Context, cursor json.RawMessage, emit source.Emit) error {
	p.calls <- "stream at " + string(cursor)
	if err := p.counter.Poll(ctx, cursor, emit); err != nil {
		return err
	}
	return &source.Error{Gap: schemas.GapOutage, Err: errors.New("the stream broke")}
}

// TestAStreamFallsBackToPolling: a stream that breaks is followed by a poll at once, and then by the stream again, from the position that both share.
func TestAStreamFallsBackToPolling(t *testing.T) {
	b := newBench(t)
	b.source.pages = 1
	k := b.start()
	s := pushed{b.source, make(chan string, 100)}
	b.feed = &poll.Feed{Source: s, Institutions: []*institutions.Institution{b.dirs.Institution("kota")}, Account: "kota", Platform: "web"}
	p, _ := b.poller(k.Addr())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	var calls []string
	for streams := 0; streams < 2; {
		c := <-s.calls
		calls = append(calls, c)
		if c != "poll" {
			streams++
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	first := slices.IndexFunc(calls, func(c string) bool { return c != "poll" })
	if first+1 >= len(calls) || calls[first+1] != "poll" || calls[len(calls)-1] == "stream at " {
		t.Errorf("calls %q", calls)
	}
	if pos := b.position(); pos.Cursor == nil || pos.Until.IsZero() {
		t.Errorf("position %+v", pos)
	}
}

// calm is a platform that pushes and has nothing to push.
type calm struct {
	*counter
	connected chan struct{}
}

func (c calm) Stream(ctx context.Context, _ json.RawMessage, emit source.Emit) error {
	if err := emit(ctx, source.Page{CompleteSince: c.now.Add(-time.Hour), CompleteUntil: c.now}); err != nil {
		return err
	}
	close(c.connected)
	<-ctx.Done()
	return ctx.Err()
}

// TestAStreamHasAMinute: what a stream has to say within a minute is not missed after the few seconds of a short schedule, and after a minute and a half it is.
func TestAStreamHasAMinute(t *testing.T) {
	b := newBench(t)
	k := b.start()
	schedule, err := poll.ParseSchedule("@every 2s")
	if err != nil {
		t.Fatal(err)
	}
	s := calm{b.source, make(chan struct{})}
	b.feed = &poll.Feed{Source: s, Institutions: []*institutions.Institution{b.dirs.Institution("kota")}, Account: "kota", Platform: "web", Schedule: schedule}
	p, _ := b.poller(k.Addr())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	<-s.connected
	before := len(b.ledger(k.Addr()))
	for _, c := range []struct {
		after time.Duration
		gaps  int
	}{{50 * time.Second, 0}, {50 * time.Second, 1}} {
		b.source.move(c.after)
		if err := p.Watch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(b.ledger(k.Addr())) - before; got != c.gaps {
			t.Errorf("%d gaps, want %d", got, c.gaps)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// reread is a platform on which one message was deleted and one is hidden.
type reread struct {
	*counter
	findings map[string]source.Finding
}

func (r reread) Rechecks() source.Rechecks { return source.Rechecks{Batch: 2} }

func (r reread) Recheck(_ context.Context, known []source.Known) ([]source.Finding, error) {
	var out []source.Finding
	for _, k := range known {
		out = append(out, r.findings[k.Message.MessageID])
	}
	return out, nil
}

// TestReReadsReachTheTopics: a deletion becomes a message without text, hidden and shown become entries of the ledger.
func TestReReadsReachTheTopics(t *testing.T) {
	b := newBench(t)
	k := b.start()
	book, err := recheck.Open(recheck.Config{Path: b.dir + "/known", Keep: 90 * 24 * time.Hour, Limit: 100, Now: b.source.clock})
	if err != nil {
		t.Fatal(err)
	}
	r := reread{b.source, map[string]source.Finding{
		"1": {State: source.Deleted}, "2": {State: source.Hidden, Reason: schemas.HiddenSuspended}, "3": {State: source.Unknown},
	}}
	b.source.pages = 3
	b.feed = &poll.Feed{Source: r, Institutions: []*institutions.Institution{b.dirs.Institution("kota")}, Account: "kota", Platform: "web", Book: book, RecheckPerPoll: 10, Known: book.Message}
	created := b.source.now.UnixMilli()
	p, feed := b.poller(k.Addr())
	tick := func() {
		t.Helper()
		if err := p.Tick(t.Context(), feed); err != nil {
			t.Fatal(err)
		}
		b.source.pages = 0
		b.source.move(25 * time.Hour)
	}
	tick()
	tick()
	again := &schemas.Message{Platform: "web", MessageID: "2", Institution: "kota", Account: "kota", Kind: "mention", AuthorID: "u", CreatedAt: b.source.now.Add(-time.Hour), Text: "berubah"}
	r.findings["2"] = source.Finding{State: source.Present, Item: &source.Item{Message: again}}
	tick()
	var said []string
	read := func(topicName string, do func(kafka.Record) error) {
		t.Helper()
		if err := topic.Read(t.Context(), kafka.Conn{Brokers: []string{k.Addr()}}, topicName, topic.Options{FromStart: true}, do); err != nil {
			t.Fatal(err)
		}
	}
	read(schemas.TopicRaw, func(rec kafka.Record) error {
		var m event.Message
		if err := event.Decode(rec.Headers[0].Value, rec.Value, &m); err != nil {
			return err
		}
		if m.CreatedAtMs != created {
			t.Errorf("message %s was created at another time than when it was first read", m.MessageId)
		}
		if m.DeletedAtMs != nil {
			said = append(said, "deleted "+m.MessageId+m.Text)
		}
		return nil
	})
	read(schemas.TopicLedger, func(rec kafka.Record) error {
		var l event.LedgerEntry
		if err := event.Decode(rec.Headers[0].Value, rec.Value, &l); err != nil {
			return err
		}
		if v := l.GetVisibility(); v != nil {
			said = append(said, fmt.Sprintf("%s %s %s %d", v.State, v.Reason, v.Institution, len(v.MessageKey)))
		}
		return nil
	})
	if want := []string{"deleted 1", "hidden suspended kota 16", "shown  kota 16"}; !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
	if _, found := book.Message("1"); found {
		t.Error("a deleted message is still known")
	}
}

// A message that another source has seen edited stays edited when a source whose platform tells no times of edits reads it.
func TestAnEditIsNotForgotten(t *testing.T) {
	b := newBench(t)
	k := b.start()
	edited := b.source.now.Add(-time.Minute)
	var library recheck.Library
	for _, known := range []*schemas.Message{
		{Platform: "web", MessageID: "1", AuthorID: "u", CreatedAt: b.source.now.Add(-time.Hour)},
		{Platform: "web", MessageID: "1", AuthorID: "u", CreatedAt: b.source.now.Add(-time.Hour), EditedAt: &edited},
	} {
		book, err := recheck.Open(recheck.Config{Keep: 90 * 24 * time.Hour, Limit: 100, Now: b.source.clock})
		if err != nil {
			t.Fatal(err)
		}
		book.Add(known)
		library.Add(book)
	}
	b.source.pages = 1
	b.feed = &poll.Feed{Source: b.source, Institutions: []*institutions.Institution{b.dirs.Institution("kota")}, Account: "kota", Platform: "web", Known: library.Message}
	if err := b.poll(t.Context(), k.Addr()); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := topic.Read(t.Context(), kafka.Conn{Brokers: []string{k.Addr()}}, schemas.TopicRaw, topic.Options{FromStart: true}, func(r kafka.Record) error {
		var m event.Message
		n++
		err := event.Decode(r.Headers[0].Value, r.Value, &m)
		if m.EditedAtMs == nil || *m.EditedAtMs != edited.UnixMilli() {
			t.Errorf("message %s was edited at %v, want %d", m.MessageId, m.EditedAtMs, edited.UnixMilli())
		}
		return err
	})
	if err != nil || n != 1 {
		t.Errorf("%d messages, %v", n, err)
	}
}
