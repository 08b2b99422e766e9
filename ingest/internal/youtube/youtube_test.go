package youtube

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/ingest/internal/budget"
	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/source/sourcetest"
	"github.com/dwiarah/dwiarah/ingest/internal/youtube/youtubetest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func environment(t testing.TB, base string, now func() time.Time) source.Environment {
	t.Helper()
	d, err := institutions.Parse("institutions.yaml", []byte(`
institutions:
  - {id: kota, name: Kota, zone: Asia/Jakarta, accounts: {youtube: [{handle: layanan_kota}]}, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}}
`))
	if err != nil {
		t.Fatal(err)
	}
	institution, official := d.Owner("youtube", "layanan_kota")
	return source.Environment{
		Config: source.Config{
			Platform: "youtube", Account: "layanan_kota", BaseURL: base, Token: config.NewSecret(youtubetest.Key), AllowPrivate: true, Recheck: config.Duration(90 * 24 * time.Hour),
		}.WithDefaults(),
		Account: source.Account{Institution: institution, Account: official}, Directory: d, Log: slog.New(slog.DiscardHandler), Now: now,
		Settings: DefaultSettings(), Purses: budget.NewPurses(t.TempDir(), now),
	}
}

func quick(t testing.TB, env source.Environment) *Source {
	t.Helper()
	s, err := newSource(env)
	if err != nil {
		t.Fatal(err)
	}
	s.client.FirstWait, s.client.MaxWait = time.Millisecond, 50*time.Millisecond
	return s
}

// F14 and F15, row by row.
func TestContract(t *testing.T) {
	sourcetest.Contract{
		Server: func(w *conversation.World) http.Handler { return &youtubetest.Server{World: w, Inlined: 0} },
		Source: func(t *testing.T, base string, clock *sourcetest.Clock, known sourcetest.Known) source.Source {
			env := environment(t, base+"/youtube/v3", clock.Now)
			env.Known = known
			return quick(t, env)
		},
		MessageID: func(_, id string) string { return youtubetest.ID(id) },
		Limited:   youtubetest.Limited,
		Flat:      true,
		Threads:   110,
		Secrets:   []string{youtubetest.Key},
	}.Run(t)
}

// bench is a source before a server over a world.
type bench struct {
	*testing.T
	world  *conversation.World
	server *youtubetest.Server
	clock  *sourcetest.Clock
	source *Source
	cursor json.RawMessage
	items  []source.Item
	spans  []string
	sizes  []*source.Size
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, world: conversation.NewWorld(), clock: sourcetest.NewClock(conversation.Start.Add(time.Hour))}
	b.server = &youtubetest.Server{World: b.world, VideoID: "video000001", Inlined: 2}
	server := httptest.NewServer(b.server)
	t.Cleanup(server.Close)
	b.source = quick(t, environment(t, server.URL, b.clock.Now))
	t.Cleanup(b.source.Close)
	return b
}

func (b *bench) poll() error {
	b.Helper()
	b.clock.Add(time.Minute)
	b.items, b.spans = nil, nil
	return b.source.Poll(b.Context(), b.cursor, func(_ context.Context, p source.Page) error {
		b.items = append(b.items, p.Items...)
		if p.Cursor != nil {
			b.cursor = p.Cursor
		}
		if p.Size != nil {
			b.sizes = append(b.sizes, p.Size)
		}
		if !p.CompleteUntil.IsZero() {
			b.spans = append(b.spans, p.CompleteSince.Format("02 15:04")+" to "+p.CompleteUntil.Format("02 15:04"))
		}
		return nil
	})
}

func (b *bench) ids() (ids []string) {
	for _, i := range b.items {
		if i.Message == nil {
			ids = append(ids, "dead")
			continue
		}
		ids = append(ids, strings.TrimPrefix(i.Message.MessageID, "Ug"))
	}
	return ids
}

