package mastodon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/ingest/internal/markup"
	"github.com/dwiarah/dwiarah/ingest/internal/mastodon/mastodontest"
	"github.com/dwiarah/dwiarah/ingest/internal/recheck"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/web"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// bench is a source before a server, and what it has emitted.
type bench struct {
	*testing.T
	server   *mastodontest.Server
	source   *Source
	now      time.Time
	cursor   json.RawMessage
	messages []*schemas.Message
	dead     []source.Item
	dropped  int64
	sizes    []*source.Size
	complete []string
	pages    int
	mu       sync.Mutex // a stream emits beside the test
	book     *recheck.Book
}

func newBench(t *testing.T, change ...func(*source.Config)) *bench {
	t.Helper()
	b := &bench{T: t, server: mastodontest.New(), now: start.Add(time.Hour)}
	t.Cleanup(b.server.Close)
	var err error
	if b.book, err = recheck.Open(recheck.Config{Keep: 90 * 24 * time.Hour, Limit: 1000, Now: func() time.Time { return b.now }}); err != nil {
		t.Fatal(err)
	}
	directory, err := institutions.Parse("institutions.yaml", []byte(`
institutions:
  - {id: kota, name: Kota, zone: Asia/Jakarta, accounts: {mastodon: [{handle: layanan_kota}]}, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}}
  - {id: dinas, name: Dinas, zone: Asia/Jakarta, accounts: {mastodon: [{handle: dinas@lain.example}]}, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}}
`))
	if err != nil {
		t.Fatal(err)
	}
	cfg := source.Config{Platform: "mastodon", Account: "layanan_kota", BaseURL: b.server.URL, Token: config.NewSecret(mastodontest.Token), AllowPrivate: true}.WithDefaults()
	for _, c := range change {
		c(&cfg)
	}
	institution, official := directory.Owner("mastodon", "layanan_kota")
	b.source, err = newSource(source.Environment{
		Config: cfg, Account: source.Account{Institution: institution, Account: official}, Directory: directory, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return b.now }, Known: b.book.Message,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.source.client.FirstWait, b.source.client.MaxWait = time.Millisecond, 50*time.Millisecond
	t.Cleanup(b.source.Close)
	return b
}

func (b *bench) emit(_ context.Context, p source.Page) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pages++
	for _, i := range p.Items {
		if i.Err != nil {
			b.dead = append(b.dead, i)
			continue
		}
		b.messages = append(b.messages, i.Message)
		b.book.Add(i.Message)
	}
	for reason, n := range p.Dropped {
		if reason != schemas.DropNotPublic {
			b.Errorf("dropped %s", reason)
		}
		b.dropped += n
	}
	if p.Size != nil {
		b.sizes = append(b.sizes, p.Size)
	}
	if p.Cursor != nil {
		b.cursor = p.Cursor
	}
	if !p.CompleteUntil.IsZero() {
		b.complete = append(b.complete, p.CompleteSince.Format(time.TimeOnly)+"-"+p.CompleteUntil.Format(time.TimeOnly))
	}
	return nil
}

// poll polls a minute later and returns what came, forgetting what came before.
func (b *bench) poll() ([]*schemas.Message, error) {
	b.Helper()
	b.messages, b.dead, b.dropped, b.complete, b.pages, b.sizes = nil, nil, 0, nil, 0, nil
	b.now = b.now.Add(time.Minute)
	err := b.source.Poll(b.Context(), b.cursor, b.emit)
	return b.messages, err
}

// again reads again what is known, a minute later, and returns what that says.
func (b *bench) again() ([]*schemas.Message, error) {
	b.Helper()
	b.messages = nil
	b.now = b.now.Add(time.Minute)
	due := b.book.Due(100, true)
	findings, err := b.source.Recheck(b.Context(), due)
	for i, f := range findings {
		out := b.book.Apply(due[i].Message.MessageID, f)
		if err := b.emit(b.Context(), source.Page{Items: out.Items}); err != nil {
			return nil, err
		}
	}
	return b.messages, err
}

