package feed

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mmcdole/gofeed"
	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/source/sourcetest"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func environment(t testing.TB, address, role string, now func() time.Time) source.Environment {
	t.Helper()
	d, err := institutions.Parse("institutions.yaml", []byte(`
institutions:
  - {id: kota, name: Kota, zone: Asia/Jakarta, accounts: {web: [{handle: kota.example}]}, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}}
`))
	if err != nil {
		t.Fatal(err)
	}
	institution, official := d.Owner("web", "kota.example")
	return source.Environment{
		Config:  source.Config{Platform: "web", Account: "kota.example", AllowPrivate: true}.WithDefaults(),
		Account: source.Account{Institution: institution, Account: official}, Directory: d, Log: slog.New(slog.DiscardHandler), Now: now, Settings: &Settings{Address: address, Role: role},
	}
}

func quick(t testing.TB, address, role string, now func() time.Time) *Source {
	t.Helper()
	s, err := newSource(environment(t, address, role, now))
	if err != nil {
		t.Fatal(err)
	}
	s.client.FirstWait, s.client.MaxWait = time.Millisecond, 50*time.Millisecond
	return s
}

// bench is a source before a server that serves body.
type bench struct {
	*testing.T
	body   string
	fault  http.HandlerFunc
	clock  *sourcetest.Clock
	source *Source
	cursor json.RawMessage
	items  []source.Item
	spans  []string
}

func newBench(t *testing.T, role string) *bench {
	t.Helper()
	b := &bench{T: t, clock: sourcetest.NewClock(conversation.Start.Add(time.Hour))}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b.fault != nil {
			b.fault(w, r)
			return
		}
		if r.URL.Query().Get("q") != "pemkot" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/xml")
		fmt.Fprint(w, b.body)
	}))
	t.Cleanup(server.Close)
	b.source = quick(t, server.URL+"/feed?q=pemkot", role, b.clock.Now)
	t.Cleanup(b.source.Close)
	return b
}

func (b *bench) poll() error {
	b.Helper()
	b.clock.Add(time.Hour)
	b.items, b.spans = nil, nil
	return b.source.Poll(b.Context(), b.cursor, b.emit)
}

func (b *bench) emit(_ context.Context, p source.Page) error {
	b.items = append(b.items, p.Items...)
	if p.Cursor != nil {
		b.cursor = p.Cursor
	}
	if !p.CompleteUntil.IsZero() {
		b.spans = append(b.spans, p.CompleteSince.Format("15:04")+" to "+p.CompleteUntil.Format("15:04"))
	}
	return nil
}

func rss(items ...string) string {
	return `<?xml version="1.0"?><rss version="2.0"><channel><title>Kota</title>` + strings.Join(items, "") + `</channel></rss>`
}

func entry(id, title, more string) string {
	return `<item><guid>` + id + `</guid><title>` + title + `</title><link>https://kota.example/` + id + `</link>` + more + `</item>`
}

const dated = `<pubDate>Sun, 01 Mar 2026 15:00:00 +0700</pubDate>`

func TestOwnFeed(t *testing.T) {
	b := newBench(t, RoleOwn)
	b.body = rss(entry("1", "Jadwal &amp;amp; loket", dated+`<description>&lt;p&gt;Mulai &lt;b&gt;Senin&lt;/b&gt;&lt;br&gt;pukul 8&lt;/p&gt;</description>`), entry("2", "Tanpa tanggal", ""), entry("1", "sekali lagi", ""), `<item><title>tanpa id</title></item>`)
	if err := b.poll(); err != nil {
		t.Fatal(err)
	}
	now := b.clock.Now()
	want := []*schemas.Message{
		{Platform: "web", MessageID: "1", Institution: "kota", Account: "kota.example", Kind: "post", AuthorID: "kota.example", CreatedAt: conversation.Start, ObservedAt: &now, Text: "Jadwal & loket\nMulai Senin\npukul 8", URL: "https://kota.example/1"},
		{Platform: "web", MessageID: "2", Institution: "kota", Account: "kota.example", Kind: "post", AuthorID: "kota.example", CreatedAt: now, ObservedAt: &now, Text: "Tanpa tanggal", URL: "https://kota.example/2"},
	}
	var got []*schemas.Message
	for _, i := range b.items {
		got = append(got, i.Message)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"10:00 to 10:00"}, b.spans); d != "" {
		t.Error(d)
	}
	if err := b.poll(); err != nil || len(b.items) > 0 || b.spans[0] != "10:00 to 11:00" {
		t.Errorf("a second poll: %d items, %v, %v", len(b.items), err, b.spans)
	}
	// An edit keeps the time of writing, also where the feed told none.
	b.body = rss(entry("2", "Tanpa tanggal, diubah", ""), entry("1", "Jadwal &amp;amp; loket", dated+`<description>Mulai Senin&lt;br&gt;pukul 8</description>`))
	if err := b.poll(); err != nil || len(b.items) != 1 {
		t.Fatalf("%d items, %v", len(b.items), err)
	}
	if m := b.items[0].Message; !m.CreatedAt.Equal(now) || m.EditedAt == nil || !m.EditedAt.Equal(b.clock.Now()) || m.Text != "Tanpa tanggal, diubah" {
		t.Errorf("%+v", m)
	}
	if strings.Contains(string(b.cursor), "Jadwal") {
		t.Errorf("the cursor holds text: %s", b.cursor)
	}
}