func TestPollReadsTheConversation(t *testing.T) {
	b := newBench(t)
	b.server.Videos = []youtubetest.Video{
		{ID: "video000001", Title: "Jadwal baru", Privacy: "public", Published: conversation.Start}, {ID: "video000002", Title: "Rahasia", Privacy: "private", Published: conversation.Start},
	}
	ask := b.world.Write("warga1", "", "kapan buka @layanan_kota?")
	b.world.Write("warga2", ask, "sama")
	b.world.Write("warga3", ask, "iya")
	answer := b.world.Write("layanan_kota", ask, "besok")
	b.world.Edit(ask, "kapan buka, @layanan_kota", conversation.Start.Add(time.Minute))
	if err := b.poll(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"video000001", "1001", "1004", "1003", "1002"}, b.ids()); d != "" {
		t.Error(d)
	}
	n := func(v int64) *int64 { return &v }
	now, edited := b.clock.Now(), conversation.Start.Add(time.Minute)
	url := func(id string) string { return "https://www.youtube.com/watch?v=video000001&lc=" + youtubetest.ID(id) }
	want := []*schemas.Message{
		{Platform: "youtube", MessageID: "video000001", Institution: "kota", Account: "layanan_kota", Kind: "post", AuthorID: "layanan_kota", CreatedAt: conversation.Start, ObservedAt: &now,
			Text: "Jadwal baru\nKeterangan", URL: "https://www.youtube.com/watch?v=video000001"},
		{Platform: "youtube", MessageID: youtubetest.ID(ask), Institution: "kota", Account: "layanan_kota", Kind: "comment", AuthorID: "UCwarga1", CreatedAt: conversation.Start.Add(time.Second), ObservedAt: &now,
			EditedAt: &edited, Text: "kapan buka, @layanan_kota", ParentID: "video000001", ParentAuthorID: "layanan_kota", RootID: "video000001", Mentions: []string{"layanan_kota"}, Likes: n(2), Replies: n(3), URL: url(ask)},
		{Platform: "youtube", MessageID: youtubetest.ID(answer), Institution: "kota", Account: "layanan_kota", Kind: "reply", AuthorID: "layanan_kota", CreatedAt: conversation.Start.Add(4 * time.Second), ObservedAt: &now,
			Text: "besok", ParentID: youtubetest.ID(ask), ParentAuthorID: "UCwarga1", RootID: "video000001", Likes: n(2), URL: url(answer)},
	}
	for i, w := range want {
		if d := cmp.Diff(w, b.items[i].Message); d != "" {
			t.Error(d)
		}
	}
	if len(b.sizes) != 1 || *b.sizes[0].Followers != 1200 || b.server.Calls("comments") != 1 {
		t.Errorf("sizes %+v, %d calls for replies", b.sizes, b.server.Calls("comments"))
	}
	if d := cmp.Diff([]string{"22 09:01 to 01 09:01"}, b.spans); d != "" {
		t.Error(d)
	}
	if strings.Contains(string(b.cursor), "kapan") {
		t.Errorf("the cursor holds what a person wrote: %s", b.cursor)
	}
	if err := b.poll(); err != nil || len(b.items) > 0 {
		t.Errorf("a second poll: %v, %v", b.ids(), err)
	}
}

// A new reply does not move its thread up.
func TestALateReplyIsFound(t *testing.T) {
	b := newBench(t)
	ask := b.world.Write("warga1", "", "kapan buka?")
	b.world.Converse(150)
	if err := b.poll(); err != nil {
		t.Fatal(err)
	}
	late := b.world.Write("warga2", ask, "terlambat")
	b.source.env.Known = func(id string) (source.Known, bool) { return source.Known{}, id != youtubetest.ID(late) }
	if err := b.poll(); err != nil || len(b.items) > 0 {
		t.Errorf("before the sweep: %v, %v", b.ids(), err)
	}
	b.clock.Add(2 * time.Hour)
	if err := b.poll(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{late}, b.ids()); d != "" {
		t.Error(d)
	}
	b.clock.Add(2 * time.Hour)
	if err := b.poll(); err != nil || len(b.items) > 0 {
		t.Errorf("the sweep after: %v, %v", b.ids(), err)
	}
}

func TestUnits(t *testing.T) {
	b := newBench(t)
	b.source.env.Settings.(*Settings).UnitsPerDay = 5
	b.source = quick(t, func() source.Environment {
		env := b.source.env
		env.Purses = budget.NewPurses(t.TempDir(), b.clock.Now)
		return env
	}())
	b.world.Converse(1)
	polls := 0
	var err error
	for ; err == nil && polls < 10; polls++ {
		err = b.poll()
	}
	if source.GapReason(err) != schemas.GapBudget || len(b.spans) > 0 || !strings.Contains(err.Error(), "5 units a day of youtube has 0 units left") {
		t.Errorf("after %d polls: %v, complete %v", polls, err, b.spans)
	}
	calls := b.server.Calls("channels") + b.server.Calls("playlistItems") + b.server.Calls("commentThreads") + b.server.Calls("comments")
	if calls != 5 {
		t.Errorf("%d calls with 5 units", calls)
	}
	// The day begins at midnight Pacific, eight hours after that of UTC.
	b.clock.Add(time.Date(2026, 3, 2, 7, 30, 0, 0, time.UTC).Sub(b.clock.Now()))
	if err := b.poll(); source.GapReason(err) != schemas.GapBudget {
		t.Errorf("before midnight Pacific: %v", err)
	}
	b.clock.Add(time.Hour)
	if err := b.poll(); err != nil {
		t.Errorf("after midnight Pacific: %v", err)
	}
}