func (b *bench) mustAgain() []*schemas.Message {
	b.Helper()
	m, err := b.again()
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func (b *bench) must() []*schemas.Message {
	b.Helper()
	m, err := b.poll()
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func (b *bench) host() string { return b.source.client.Base.Host }

// ids returns the server's ids of messages.
func (b *bench) ids(messages []*schemas.Message) []string {
	var ids []string
	for _, m := range messages {
		ids = append(ids, strings.TrimPrefix(m.MessageID, b.host()+"/"))
	}
	return ids
}

func TestPollReadsTheConversation(t *testing.T) {
	b := newBench(t)
	own := b.server.Write(mastodontest.Status{AuthorID: mastodontest.Me, CreatedAt: start, Content: "<p>Jadwal baru</p>"})
	ask := b.server.Write(mastodontest.Status{AuthorID: "12", CreatedAt: start.Add(time.Minute), ReplyTo: own, Mentions: []string{mastodontest.Me},
		Content: "<p>" + b.server.Mention(mastodontest.Me) + " kapan buka?<br>lihat <a href=\"https://kota.example/jadwal\"><span class=\"invisible\">https://</span>kota.example/jad...</a></p>"})
	answer := b.server.Write(mastodontest.Status{AuthorID: mastodontest.Me, CreatedAt: start.Add(2 * time.Minute), ReplyTo: ask, Mentions: []string{"12"}, Content: "<p>" + b.server.Mention("12") + " besok</p>"})
	side := b.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: start.Add(3 * time.Minute), ReplyTo: ask, Mentions: []string{"12"}, Content: "sama"})
	b.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: start, Mentions: []string{mastodontest.Me}, Visibility: "direct", Content: "rahasia"})
	b.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: start, Mentions: []string{mastodontest.Me}, Raw: `{"id": 5, "content": []}`})
	lost := b.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: start.Add(4 * time.Minute), ReplyTo: "1", Mentions: []string{mastodontest.Me}, Content: "halo"})

	got := b.must()
	root := b.host() + "/" + own
	n := func(v int64) *int64 { return &v }
	joined := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	want := func(id string, m schemas.Message) *schemas.Message {
		m.Platform, m.MessageID, m.Institution, m.Account, m.Lang = "mastodon", b.host()+"/"+id, "kota", "layanan_kota", "id"
		m.AuthorFollowers, m.AuthorCreatedAt, m.ObservedAt = n(1000), &joined, &b.now
		m.Likes, m.Shares = n(3), n(1)
		return &m
	}
	wanted := []*schemas.Message{
		want(own, schemas.Message{Kind: "post", AuthorID: "layanan_kota", CreatedAt: start, Text: "Jadwal baru", Replies: n(1), URL: b.server.URL + "/@layanan_kota/" + own}),
		want(answer, schemas.Message{Kind: "reply", AuthorID: "layanan_kota", CreatedAt: start.Add(2 * time.Minute), Text: "@warga2@lain.example besok", Replies: n(0), URL: b.server.URL + "/@layanan_kota/" + answer,
			ParentID: b.host() + "/" + ask, ParentAuthorID: "warga2@lain.example", RootID: root, Mentions: []string{"warga2@lain.example"}}),
		want(ask, schemas.Message{Kind: "reply", AuthorID: "warga2@lain.example", CreatedAt: start.Add(time.Minute), Text: "@layanan_kota kapan buka?\nlihat https://kota.example/jadwal", Replies: n(2),
			URL: b.server.URL + "/@warga2@lain.example/" + ask, ParentID: root, ParentAuthorID: "layanan_kota", RootID: root, Mentions: []string{"layanan_kota"}}),
		want(lost, schemas.Message{Kind: "reply", AuthorID: "warga1@" + b.host(), CreatedAt: start.Add(4 * time.Minute), Text: "halo", Replies: n(0), URL: b.server.URL + "/@warga1/" + lost,
			ParentID: b.host() + "/1", RootID: b.host() + "/1", Mentions: []string{"layanan_kota"}}),
	}
	if d := cmp.Diff(wanted, got); d != "" {
		t.Error(d)
	}
	if b.dropped != 1 || len(b.dead) != 1 || b.dead[0].Err.Reason != schemas.DeadInvalidField || string(b.dead[0].Original) != `{"id":5,"content":[]}` {
		t.Errorf("dropped %d, dead %+v", b.dropped, b.dead)
	}
	if d := cmp.Diff([]string{"08:00:00-09:01:00"}, b.complete); d != "" {
		t.Errorf("complete: %s", d)
	}
	if len(b.sizes) != 1 || *b.sizes[0].Followers != 1000 || *b.sizes[0].Posts != 70 {
		t.Errorf("sizes: %+v", b.sizes)
	}
	if strings.Contains(string(b.cursor), "kapan") || strings.Contains(string(b.cursor), "Nama Orang") {
		t.Errorf("the cursor holds what a person wrote: %s", b.cursor)
	}
	if again := b.must(); len(again) != 0 {
		t.Errorf("a second poll brings %v", b.ids(again))
	}
	// A reply that mentions nobody is found below the account's own status.
	late := b.mustAgain()
	if d := cmp.Diff([]*schemas.Message{want(side, schemas.Message{Kind: "reply", AuthorID: "warga1@" + b.host(), CreatedAt: start.Add(3 * time.Minute), Text: "sama", Replies: n(0),
		URL: b.server.URL + "/@warga1/" + side, ParentID: b.host() + "/" + ask, ParentAuthorID: "warga2@lain.example", RootID: root, Mentions: []string{"warga2@lain.example"}})}, late); d != "" {
		t.Error(d)
	}
}

