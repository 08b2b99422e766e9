package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/ingest/internal/bluesky/blueskytest"
	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/jetstream/jetstreamtest"
	"github.com/dwiarah/dwiarah/ingest/internal/recheck"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

func TestMain(m *testing.M) {
	if task := os.Getenv(readerVariable); task != "" {
		os.Exit(readAtPace(task))
	}
	goleak.VerifyTestMain(m)
}

// bench is a source before a stream and an AppView over one world.
type bench struct {
	testing.TB
	world    *conversation.World
	stream   *jetstreamtest.Server
	view     *blueskytest.Server
	source   *Source
	settings Settings
	book     *recheck.Book

	mu       sync.Mutex
	cursor   json.RawMessage
	said     []string // what was emitted, in words
	complete time.Time
}

func directory(t testing.TB, account, keywords string) *institutions.Directory {
	t.Helper()
	d, err := institutions.Parse("institutions.yaml", fmt.Appendf(nil, `
institutions:
  - {id: kota, name: Kota, zone: Asia/Jakarta, accounts: {bluesky: [%s]}, keywords: [%s], purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}}
`, account, keywords))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newBench(t testing.TB, settings Settings) *bench {
	t.Helper()
	b := &bench{TB: t, world: conversation.NewWorld(), stream: jetstreamtest.New(), settings: settings}
	b.view = blueskytest.New(b.world)
	stream, view := httptest.NewServer(b.stream), httptest.NewServer(b.view)
	t.Cleanup(stream.Close)
	t.Cleanup(view.Close)
	t.Cleanup(b.stream.Stop)
	b.settings.AppView = view.URL
	var err error
	if b.book, err = recheck.Open(recheck.Config{Keep: 1e6 * time.Hour, Limit: 10000, Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	if b.settings.Dictionary != "" {
		b.settings.Dictionary = t.TempDir() + "/dictionary"
		if err := os.WriteFile(b.settings.Dictionary, b.stream.Dictionary, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	officials := directory(t, `{id: "did:plc:gone"}, {handle: `+blueskytest.Handle+"}", "") // the first is an account that is no more
	b.source, err = newSource(source.Environment{
		Config: source.Config{Platform: Name, BaseURL: stream.URL, AllowPrivate: true}.WithDefaults(), Directory: officials,
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Settings: &b.settings, Known: b.book.Message, KnownAuthor: b.book.Author,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.source.beat = 100 * time.Millisecond
	t.Cleanup(b.source.Close)
	return b
}

func (b *bench) emit(_ context.Context, p source.Page) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range p.Items {
		if i.Err != nil {
			b.said = append(b.said, "dead "+string(i.Err.Reason))
			continue
		}
		m := i.Message
		_, _, id := split(m.MessageID)
		switch {
		case m.DeletedAt != nil:
			b.said = append(b.said, "deleted "+id)
		case m.EditedAt != nil:
			b.said = append(b.said, "edited "+id+" "+m.Text)
		default:
			b.said = append(b.said, m.Kind+" "+id)
		}
		if err := m.Validate(time.Now()); err != nil {
			b.Error(err)
		}
		b.book.Add(m)
	}
	for _, v := range p.Visible {
		b.said = append(b.said, v.State+" "+v.AuthorID+" "+v.Reason)
	}
	if p.Cursor != nil {
		b.cursor = p.Cursor
	}
	if p.CompleteUntil.After(b.complete) {
		b.complete = p.CompleteUntil
	}
	return nil
}

func split(uri string) (did, collection, key string) {
	parts := strings.Split(strings.TrimPrefix(uri, "at://"), "/")
	return parts[0], parts[1], parts[2]
}

// follow follows until something was said so often; stop breaks the stream and returns its error.
func (b *bench) follow() (wait func(n int), stop func() error) {
	b.mu.Lock()
	at := b.cursor
	b.mu.Unlock()
	before := b.stream.Opened()
	done := make(chan error, 1)
	go func() { done <- b.source.Stream(b.Context(), at, b.emit) }()
	for range 1000 {
		if b.stream.Opened() > before {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	wait = func(n int) {
		b.Helper()
		for range 3000 {
			b.mu.Lock()
			ok := len(b.said) >= n
			b.mu.Unlock()
			if ok {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.Fatalf("%d of %d things were said: %q", len(b.said), n, b.said)
	}
	return wait, func() error { b.stream.Break(); return <-done }
}

func (b *bench) post(operation, id string, at time.Time) jetstreamtest.Event {
	b.world.Lock()
	defer b.world.Unlock()
	p := b.world.Find(id)
	return jetstreamtest.Event{DID: blueskytest.DID(p.Author), Time: at, Operation: operation, Key: id, Record: b.view.Record(*p)}
}

// noise is n posts that concern nobody, with words that look as if.
func noise(n int) []jetstreamtest.Event {
	var all []jetstreamtest.Event
	for i := range n {
		all = append(all, jetstreamtest.Event{DID: fmt.Sprintf("did:plc:orang%d", i), Time: conversation.Start, Operation: "create", Key: fmt.Sprint("n", i), Record: map[string]any{
			"$type": "app.bsky.feed.post", "text": `halo @layanan.kota.example "operation":"delete" did:plc:layanankotabukan`, "createdAt": conversation.Start,
		}})
	}
	return all
}

// TestFold: creates, updates, deletes and accounts' ends, over both wires and every compression, and a reconnect in between: each exactly once.
func TestFold(t *testing.T) {
	for name, settings := range map[string]Settings{
		"v2": {Wire: "v2"}, "v2 zstd": {Wire: "v2", Compress: true}, "v1": {Wire: "v1"}, "v1 deflate": {Wire: "v1", Compress: true}, "v1 zstd": {Wire: "v1", Compress: true, Dictionary: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, settings)
			now := time.Now().Add(-time.Hour)
			wait, stop := b.follow()
			own := b.world.Write(b.world.Official, "", "jadwal baru")
			ask := b.world.Write("warga1", own, "kapan?")
			other := b.world.Write("warga2", "", "halo")
			b.stream.Push(noise(20)...)
			b.stream.Push(b.post("create", own, now), b.post("create", ask, now), b.post("create", other, now))
			b.stream.Push(jetstreamtest.Event{DID: "did:plc:orang1", Time: now, Operation: "delete", Key: "n1"})
			wait(3)
			b.world.Edit(ask, "kapan buka?", now)
			b.stream.Push(b.post("update", ask, now.Add(time.Minute)))
			wait(4)
			if err := stop(); err == nil || source.GapReason(err) != schemas.GapOutage {
				t.Errorf("a break: %v", err)
			}
			b.stream.Push(noise(5)...)
			b.stream.Push(
				jetstreamtest.Event{DID: "did:plc:warga2", Time: now.Add(2 * time.Minute), Operation: "delete", Key: other},
				jetstreamtest.Event{DID: "did:plc:warga1", Time: now.Add(3 * time.Minute), Status: "takendown"},
				jetstreamtest.Event{DID: "did:plc:orang2", Time: now.Add(3 * time.Minute), Status: "deleted"},
				jetstreamtest.Event{DID: "did:plc:warga1", Time: now.Add(4 * time.Minute), Active: true},
				jetstreamtest.Event{DID: "did:plc:warga1", Time: now.Add(5 * time.Minute), Status: "desynchronized"},
				jetstreamtest.Event{DID: "did:plc:warga1", Time: now.Add(6 * time.Minute), Status: "deleted"},
			)
			wait, stop = b.follow()
			wait(8)
			if err := stop(); err == nil {
				t.Error("no error after a break")
			}
			want := []string{
				"post " + own, "reply " + ask, "mention " + other, "edited " + ask + " kapan buka?", "deleted " + other,
				"hidden did:plc:warga1 suspended", "shown did:plc:warga1 ", "deleted did:plc:warga1 ",
			}
			slices.Sort(want)
			slices.Sort(b.said)
			if d := cmp.Diff(want, b.said); d != "" {
				t.Error(d)
			}
			k, _ := b.book.Message("at://did:plc:warga1/app.bsky.feed.post/" + ask)
			if k.Message.ParentAuthorID != blueskytest.Handle || k.Message.AuthorID != "did:plc:warga1" {
				t.Errorf("%+v", k.Message)
			}
		})
	}
}

// TestBreaks: a world that goes on while its stream breaks again and again arrives whole, and nothing of it twice.
func TestBreaks(t *testing.T) {
	for _, wire := range []string{"v1", "v2"} {
		t.Run(wire, func(t *testing.T) {
			b := newBench(t, Settings{Wire: wire, Compress: true})
			random := rand.New(rand.NewPCG(1, 2))
			b.source.beat = 20 * time.Millisecond
			at, pushed := time.Now().Add(-time.Hour), 0
			for range 8 {
				_, stop := b.follow()
				b.world.Converse(1 + random.IntN(20))
				for ; pushed < len(b.world.Posts); pushed++ {
					at = at.Add(time.Millisecond)
					b.stream.Push(b.post("create", b.world.Posts[pushed].ID, at))
					b.stream.Push(noise(random.IntN(3))...)
				}
				time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
				if err := stop(); err == nil {
					t.Fatal("no error after a break")
				}
			}
			wait, stop := b.follow()
			wait(pushed)
			_ = stop()
			seen := map[string]int{}
			for _, s := range b.said {
				seen[strings.Fields(s)[1]]++
			}
			for _, p := range b.world.Posts {
				if seen[p.ID] != 1 {
					t.Errorf("post %s came %d times", p.ID, seen[p.ID])
				}
			}
			if len(seen) != pushed {
				t.Errorf("%d of %d posts", len(seen), pushed)
			}
		})
	}
}

// TestPollReadsUpToThePresent: where a stream cannot be followed it is read to its end.
func TestPollReadsUpToThePresent(t *testing.T) {
	b := newBench(t, Settings{Wire: "v2", Compress: true})
	b.source.beat = beatEvery // a shorter silence may be this machine's
	b.stream.Push(noise(300)...)
	b.world.Converse(20)
	for _, p := range b.world.Posts {
		b.stream.Push(b.post("create", p.ID, time.Now().Add(-time.Minute)))
	}
	b.cursor = json.RawMessage(`{"host":"elsewhere","seq":999,"time_us":1500000000000000}`)
	if err := b.source.Poll(t.Context(), b.cursor, b.emit); err != nil {
		t.Fatal(err)
	}
	if len(b.said) != 30 || b.complete.IsZero() {
		t.Errorf("%d messages, complete until %s", len(b.said), b.complete)
	}
	if err := b.source.Poll(t.Context(), b.cursor, b.emit); err != nil || len(b.said) != 30 {
		t.Errorf("a second poll: %d messages, %v", len(b.said), err)
	}
}

// TestCursorTooOld: what the server forgot is read over the interface as far as it can be, and the hole is told.
func TestCursorTooOld(t *testing.T) {
	for wire, cursor := range map[string]string{"v2": `{"host":%q,"seq":3,"time_us":1700000000000000}`, "v1": `{"host":%q,"seq":3,"time_us":1700000000000000}`} {
		t.Run(wire, func(t *testing.T) {
			b := newBench(t, Settings{Wire: wire})
			own := b.world.Write(b.world.Official, "", "jadwal baru")
			ask := b.world.Write("warga1", own, "kapan?")
			b.world.Write("warga2", "", "halo") // a mention, out of reach without a session
			b.stream.Push(noise(10)...)
			b.stream.Forget()
			b.stream.Push(noise(1)...)
			b.cursor = json.RawMessage(fmt.Sprintf(cursor, b.source.client.Base.Host))
			err := b.source.Stream(t.Context(), b.cursor, b.emit)
			if source.GapReason(err) != schemas.GapClamp || err == nil {
				t.Fatalf("error %v", err)
			}
			slices.Sort(b.said)
			if d := cmp.Diff([]string{"post " + own, "reply " + ask}, b.said); d != "" {
				t.Error(d)
			}
			// Behind the hole the stream goes on.
			wait, stop := b.follow()
			late := b.world.Write("warga3", own, "terima kasih")
			b.stream.Push(b.post("create", late, time.Now()))
			wait(3)
			_ = stop()
		})
	}
}

// TestAnEditKeepsTheTime: a post that is edited before it has been emitted is of the time at which it was written, whatever its new record says.
func TestAnEditKeepsTheTime(t *testing.T) {
	s, err := listener("http://127.0.0.1:1", defaults())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var items []source.Item
	r := s.reader(cursor{}, func(_ context.Context, p source.Page) error {
		items = append(items, p.Items...)
		return nil
	})
	for n, operation := range []string{"create", "update"} {
		at := conversation.Start.Add(time.Duration(n) * time.Hour)
		record := map[string]any{"text": "kapan?", "createdAt": at, "facets": []any{map[string]any{"features": []any{map[string]string{"$type": "app.bsky.richtext.facet#mention", "did": "did:plc:kota"}}}}}
		if err := r.take(t.Context(), jetstreamtest.Frame("v2", int64(n+1), jetstreamtest.Event{DID: "did:plc:warga", Time: at, Operation: operation, Key: "1", Record: record})); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.flush(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if len(items) != 2 || !items[1].Message.CreatedAt.Equal(conversation.Start) || items[1].Message.EditedAt == nil {
		t.Errorf("%d items, %+v", len(items), items[len(items)-1].Message)
	}
}

// TestKeywords: a post that only has a keyword goes on to package identity.
func TestKeywords(t *testing.T) {
	f := filter{dids: map[string]string{"did:plc:kota": "kota"}, keywords: [][]byte{[]byte("balai kota")}}
	frame := func(text string) []byte {
		return jetstreamtest.Frame("v2", 1, jetstreamtest.Event{DID: "did:plc:a", Operation: "create", Key: "1", Record: map[string]string{"text": text}})
	}
	for text, want := range map[string]bool{"antre di Balai Kota": true, "antre": false, "<b>": true, "did:plc:kota": true, "did:plc:kotabaru": false} {
		if got := f.passes(frame(text)); got != want {
			t.Errorf("%q passes: %v", text, got)
		}
	}
}

// FuzzEvents reads foreign bytes as frames: no panic, valid messages or dead letters, and the filter lets nothing slip that names an official account.
func FuzzEvents(f *testing.F) {
	for _, wire := range []string{"v1", "v2"} {
		f.Add(jetstreamtest.Frame(wire, 1, noise(1)[0]))
		f.Add(jetstreamtest.Frame(wire, 1, jetstreamtest.Event{DID: "did:plc:a", Time: conversation.Start, Operation: "create", Key: "1", Record: map[string]any{"text": "x", "facets": []any{map[string]any{"features": []any{map[string]any{"$type": "app.bsky.richtext.facet#mention", "did": "did:plc:kota"}}}}}}))
		f.Add(jetstreamtest.Frame(wire, 1, jetstreamtest.Event{DID: "did:plc:a", Time: conversation.Start, Operation: "delete", Key: "1"}))
		f.Add(jetstreamtest.Frame(wire, 1, jetstreamtest.Event{DID: "did:plc:a", Time: conversation.Start, Status: "deleted"}))
	}
	f.Add([]byte(`{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#info","name":"OutdatedCursor"}}`))
	f.Add([]byte(`{"$type":"error","error":"ConsumerTooSlow"}`))
	s, err := newSource(source.Environment{
		Config: source.Config{Platform: Name, BaseURL: "http://127.0.0.1:1", AllowPrivate: true}.WithDefaults(), Directory: directory(f, `{id: "did:plc:kota"}`, ""), Log: slog.New(slog.DiscardHandler),
		Now: time.Now, Settings: defaults(), Known: func(string) (source.Known, bool) { return source.Known{}, false }, KnownAuthor: func(string) bool { return true },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		r := s.reader(cursor{}, func(_ context.Context, p source.Page) error {
			for _, i := range p.Items {
				if (i.Message == nil) == (i.Err == nil) {
					t.Fatalf("an item that is both or neither: %+v", i)
				}
				if i.Message != nil && i.Message.Validate(time.Now()) != nil {
					t.Fatalf("a message that is not valid: %+v", i.Message)
				}
			}
			return nil
		})
		if r.take(t.Context(), frame) == nil {
			_ = r.flush(t.Context(), true)
		}
	})
}