func TestJudge(t *testing.T) {
	b := newBench(t)
	f := func(code int, reason, message, gap string, closed time.Duration) {
		t.Helper()
		calls := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			calls++
			youtubetest.Problem(w, code, reason, message)
		}))
		defer server.Close()
		s := quick(t, environment(t, server.URL, b.clock.Now))
		defer s.Close()
		if err := s.Check(t.Context()); source.GapReason(err) != gap || strings.Contains(err.Error(), message) {
			t.Errorf("%s: %v", reason, err)
		}
		before := calls
		if line := s.client.Budget.Line(); closed > 0 && line.Reset.Sub(b.clock.Now()) != closed {
			t.Errorf("%s: closed until %s", reason, line.Reset)
		}
		if err := s.Check(t.Context()); closed > 0 && (err == nil || calls != before) {
			t.Errorf("%s: called again", reason)
		}
	}
	// 09:00 UTC is 01:00 Pacific.
	f(http.StatusForbidden, "quotaExceeded", "pesan", schemas.GapBudget, 23*time.Hour)
	f(http.StatusForbidden, "rateLimitExceeded", "pesan", schemas.GapBudget, 0)
	f(http.StatusForbidden, "forbidden", "pesan", schemas.GapAuth, 0)
	f(http.StatusBadRequest, "badRequest", "API key not valid. Please pass a valid API key.", schemas.GapAuth, 0)
}

func TestATokenThatHasExpired(t *testing.T) {
	b := newBench(t)
	b.source.env.Config.PageCap = 1
	b.world.Converse(150)
	if err := b.poll(); source.GapReason(err) != schemas.GapLimit || len(b.items) != 150 {
		t.Errorf("%d items, %v", len(b.items), err)
	}
	b.cursor = []byte(strings.Replace(string(b.cursor), `"token":"page100"`, `"token":"gone"`, 1))
	b.source.env.Config.PageCap = 50
	if err := b.poll(); err != nil || len(b.items) != 75 {
		t.Errorf("%d items, %v", len(b.items), err)
	}
}

func TestBackfillReadsARange(t *testing.T) {
	b := newBench(t)
	b.world.Converse(100)
	var ids []string
	since, until := conversation.Start.Add(10*time.Second), conversation.Start.Add(20*time.Second)
	err := b.source.Backfill(t.Context(), since, until, func(_ context.Context, p source.Page) error {
		for _, i := range p.Items {
			ids = append(ids, i.Message.MessageID)
		}
		if p.Cursor != nil {
			t.Error("a cursor")
		}
		return nil
	})
	slices.Sort(ids)
	// The last one is an answer in a thread that began within the range.
	if err != nil || len(ids) != 11 || ids[0] != "Ug1010" || ids[10] != "Ug1020" {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestRecheckOfVideos(t *testing.T) {
	b := newBench(t)
	b.server.Videos = []youtubetest.Video{{ID: "v1", Title: "Judul baru", Privacy: "public"}, {ID: "v2", Title: "x", Privacy: "private"}}
	var known []source.Known
	for _, id := range []string{"v1", "v2", "v3"} {
		known = append(known, source.Known{Message: schemas.Message{Platform: "youtube", MessageID: id, Kind: "post", AuthorID: "layanan_kota", CreatedAt: conversation.Start}})
	}
	got, err := b.source.Recheck(t.Context(), known)
	if err != nil || got[0].State != source.Present || *got[0].Item.Message.Views != 900 || got[1].State != source.Hidden || got[2].State != source.Missing {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTheRefreshOfThirtyDays(t *testing.T) {
	env := environment(t, "https://youtube.example", time.Now)
	env.Config.Recheck = config.Duration(7 * 24 * time.Hour)
	if _, err := New(env); err == nil || !strings.Contains(err.Error(), `recheck: "168h0m0s"; allowed: 600h or more`) {
		t.Errorf("error %v", err)
	}
}

// FuzzThread reads foreign bytes as threads and videos: valid messages or dead letters, and no panic.
func FuzzThread(f *testing.F) {
	f.Add([]byte(`{"id":"Ug1","snippet":{"channelId":"UC1","videoId":"v","totalReplyCount":1,"topLevelComment":{"id":"Ug1","snippet":{"authorDisplayName":"@w","authorChannelId":{"value":"UC2"},"textDisplay":"halo @layanan_kota","publishedAt":"2026-03-01T08:00:00Z","updatedAt":"2026-03-01T09:00:00Z"}}},"replies":{"comments":[{"id":"Ug1.2","snippet":{"authorDisplayName":"@x","textDisplay":"a","publishedAt":"2026-03-01T08:00:00Z"}}]}}`))
	f.Add([]byte(`{"snippet":{"title":"a"},"contentDetails":{"videoId":"v","videoPublishedAt":"2026-03-01T08:00:00Z"}}`))
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	s := quick(f, environment(f, "http://127.0.0.1:1", func() time.Time { return now }))
	p := &poll{Source: s, now: now}
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(i source.Item) {
			if (i.Message == nil) == (i.Err == nil) {
				t.Fatalf("an item that is both or neither: %+v", i)
			}
			if i.Message != nil {
				if err := i.Message.Validate(now); err != nil {
					t.Fatal(err)
				}
			}
		}
		var th thread
		if json.Unmarshal(b, &th) == nil {
			check(s.item(&th.Snippet.Top, &th, b))
			for _, r := range th.Replies.Comments {
				check(p.reply(r, &th))
			}
		}
		i, _ := s.video(b)
		check(i)
	})
}