func TestPollWalksForwardWithoutAGap(t *testing.T) {
	b := newBench(t)
	var want []string
	for n := range 200 {
		want = append(want, b.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: start.Add(time.Duration(n) * time.Second), Mentions: []string{mastodontest.Me}, Content: "halo"}))
	}
	if d := cmp.Diff(want, b.ids(b.must())); d != "" {
		t.Error(d)
	}
	want = nil
	for n := range 200 {
		want = append(want, b.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: start.Add(time.Hour + time.Duration(n)*time.Second), Mentions: []string{mastodontest.Me}, Content: "halo"}))
	}
	if d := cmp.Diff(want, b.ids(b.must())); d != "" {
		t.Error(d)
	}
}

func TestPollStopsAtThePageCapAndGoesOn(t *testing.T) {
	b := newBench(t, func(c *source.Config) { c.PageCap = 2 })
	for n := range 200 {
		b.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: start.Add(time.Duration(n) * time.Second), Mentions: []string{mastodontest.Me}, Content: "halo"})
	}
	got, err := b.poll()
	if source.GapReason(err) != schemas.GapLimit || err == nil || len(got) != 160 {
		t.Errorf("%d messages, error %v", len(got), err)
	}
	if d := cmp.Diff([]string{"08:00:00-08:02:39"}, b.complete); d != "" {
		t.Errorf("complete: %s", d)
	}
	if got := b.must(); len(got) != 40 || !slices.Equal(b.complete, []string{"08:02:40-09:02:00"}) {
		t.Errorf("%d messages, complete %v", len(got), b.complete)
	}
}

func TestPollNoticesAServerWithoutMinID(t *testing.T) {
	b := newBench(t)
	write := func(n int) {
		for range n {
			b.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: start, Mentions: []string{mastodontest.Me}, Content: "halo"})
		}
	}
	b.server.NewestOnly = true
	write(10)
	if got := b.must(); len(got) != 10 {
		t.Errorf("first: %d messages", len(got))
	}
	write(10)
	if got := b.must(); len(got) != 10 {
		t.Errorf("second: %d messages", len(got))
	}
	write(100)
	got, err := b.poll()
	if len(got) != 80 || err == nil || source.GapReason(err) != schemas.GapClamp || len(b.complete) != 0 {
		t.Errorf("%d messages, complete %v, error %v", len(got), b.complete, err)
	}
	write(1)
	if got := b.must(); len(got) != 1 {
		t.Errorf("after the hole: %d messages", len(got))
	}
}