func TestAFeedOfMentions(t *testing.T) {
	b := newBench(t, RoleMentions)
	b.body = `<feed xmlns="http://www.w3.org/2005/Atom"><title>Berita</title><entry><id>tag:1</id><title type="html">Warga keluhkan &lt;b&gt;pemkot&lt;/b&gt;</title>
<link href="https://koran.example/berita/1"/><published>2026-03-01T08:00:00Z</published><updated>2026-03-01T09:00:00Z</updated><author><name>Nama Wartawan</name></author></entry></feed>`
	if err := b.poll(); err != nil || len(b.items) != 1 {
		t.Fatal(err, len(b.items))
	}
	m := b.items[0].Message
	if m.Kind != "mention" || m.AuthorID != "koran.example" || len(m.Mentions) != 1 || m.Text != "Warga keluhkan pemkot" || !m.CreatedAt.Equal(conversation.Start) {
		t.Errorf("%+v", m)
	}
}

func TestAFeedThatHasMovedOnIsAGap(t *testing.T) {
	b := newBench(t, RoleOwn)
	b.body = rss(entry("1", "a", dated), entry("2", "b", dated))
	if err := b.poll(); err != nil {
		t.Fatal(err)
	}
	b.body = rss(entry("8", "c", dated), entry("9", "d", dated))
	if err := b.poll(); source.GapReason(err) != schemas.GapClamp || len(b.items) != 2 || len(b.spans) > 0 {
		t.Errorf("%d items, %v, complete %v", len(b.items), err, b.spans)
	}
	b.body = rss()
	if err := b.poll(); err != nil || len(b.spans) != 1 {
		t.Errorf("an empty feed: %v", err)
	}
}

func TestBackfill(t *testing.T) {
	b := newBench(t, RoleOwn)
	b.body = rss(entry("1", "a", dated))
	if err := b.source.Backfill(t.Context(), conversation.Start, conversation.Start.Add(time.Hour), b.emit); err != nil || len(b.items) != 1 {
		t.Errorf("%d items, %v", len(b.items), err)
	}
	if err := b.source.Backfill(t.Context(), conversation.Start.Add(-time.Hour), conversation.Start.Add(time.Hour), b.emit); source.GapReason(err) != schemas.GapClamp {
		t.Errorf("error %v", err)
	}
}

// The rows of the contract that a list without answers can show. F15, of a feed.
func TestFaults(t *testing.T) {
	f := func(name, gap string, fault http.HandlerFunc) {
		t.Helper()
		b := newBench(t, RoleOwn)
		b.body = rss(entry("1", "a", dated))
		b.fault = fault
		if err := b.poll(); err == nil || source.GapReason(err) != gap || len(b.spans) > 0 {
			t.Errorf("%s: %v, complete %v", name, err, b.spans)
		}
		b.fault = nil
		if err := b.poll(); err != nil || len(b.items) != 1 {
			t.Errorf("after %s: %d items, %v", name, len(b.items), err)
		}
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	f("401", schemas.GapAuth, status(http.StatusUnauthorized))
	f("403", schemas.GapAuth, status(http.StatusForbidden))
	f("404", schemas.GapOutage, status(http.StatusNotFound))
	f("500", schemas.GapOutage, status(http.StatusInternalServerError))
	f("429", schemas.GapBudget, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1800")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	f("a page of HTML", schemas.GapOutage, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html><body>maintenance</body></html>") })
	f("a truncated body", schemas.GapOutage, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, "<rss>")
	})
	f("a huge body", schemas.GapOutage, func(w http.ResponseWriter, _ *http.Request) {
		for range web.MaxBody/1024 + 2 {
			fmt.Fprint(w, strings.Repeat(" ", 1024))
		}
	})
	f("nothing", schemas.GapOutage, status(http.StatusOK))
}

func TestSettings(t *testing.T) {
	var got []string
	config.Group{"address": "ftp//x", "role": "both"}.Decode(&Settings{}, func(key string, value any, allowed string) { got = append(got, key+": "+allowed) })
	if len(got) != 2 || !strings.Contains(got[0], "https://kota.example/feed.xml") || !strings.Contains(got[1], "own or mentions") {
		t.Errorf("%q", got)
	}
	if _, err := New(environment(t, "file:///etc/passwd", RoleOwn, time.Now)); err == nil {
		t.Error("a file was taken for a feed")
	}
}

// FuzzItems reads foreign bytes as a feed: valid messages or dead letters, and no panic.
func FuzzItems(f *testing.F) {
	f.Add([]byte(rss(entry("1", "a &amp; b", dated+"<description>&lt;p&gt;x"))))
	f.Add([]byte(`<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>1</id><title>a</title><updated>2026-03-01T08:00:00Z</updated></entry></feed>`))
	f.Add([]byte(`{"version":"https://jsonfeed.org/version/1","items":[{"id":"1","content_text":"a"}]}`))
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	s := quick(f, "http://127.0.0.1:1/feed", RoleMentions, func() time.Time { return now })
	f.Fuzz(func(t *testing.T, b []byte) {
		parsed, err := gofeed.NewParser().Parse(strings.NewReader(string(b)))
		if err != nil {
			return
		}
		for _, i := range parsed.Items {
			item, is := s.item(i, itemID(i), shown{}, now)
			if (item.Message == nil) == (item.Err == nil) || is.Hash == "" {
				t.Fatalf("an item that is both or neither: %+v", item)
			}
			if item.Message != nil {
				if err := item.Message.Validate(now); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
