package x

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/source/sourcetest"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/ingest/internal/x/xtest"
	"github.com/dwiarah/dwiarah/schemas"
)

// streamed starts a stream and returns it with its end.
func (b *bench) streamed(ctx context.Context) (*streaming, chan error) {
	s := &streaming{Source: b.source, stall: stallAfter}
	s.streams.MaxWait = 50 * time.Millisecond
	end := make(chan error, 1)
	go func() { end <- s.Stream(ctx, b.cursor, b.emit) }()
	b.wait("a stream", func() bool { return b.server.Streams() == 1 })
	return s, end
}

func (b *bench) wait(what string, done func() bool) {
	b.Helper()
	for range 1000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.Fatalf("no %s", what)
}

func TestStreamReadsWhatCameBeforeAndWhatIsPushed(t *testing.T) {
	b := newBench(t)
	b.server.AddRule("from:somebody", "somebody else's")
	b.server.AddRule("to:old_handle", "dwiarah:layanan_kota")
	b.world.Write("warga1", "", "sebelum")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, end := b.streamed(ctx)
	b.wait("catching up", func() bool { return len(b.ids()) == 1 })

	b.server.Push("") // a keep-alive
	push := func(author, parent, text, tag string) string {
		id := b.world.Write(author, parent, text)
		b.world.Lock()
		p := *b.world.Find(id)
		b.world.Unlock()
		b.server.Push(b.server.Event(p, tag))
		return id
	}
	ask := push("warga2", "", "didorong", "dwiarah:layanan_kota")
	push("warga3", "", "bukan untuk kami", "somebody else's")
	answer := push("layanan_kota", ask, "jawaban", "dwiarah:layanan_kota")
	b.server.Push(`{"data":{"id":7},"matching_rules":[{"id":"1","tag":"dwiarah:layanan_kota"}]}`)
	again := push("warga2", "", "sesudah rusak", "dwiarah:layanan_kota")
	b.wait("pushed posts", func() bool { return len(b.ids()) == 5 })
	if d := cmp.Diff([]string{"1001", ask, answer, "dead", again}, b.ids()); d != "" {
		t.Error(d)
	}
	b.clock.Add(30 * time.Second)
	b.server.Push("")
	b.wait("coverage", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.spans) == 3 })
	if d := cmp.Diff("02 08:00:00 to 02 08:00:30", b.spans[2]); d != "" {
		t.Error(d)
	}
	if rules := b.server.Rules(); len(rules) != 2 || rules[1]["value"] != "to:layanan_kota OR @layanan_kota OR from:layanan_kota" {
		t.Errorf("rules %v", rules)
	}
	b.server.BreakStreams()
	if err := <-end; source.GapReason(err) != schemas.GapOutage || !strings.Contains(err.Error(), "X has ended the stream") {
		t.Errorf("error %v", err)
	}
	// The posts of the others over the same connection are paid for as well; one that cannot be read counts too.
	if b.spent() < b.bill() || b.spent() > b.bill()+int64(b.source.settings.PostPrice) {
		t.Errorf("spent %d, the bill is %d", b.spent(), b.bill())
	}
	// Polling goes on from where the stream was; in this world it finds the one that was pushed to somebody else.
	if err := b.poll(); err != nil || len(b.items) != 1 || b.ids()[0] != "1003" {
		t.Errorf("a poll after the stream: %v, %v", b.ids(), err)
	}
}

// What waited in the connection while the past was read may be older than what was found there: a version that an edit has replaced is not read after the edit, for it would be the
// one that was seen last.
func TestWhatWaitedInTheStreamReplacesNoEdit(t *testing.T) {
	b := newBench(t)
	id := b.world.Write("warga1", "", "pertama")
	b.world.Lock()
	before := *b.world.Find(id)
	b.world.Unlock()
	stale := b.server.Event(before, "dwiarah:layanan_kota")
	b.world.Edit(id, "kedua", before.Created.Add(time.Minute))
	b.world.Lock()
	after := *b.world.Find(id)
	b.world.Unlock()
	b.clock.Add(2 * time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, end := b.streamed(ctx)
	b.wait("catching up", func() bool { return len(b.ids()) == 1 })
	b.clock.Add(10 * time.Minute)
	b.server.Push(stale)
	b.server.Push(b.server.Event(after, "dwiarah:layanan_kota"))
	next := b.world.Write("warga2", "", "berikut")
	b.world.Lock()
	last := *b.world.Find(next)
	b.world.Unlock()
	b.server.Push(b.server.Event(last, "dwiarah:layanan_kota"))
	b.wait("the next post", func() bool { ids := b.ids(); return ids[len(ids)-1] == next })
	cancel()
	<-end
	newest := b.items[0].Message
	for _, item := range b.items {
		if m := item.Message; m.MessageID == newest.MessageID && !m.ObservedAt.Before(*newest.ObservedAt) {
			newest = m
		}
	}
	if !strings.HasSuffix(newest.Text, "kedua") || newest.EditedAt == nil {
		t.Errorf("the version that was seen last is %q, edited %v", newest.Text, newest.EditedAt)
	}
}

func TestAStreamThatFallsSilent(t *testing.T) {
	b := newBench(t)
	s := &streaming{Source: b.source, stall: 50 * time.Millisecond}
	err := s.Stream(t.Context(), nil, b.emit)
	if source.GapReason(err) != schemas.GapOutage || !strings.Contains(err.Error(), "silent") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, end := b.streamed(ctx)
	b.wait("coverage", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.spans) > 1 })
	cancel()
	if err := <-end; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestAStreamThatXEnds(t *testing.T) {
	b := newBench(t)
	_, end := b.streamed(t.Context())
	b.server.Push(`{"errors":[{"title":"operational-disconnect","type":"https://api.twitter.com/2/problems/operational-disconnect"}]}`)
	if err := <-end; source.GapReason(err) != schemas.GapOutage || !strings.Contains(err.Error(), "operational-disconnect") {
		t.Errorf("error %v", err)
	}
}