func TestEditsDeletionsAndLateReplies(t *testing.T) {
	b := newBench(t)
	own := b.server.Write(mastodontest.Status{AuthorID: mastodontest.Me, CreatedAt: start, Content: "pengumuman"})
	ask := b.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: start, ReplyTo: own, Mentions: []string{mastodontest.Me}, Content: "kapan?"})
	b.must()

	first, edited := start.Add(80*time.Minute), start.Add(90*time.Minute)
	b.server.Edit(ask, "kapan bukanya?", first)
	b.server.Edit(ask, "kapan buka?", edited)
	late := b.server.Write(mastodontest.Status{AuthorID: "12", CreatedAt: start, ReplyTo: own, Content: "terima kasih"})
	got := b.mustAgain()
	byID := map[string][]*schemas.Message{}
	for _, m := range got {
		id := strings.TrimPrefix(m.MessageID, b.host()+"/")
		byID[id] = append(byID[id], m)
	}
	versions := byID[ask]
	if len(versions) != 2 || versions[0].Text != "kapan bukanya?" || !versions[0].EditedAt.Equal(first) || versions[1].Text != "kapan buka?" || !versions[1].EditedAt.Equal(edited) ||
		versions[1].RootID != b.host()+"/"+own {
		t.Errorf("the edits: %+v", versions)
	}
	if len(byID[late]) != 1 || byID[late][0].Text != "terima kasih" || len(byID[own]) != 1 || *byID[own][0].Replies != 2 {
		t.Errorf("late reply and counts: %v", byID)
	}
	if got := b.mustAgain(); len(got) != 0 {
		t.Errorf("an edit came twice: %v", b.ids(got))
	}

	b.server.Delete(ask)
	missing := b.now.Add(time.Minute)
	for range 5 { // the replies_count of the own status falls, nothing else
		for _, m := range b.mustAgain() {
			if m.DeletedAt != nil {
				t.Fatalf("deleted after %s", b.now.Sub(missing))
			}
		}
	}
	got = b.mustAgain()
	if d := cmp.Diff([]string{ask}, b.ids(got)); d != "" {
		t.Fatal(d)
	}
	m := got[0]
	if m.DeletedAt == nil || !m.DeletedAt.Equal(missing) || m.Text != "" || m.AuthorID != "warga1@"+b.host() || m.Kind != "reply" || !m.CreatedAt.Equal(start) || m.ParentID == "" {
		t.Errorf("deletion: %+v", m)
	}
	if err := m.Validate(b.now); err != nil {
		t.Error(err)
	}
	if got := b.mustAgain(); len(got) != 0 {
		t.Errorf("a deletion came twice: %v", b.ids(got))
	}
}

// TestStream: what is pushed comes at once, by either way, and after a break nothing is missing.
func TestStream(t *testing.T) {
	for _, way := range []string{streamingSocket, streamingEvents} {
		t.Run(way, func(t *testing.T) {
			b := newBench(t)
			b.source.settings.Streaming = streamingAuto
			b.server.Sockets, b.server.Events = way == streamingSocket, way == streamingEvents
			before := b.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: start, Mentions: []string{mastodontest.Me}, Content: "sebelum"})
			follow := func() (stop func() error) {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- (&streamed{b.source}).Stream(ctx, b.cursor, b.emit) }()
				b.eventually("the feeds were not polled", func() bool { return len(b.complete) > 0 })
				return func() error {
					err := <-done
					cancel()
					return err
				}
			}
			stop := follow()
			own := b.server.Write(mastodontest.Status{AuthorID: mastodontest.Me, CreatedAt: start, Content: "pengumuman"})
			ask := b.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: start, Mentions: []string{mastodontest.Me}, Content: "kapan?"})
			b.eventually("the mention did not come", func() bool { return len(b.messages) == 3 })
			b.server.Edit(ask, "kapan buka?", start.Add(30*time.Minute))
			b.server.Delete(before)
			b.eventually("edit and deletion did not come", func() bool { return len(b.messages) == 5 })
			if d := cmp.Diff([]string{before, own, ask, ask, before}, b.ids(b.messages)); d != "" {
				t.Error(d)
			}
			if b.messages[3].Text != "kapan buka?" || b.messages[4].DeletedAt == nil || b.messages[4].Text != "" {
				t.Errorf("edit %+v, deletion %+v", b.messages[3], b.messages[4])
			}
			b.server.BreakStreams()
			var call *web.Error
			if err := stop(); !errors.As(err, &call) || source.GapReason(err) != schemas.GapOutage {
				t.Errorf("a break: %v", err)
			}
			missed := b.server.Write(mastodontest.Status{AuthorID: "12", CreatedAt: start, Mentions: []string{mastodontest.Me}, Content: "di antara"})
			b.messages, b.complete = nil, nil
			stop = follow()
			if d := cmp.Diff([]string{missed}, b.ids(b.messages)); d != "" {
				t.Errorf("after the break: %s", d)
			}
			b.server.BreakStreams()
			if err := stop(); err == nil {
				t.Error("no error after a break")
			}
		})
	}
	t.Run("neither", func(t *testing.T) {
		b := newBench(t)
		b.server.Sockets, b.server.Events = false, false
		if err := (&streamed{b.source}).Stream(t.Context(), nil, b.emit); err == nil || len(b.messages)+b.pages > 0 {
			t.Errorf("error %v", err)
		}
	})
}

// eventually waits for a condition on what was emitted.
func (b *bench) eventually(what string, is func() bool) {
	b.Helper()
	for range 1000 {
		b.mu.Lock()
		ok := is()
		b.mu.Unlock()
		if ok {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.Fatal(what)
}

// F15, with redirects in a loop and to another host.
func TestFaultsOfTheServer(t *testing.T) {
	html := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<html>maintenance</html>")
		return true
	}
	for _, c := range []struct {
		name  string
		kind  web.Kind
		gap   string
		fault func(http.ResponseWriter, *http.Request) bool
	}{
		{"401", web.Auth, schemas.GapAuth, func(w http.ResponseWriter, _ *http.Request) bool {
			mastodontest.Answer(w, http.StatusUnauthorized, map[string]string{"error": "x"})
			return true
		}},
		{"429", web.Limited, schemas.GapBudget, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}},
		{"500", web.Server, schemas.GapOutage, func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true }},
		{"HTML", web.NotJSON, schemas.GapOutage, html},
		{"too large", web.TooLarge, schemas.GapOutage, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, "[")
			for range web.MaxBody/1024 + 2 {
				fmt.Fprint(w, strings.Repeat(" ", 1024))
			}
			fmt.Fprint(w, "]")
			return true
		}},
		{"breaks off", web.Truncated, schemas.GapOutage, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `[{"id":`)
			return true
		}},
		{"breaks off by itself", web.Truncated, schemas.GapOutage, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `[{"id":`)
			return true
		}},
		{"resets", web.Network, schemas.GapOutage, func(w http.ResponseWriter, _ *http.Request) bool {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
			return true
		}},
		{"another host", web.Network, schemas.GapOutage, func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "https://lain.example/", http.StatusFound)
			return true
		}},
		{"a loop", web.Network, schemas.GapOutage, func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
			return true
		}},
		{"JSON of another shape", web.NotJSON, schemas.GapOutage, func(w http.ResponseWriter, _ *http.Request) bool {
			mastodontest.Answer(w, http.StatusOK, map[string]string{"not": "a list"})
			return true
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.server.Write(mastodontest.Status{AuthorID: mastodontest.Me, CreatedAt: start, Content: "pengumuman"})
			b.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: start, Mentions: []string{mastodontest.Me}, Content: "kapan?"})
			b.server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
				return r.URL.Path == "/api/v1/notifications" && c.fault(w, r)
			}
			got, err := b.poll()
			var call *web.Error
			if !errors.As(err, &call) || call.Kind != c.kind || source.GapReason(err) != c.gap {
				t.Fatalf("error %v, want %s and the gap %s", err, c.kind, c.gap)
			}
			if strings.Contains(err.Error(), mastodontest.Token) || len(got) != 1 || len(b.complete) != 0 {
				t.Errorf("%d messages, complete %v, error %v", len(got), b.complete, err)
			}
			b.server.Fault = nil
			b.now = b.now.Add(2 * time.Minute) // what a 429 has asked for
			if got := b.must(); len(got) != 1 || len(b.complete) != 1 {
				t.Errorf("after the fault: %d messages, complete %v", len(got), b.complete)
			}
		})
	}
}

func TestAPassingFaultIsRepeated(t *testing.T) {
	b := newBench(t)
	b.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: start, Mentions: []string{mastodontest.Me}, Content: "kapan?"})
	faults := 2
	b.server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v1/notifications" || faults == 0 {
			return false
		}
		faults--
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	if got := b.must(); len(got) != 1 {
		t.Errorf("%d messages", len(got))
	}
}

func TestTheBudgetOfTheAnswersHolds(t *testing.T) {
	b := newBench(t)
	b.server.Remaining, b.server.Reset = 0, b.now.Add(5*time.Minute)
	_, err := b.poll()
	var call *web.Error
	if !errors.As(err, &call) || call.Kind != web.Budget || source.GapReason(err) != schemas.GapBudget {
		t.Errorf("error %v", err)
	}
	if n := b.server.Calls["/api/v1/accounts/verify_credentials"]; n != 1 || len(b.server.Calls) != 1 {
		t.Errorf("calls: %v", b.server.Calls)
	}
	b.now = b.now.Add(5 * time.Minute)
	b.server.Remaining, b.server.Reset = 300, b.now.Add(5*time.Minute)
	b.must()
}