func TestAStreamEndsWithTheMoney(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.DayLimit = 10_000 + (heldPosts+5)*5_000 })
	s, end := b.streamed(t.Context())
	go func() {
		for b.server.Streams() == 1 {
			id := b.world.Write("warga1", "", "halo")
			b.world.Lock()
			p := *b.world.Find(id)
			b.world.Unlock()
			b.server.Push(b.server.Event(p, s.tag()))
		}
	}()
	err := <-end
	if source.GapReason(err) != schemas.GapBudget {
		t.Errorf("error %v", err)
	}
	if limit := int64(s.settings.DayLimit); b.spent() > limit {
		t.Errorf("%d were spent of %d", b.spent(), limit)
	}
}

// The rules of X for calling again.
func TestReconnect(t *testing.T) {
	now := conversation.Start
	f := func(err error, times int, want time.Duration) {
		t.Helper()
		r := reconnect{limited: time.Minute}
		for range times {
			r.failed(err, now)
		}
		got := time.Duration(0)
		if !r.until.IsZero() {
			got = r.until.Sub(now)
		}
		if got != want {
			t.Errorf("%v %d times: %s, want %s", err, times, got, want)
		}
	}
	f(&web.Error{Kind: web.Network}, 3, 0)
	f(&web.Error{Kind: web.Server, Status: http.StatusServiceUnavailable}, 1, 5*time.Second)
	f(&web.Error{Kind: web.Server, Status: http.StatusServiceUnavailable}, 3, 20*time.Second)
	f(&web.Error{Kind: web.Server, Status: http.StatusServiceUnavailable}, 20, 320*time.Second)
	f(&web.Error{Kind: web.Limited, Status: http.StatusTooManyRequests}, 1, time.Minute)
	f(&web.Error{Kind: web.Limited, Status: http.StatusTooManyRequests}, 3, 4*time.Minute)

	b := newBench(t)
	s := &streaming{Source: b.source, stall: stallAfter}
	s.wait.until = b.clock.Now().Add(time.Minute)
	if err := s.Stream(t.Context(), nil, b.emit); err == nil || len(b.items) > 0 || !strings.Contains(err.Error(), "no new connection before 2026-03-02T08:01:00Z") {
		t.Errorf("error %v", err)
	}
}

func TestStreamIsChosenBySettings(t *testing.T) {
	b := newBench(t)
	for _, stream := range []bool{false, true} {
		b.env.Settings.(*Settings).Stream = stream
		s, err := New(b.env)
		if err != nil {
			t.Fatal(err)
		}
		if _, is := s.(source.Streamer); is != stream {
			t.Errorf("stream: %v gives %T", stream, s)
		}
		if _, is := s.(source.Rechecker); !is {
			t.Errorf("%T does not re-read", s)
		}
	}
}

func FuzzStreamEvents(f *testing.F) {
	f.Add([]byte(`{"data":{"id":"2028017393464246273","text":"a","author_id":"1","created_at":"2026-03-01T08:00:00.000Z"},"matching_rules":[{"tag":"dwiarah:layanan_kota"}]}`))
	f.Add([]byte(`{"errors":[{"title":"a"}]}`))
	clock := sourcetest.NewClock(conversation.Start.Add(24 * time.Hour))
	env := environment(f, "http://127.0.0.1:1", clock.Now)
	s, err := newSource(env)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, event []byte) {
		p := &poll{Source: s, me: &User{ID: xtest.OfficialID}, now: clock.Now(), seen: map[string]bool{}, cursor: cursor{Conversations: map[string]time.Time{}}, emit: func(_ context.Context, page source.Page) error {
			if !json.Valid(page.Cursor) {
				t.Fatalf("cursor %s", page.Cursor)
			}
			return nil
		}}
		fo := &follower{poll: p, streaming: &streaming{Source: s}, money: money{source: s, left: 1 << 40}, taken: map[string]time.Time{}}
		_ = fo.event(t.Context(), event)
	})
}