func TestATokenOfAnotherAccount(t *testing.T) {
	b := newBench(t)
	b.server.Accounts[mastodontest.Me] = "orang_lain"
	if _, err := b.poll(); source.GapReason(err) != schemas.GapAuth || err == nil {
		t.Errorf("error %v", err)
	}
	if err := b.source.Check(t.Context()); err == nil {
		t.Error("check is content")
	}
}

func TestBackfillReadsARange(t *testing.T) {
	b := newBench(t)
	var want []string
	for n := range 300 {
		at := start.Add(time.Duration(n-150) * time.Minute)
		id := b.server.Write(mastodontest.Status{AuthorID: "11", CreatedAt: at, Mentions: []string{mastodontest.Me}, Content: "halo"})
		if n >= 50 && n < 250 {
			want = append(want, id)
		}
		if n == 60 || n == 10 {
			id := b.server.Write(mastodontest.Status{AuthorID: mastodontest.Me, CreatedAt: at, Content: "pengumuman"})
			if n == 60 {
				want = append(want, id)
			}
		}
	}
	if err := b.source.Backfill(t.Context(), start.Add(-100*time.Minute), start.Add(100*time.Minute), b.emit); err != nil {
		t.Fatal(err)
	}
	got := b.ids(b.messages)
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if b.cursor != nil || !slices.Equal(b.complete, []string{"06:20:00-09:40:00"}) {
		t.Errorf("cursor %s, complete %v", b.cursor, b.complete)
	}
}

// FuzzPush reads foreign bytes as events of both ways of streaming: no panic, valid messages or dead letters.
func FuzzPush(f *testing.F) {
	f.Add("", `{"event":"notification","payload":"{\"id\":\"5\",\"type\":\"mention\",\"status\":{\"id\":\"1\",\"created_at\":\"2026-03-01T08:00:00Z\",\"visibility\":\"public\",\"content\":\"x\",\"account\":{\"id\":\"11\",\"acct\":\"a\"}}}"}`)
	f.Add("status.update", `{"id":"1","created_at":"2026-03-01T08:00:00Z","edited_at":"2026-03-01T09:00:00Z","visibility":"public","content":"<p>x"}`)
	f.Add("delete", "1")
	f.Fuzz(func(t *testing.T, event, data string) {
		now := start.Add(time.Hour)
		env := source.Environment{
			Config: source.Config{Platform: "mastodon", BaseURL: "http://127.0.0.1:1", Token: config.NewSecret("x"), AllowPrivate: true}.WithDefaults(), Now: func() time.Time { return now },
			Account: source.Account{Institution: &institutions.Institution{ID: "kota"}, Account: institutions.Account{Handle: "layanan_kota"}}, Directory: &institutions.Directory{},
			Known: func(id string) (source.Known, bool) {
				return source.Known{Message: schemas.Message{Platform: "mastodon", MessageID: id, Kind: "mention", AuthorID: "a", CreatedAt: start}}, true
			},
		}
		s, err := newSource(env)
		if err != nil {
			t.Fatal(err)
		}
		s.client.MaxWait, s.client.FirstWait = 0, 1
		p := &poll{Source: s, me: account{ID: "7"}, now: now, roots: map[string]string{}, accts: map[string]string{}, emit: func(_ context.Context, page source.Page) error {
			for _, i := range page.Items {
				if (i.Message == nil) == (i.Err == nil) {
					t.Fatalf("an item that is both or neither: %+v", i)
				}
				// A deletion repeats what is known, and an id of the server's may be anything.
				if i.Message != nil && i.Message.DeletedAt == nil && i.Message.Validate(now) != nil {
					t.Fatalf("a message that is not valid: %+v", i.Message)
				}
			}
			return nil
		}}
		_ = p.pushed(t.Context(), web.Frame{Event: event, Data: []byte(data)}) // what would need a call fails
	})
}

func FuzzStatuses(f *testing.F) {
	f.Add(`[{"id":"1","created_at":"2026-03-01T08:00:00Z","visibility":"public","content":"<p>x"}]`, "<a href=")
	f.Add(`[null, 1, {"id":null,"account":null,"mentions":null}]`, "<!-- <p>")
	f.Fuzz(func(t *testing.T, body, content string) {
		var statuses []rawStatus
		if json.Unmarshal([]byte(body), &statuses) == nil {
			for i := range statuses {
				text(&statuses[i].status)
			}
		}
		markup.Text(content, nil)
	})
}
