package x

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/ingest/internal/budget"
	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/source/sourcetest"
	"github.com/dwiarah/dwiarah/ingest/internal/x/xtest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func directory(t testing.TB) *institutions.Directory {
	t.Helper()
	d, err := institutions.Parse("institutions.yaml", []byte(`
institutions:
  - {id: kota, name: Kota, zone: Asia/Jakarta, accounts: {x: [{handle: layanan_kota}]}, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}}
`))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// environment is that of a source before a server.
func environment(t testing.TB, base string, now func() time.Time, change ...func(*Settings)) source.Environment {
	t.Helper()
	d := directory(t)
	institution, official := d.Owner("x", "layanan_kota")
	settings := DefaultSettings()
	settings.Lookback = config.Duration(48 * time.Hour)
	settings.DayLimit, settings.MonthLimit = 1_000_000_000, 10_000_000_000
	for _, c := range change {
		c(settings)
	}
	return source.Environment{
		Config:  source.Config{Platform: "x", Account: "layanan_kota", BaseURL: base, Token: config.NewSecret(xtest.Token), AllowPrivate: true}.WithDefaults(),
		Account: source.Account{Institution: institution, Account: official}, Directory: d, Log: slog.New(slog.DiscardHandler), Now: now,
		Settings: settings, Purses: budget.NewPurses(t.TempDir(), now),
	}
}

func quick(t testing.TB, env source.Environment) *Source {
	t.Helper()
	s, err := newSource(env)
	if err != nil {
		t.Fatal(err)
	}
	s.client.FirstWait, s.client.MaxWait = time.Millisecond, 50*time.Millisecond
	s.jobEvery = time.Millisecond
	return s
}

func contract() sourcetest.Contract {
	return sourcetest.Contract{
		Server: func(w *conversation.World) http.Handler { return &xtest.Server{World: w, Now: time.Now} },
		Source: func(t *testing.T, base string, clock *sourcetest.Clock, known sourcetest.Known) source.Source {
			env := environment(t, base, clock.Now)
			env.Known = known
			return quick(t, env)
		},
		MessageID: func(_, id string) string { return xtest.ID(id) },
		Limited:   xtest.Limited,
		Smallest:  leastPerPage,
		Threads:   110,
		Secrets:   []string{xtest.Token},
		Hides:     true,
	}
}

// F14 and F15, row by row.
func TestContract(t *testing.T) { contract().Run(t) }

// The same world through another spelling or another list arrives as the same messages.
func TestTheSameWorldAnotherWay(t *testing.T) {
	read := func(renamed bool, feeds ...string) []*schemas.Message {
		b := newBench(t, func(s *Settings) { s.Feeds = feeds })
		b.server.Renamed = renamed
		b.world.Converse(120)
		b.world.Write("warga1", "1001", strings.Repeat("panjang ", 60))
		b.world.Edit("1005", "diubah", conversation.Start.Add(time.Hour))
		if err := b.poll(); err != nil {
			t.Fatal(err)
		}
		var all []*schemas.Message
		for _, i := range b.items {
			all = append(all, i.Message)
		}
		slices.SortFunc(all, func(a, b *schemas.Message) int { return strings.Compare(a.MessageID, b.MessageID) })
		return all
	}
	want := read(false, feedOwn, feedMentions)
	if len(want) != 181 || want[4].EditedAt == nil || want[4].MessageID != xtest.ID("1005") {
		t.Errorf("%d messages, the edited one %+v", len(want), want[4])
	}
	for _, got := range [][]*schemas.Message{read(true, feedMentions, feedOwn), read(false, feedSearch, feedOwn)} {
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
}

// bench is a source before a server over a world.
type bench struct {
	*testing.T
	world  *conversation.World
	server *xtest.Server
	http   *httptest.Server
	clock  *sourcetest.Clock
	source *Source
	env    source.Environment

	mu      sync.Mutex
	cursor  json.RawMessage
	items   []source.Item
	visible []source.Visibility
	spans   []string
	sizes   int
}

func newBench(t *testing.T, change ...func(*Settings)) *bench {
	t.Helper()
	b := &bench{T: t, world: conversation.NewWorld(), clock: sourcetest.NewClock(conversation.Start.Add(24 * time.Hour))}
	b.server = &xtest.Server{World: b.world, Now: b.clock.Now, Bill: xtest.NewBill()}
	b.http = httptest.NewServer(b.server)
	t.Cleanup(b.http.Close)
	b.env = environment(t, b.http.URL, b.clock.Now, change...)
	b.source = quick(t, b.env)
	t.Cleanup(b.source.Close)
	return b
}

func (b *bench) emit(_ context.Context, p source.Page) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.items = append(b.items, p.Items...)
	b.visible = append(b.visible, p.Visible...)
	if p.Cursor != nil {
		b.cursor = p.Cursor
	}
	if p.Size != nil {
		b.sizes++
	}
	if !p.CompleteUntil.IsZero() {
		b.spans = append(b.spans, p.CompleteSince.Format("02 15:04:05")+" to "+p.CompleteUntil.Format("02 15:04:05"))
	}
	return nil
}

func (b *bench) poll() error {
	b.Helper()
	b.clock.Add(time.Minute)
	b.items, b.visible, b.spans, b.sizes = nil, nil, nil, 0
	return b.source.Poll(b.Context(), b.cursor, b.emit)
}

// ids are the world's ids of what came.
func (b *bench) ids() (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range b.items {
		if i.Message == nil {
			out = append(out, "dead")
			continue
		}
		for n := range 5000 {
			if id := fmt.Sprint(1001 + n); xtest.ID(id) == i.Message.MessageID {
				out = append(out, id)
				break
			}
		}
	}
	return out
}

func (b *bench) bill() (sum int64) {
	for _, cents := range b.server.Bill.Days {
		sum += cents
	}
	return sum
}

func (b *bench) spent() int64 {
	l := b.source.purse.Lines()[1]
	return l.Limit - l.Left
}

func TestPollReadsTheConversation(t *testing.T) {
	b := newBench(t)
	long := strings.Repeat("panjang ", 60)
	post := b.world.Write("layanan_kota", "", "Jadwal &amp; loket")
	ask := b.world.Write("warga1", post, long)
	b.world.Write("layanan_kota", ask, "besok")
	b.server.Withheld = map[string]bool{ask: true}
	if err := b.poll(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"1003", "1001", "1002"}, b.ids()); d != "" {
		t.Error(d)
	}
	n := func(v int64) *int64 { return &v }
	now := b.clock.Now()
	want := &schemas.Message{
		Platform: "x", MessageID: xtest.ID(ask), Institution: "kota", Account: "layanan_kota", Kind: "reply", AuthorID: "901", CreatedAt: conversation.Start.Add(2 * time.Second), ObservedAt: &now,
		Text: long, Lang: "in", ParentID: xtest.ID(post), ParentAuthorID: "layanan_kota", RootID: xtest.ID(post), Mentions: []string{"layanan_kota"},
		Likes: n(3), Replies: n(1), Shares: n(2), Views: n(40),
	}
	if d := cmp.Diff(want, b.items[2].Message); d != "" {
		t.Error(d)
	}
	if text := b.items[1].Message.Text; text != "@layanan_kota Jadwal & loket" {
		t.Errorf("text %q", text)
	}
	if len(b.visible) != 1 || b.visible[0].MessageID != xtest.ID(ask) || b.visible[0].Reason != schemas.HiddenWithheld {
		t.Errorf("visible %+v", b.visible)
	}
	if d := cmp.Diff([]string{"28 08:01:00 to 02 08:01:00"}, b.spans); d != "" || b.sizes != 1 {
		t.Errorf("%s, %d sizes", d, b.sizes)
	}
	if strings.Contains(string(b.cursor), "panjang") {
		t.Errorf("the cursor holds what a person wrote: %s", b.cursor)
	}
	if err := b.poll(); err != nil || len(b.items) > 0 || b.sizes != 0 {
		t.Errorf("a second poll: %v, %v, %d sizes", err, b.ids(), b.sizes)
	}
	if b.spent() != b.bill() || b.bill() != 3*xtest.PostPrice+xtest.UserPrice {
		t.Errorf("spent %d, the bill is %d", b.spent(), b.bill())
	}
}

// A walk that the money ends in the middle goes on below where it ended, and since_id moves only when the last page is done.
func TestMoneyEndsAWalkInTheMiddle(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.DayLimit, s.Feeds = 110_000, []string{feedMentions} }) // the account and twenty posts
	for n := range 50 {
		b.world.Write("warga1", "", fmt.Sprint("halo ", n))
	}
	err := b.poll()
	if source.GapReason(err) != schemas.GapBudget || !strings.Contains(err.Error(), "the budget $0.110000 a day of x has $0.000000 left") {
		t.Errorf("error %v", err)
	}
	if got := b.ids(); len(got) != 20 || got[0] != "1050" || len(b.spans) > 0 {
		t.Errorf("%d posts from %s, complete %v", len(got), got[0], b.spans)
	}
	var at cursor
	if err := json.Unmarshal(b.cursor, &at); err != nil || at.Mentions.Newest != xtest.ID("1050") || at.Mentions.Below != xtest.ID("1031") || at.Mentions.Since == at.Mentions.Newest {
		t.Errorf("cursor %s, %v", b.cursor, err)
	}
	if b.bill() != 110_000 || b.spent() != 110_000 {
		t.Errorf("spent %d, the bill is %d", b.spent(), b.bill())
	}
	b.world.Write("warga2", "", "baru")
	seen := slices.Clone(b.ids())
	// A restart in between: the cursor and the purse are all that is left.
	for days := 0; err != nil && days < 8; days++ {
		b.clock.Add(24 * time.Hour)
		b.env.Purses = budget.NewPurses(t.TempDir(), b.clock.Now)
		b.source = quick(t, b.env)
		err = b.poll()
		seen = append(seen, b.ids()...)
	}
	if err != nil || len(b.spans) != 1 || !strings.HasPrefix(b.spans[0], "28 08:01:00 to") {
		t.Errorf("error %v, complete %v", err, b.spans)
	}
	slices.Sort(seen)
	if got := slices.Compact(slices.Clone(seen)); len(got) != 51 || len(seen) != 51 {
		t.Errorf("%d posts, %d of them different", len(seen), len(got))
	}
}

func TestTheSpendingOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, func(s *Settings) { s.DayLimit = 60_000 })
	b.env.Purses = budget.NewPurses(dir, b.clock.Now)
	b.source = quick(t, b.env)
	b.world.Converse(10)
	if err := b.poll(); source.GapReason(err) != schemas.GapBudget {
		t.Errorf("error %v", err)
	}
	before := b.bill()
	b.env.Purses = budget.NewPurses(dir, b.clock.Now)
	b.source = quick(t, b.env)
	if err := b.poll(); source.GapReason(err) != schemas.GapBudget || b.bill() != before {
		t.Errorf("error %v, the bill went from %d to %d", err, before, b.bill())
	}
}

func TestRepliesThatDoNotMention(t *testing.T) {
	b := newBench(t)
	post := b.world.Write("layanan_kota", "", "Jadwal")
	if err := b.poll(); err != nil {
		t.Fatal(err)
	}
	var at cursor
	if err := json.Unmarshal(b.cursor, &at); err != nil {
		t.Fatal(err)
	}
	at.Swept = conversation.Start
	b.cursor, _ = json.Marshal(at)
	side := b.world.Write("warga1", post, "antar warga")
	b.source.settings.Feeds = []string{feedConversations}
	b.source.env.Known = func(id string) (source.Known, bool) { return source.Known{}, id == xtest.ID(post) }
	b.clock.Add(7 * time.Hour)
	if err := b.poll(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{side}, b.ids()); d != "" {
		t.Error(d)
	}
	b.clock.Add(7 * time.Hour)
	b.source.env.Known = func(string) (source.Known, bool) { return source.Known{}, true }
	if err := b.poll(); err != nil || len(b.items) > 0 {
		t.Errorf("known messages came again: %v, %v", b.ids(), err)
	}
}

func TestConversationQueriesAreShortEnough(t *testing.T) {
	var ids []string
	for n := range 100 {
		ids = append(ids, xtest.ID(fmt.Sprint(1001+n)))
	}
	var all []string
	for rest := ids; len(rest) > 0; {
		var query string
		query, rest = conversationQuery(rest, maxQuery)
		if len(query) > maxQuery {
			t.Errorf("%d characters", len(query))
		}
		all = append(all, strings.Split(strings.ReplaceAll(query, "conversation_id:", ""), " OR ")...)
	}
	if d := cmp.Diff(ids, all); d != "" {
		t.Error(d)
	}
}

func TestASearchThatReachesTooShort(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Feeds = []string{feedSearch} })
	b.world.Converse(1)
	if err := b.poll(); err != nil {
		t.Fatal(err)
	}
	b.clock.Add(20 * 24 * time.Hour)
	err := b.poll()
	if source.GapReason(err) != schemas.GapClamp || len(b.spans) > 0 {
		t.Errorf("error %v, complete %v", err, b.spans)
	}
	if err := b.poll(); err != nil || len(b.spans) != 1 || b.spans[0] != "22 08:02:00 to 22 08:03:00" {
		t.Errorf("error %v, complete %v", err, b.spans)
	}
}

// X shows the newest 800 mentions: where there are more than that, some may be out of reach, also when the walk took several polls.
func TestMentionsBeyondTheNewestEightHundred(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Feeds = []string{feedMentions} })
	b.source.env.Config.PageCap = 5
	for n := range 800 {
		b.world.Write("warga1", "", fmt.Sprint("halo ", n))
	}
	if err := b.poll(); source.GapReason(err) != schemas.GapLimit || len(b.items) != 500 {
		t.Errorf("%d items, %v", len(b.items), err)
	}
	err := b.poll()
	if source.GapReason(err) != schemas.GapClamp || len(b.items) != 300 || len(b.spans) > 0 {
		t.Errorf("%d items, %v, complete %v", len(b.items), err, b.spans)
	}
	if err := b.poll(); err != nil || len(b.spans) != 1 {
		t.Errorf("%v, complete %v", err, b.spans)
	}
}

func TestBackfillReadsARange(t *testing.T) {
	b := newBench(t)
	for n := range 150 {
		b.world.Write("warga1", "", fmt.Sprint("halo ", n))
	}
	since, until := conversation.Start.Add(10*time.Second), conversation.Start.Add(121*time.Second)
	if err := b.source.Backfill(t.Context(), since, until, b.emit); err != nil {
		t.Fatal(err)
	}
	got := b.ids()
	slices.Sort(got)
	if len(got) != 111 || got[0] != "1010" || got[110] != "1120" || b.cursor != nil {
		t.Errorf("%d posts from %s, cursor %s", len(got), got[0], b.cursor)
	}
	if d := cmp.Diff([]string{"01 08:00:10 to 01 08:02:01"}, b.spans); d != "" {
		t.Error(d)
	}
}

func TestRecheckByComplianceJobs(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Compliance = true })
	b.world.Converse(4)
	if err := b.poll(); err != nil {
		t.Fatal(err)
	}
	var known []source.Known
	want := map[string]source.State{}
	for _, i := range b.items {
		known = append(known, source.Known{Message: schemas.Message{MessageID: i.Message.MessageID}})
		want[i.Message.MessageID] = source.Present
	}
	b.world.Delete("1001")
	b.world.Protected["warga2"] = true
	b.server.Suspended = map[string]bool{"warga3": true}
	want[xtest.ID("1001")], want[xtest.ID("1003")], want[xtest.ID("1004")] = source.Deleted, source.Hidden, source.Hidden
	before := b.bill()
	findings, err := b.source.Recheck(t.Context(), known)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]source.State{}
	for i, f := range findings {
		got[known[i].Message.MessageID] = f.State
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if b.bill() != before {
		t.Errorf("a compliance job cost %d", b.bill()-before)
	}
	if _, err := readVerdicts([]byte("{\"id\":\"1\",\"action\":\"delete\"}\n{\"id\":")); err == nil {
		t.Error("half a result passed")
	}
}

func TestJudgeTellsMoneyFromTheMinute(t *testing.T) {
	b := newBench(t)
	f := func(code int, title, kind, want string) {
		t.Helper()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { xtest.Problem(w, code, title, kind) }))
		defer server.Close()
		env := environment(t, server.URL, b.clock.Now)
		s := quick(t, env)
		defer s.Close()
		if err := s.Check(t.Context()); source.GapReason(err) != want || !strings.Contains(err.Error(), title) {
			t.Errorf("%d %s: %v", code, title, err)
		}
	}
	f(http.StatusPaymentRequired, "CreditsDepleted", "about:blank", schemas.GapBudget)
	f(http.StatusForbidden, "UsageCapExceeded", "https://api.twitter.com/2/problems/usage-capped", schemas.GapBudget)
	f(http.StatusForbidden, "Client Forbidden", "https://api.twitter.com/2/problems/client-forbidden", schemas.GapAuth)
}

func TestAnAnswerWithoutAnAccountIsNoEmptyPage(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/by/") {
			xtest.Answer(w, http.StatusOK, map[string]any{"data": map[string]any{"id": "100", "username": "layanan_kota"}})
			return
		}
		xtest.Answer(w, http.StatusOK, map[string]any{"errors": []any{map[string]any{"title": "Not Found Error"}}})
	}))
	defer server.Close()
	clock := sourcetest.NewClock(conversation.Start)
	s := quick(t, environment(t, server.URL, clock.Now))
	defer s.Close()
	err := s.Poll(t.Context(), nil, func(_ context.Context, p source.Page) error {
		if !p.CompleteUntil.IsZero() {
			t.Error("complete")
		}
		return nil
	})
	if source.GapReason(err) != schemas.GapOutage || !strings.Contains(err.Error(), "Not Found Error") {
		t.Errorf("error %v", err)
	}
}

func TestSettings(t *testing.T) {
	f := func(written config.Group, want ...string) {
		t.Helper()
		var got []string
		written.Decode(DefaultSettings(), func(key string, value any, allowed string) {
			got = append(got, fmt.Sprintf("%s: %v; %s", key, value, allowed))
		})
		if len(got) != len(want) {
			t.Errorf("%v: %q", written, got)
			return
		}
		for n := range want {
			if !strings.Contains(got[n], want[n]) {
				t.Errorf("%v: %q", written, got)
			}
		}
	}
	f(config.Group{})
	f(config.Group{"usd_per_day": "1.50", "usd_per_month": 20, "feeds": []any{"own", "search"}})
	f(config.Group{"usd_per_day": "1.0000001"}, "at most six decimals")
	f(config.Group{"usd_per_day": "-1"}, "dollars, as 1.50")
	f(config.Group{"usd_per_day": "0"}, "without a limit X is not read")
	f(config.Group{"feeds": []any{"trends"}}, "some of own, mentions, search, conversations")
	f(config.Group{"lookback": "720h"}, "up to 167h")
	f(config.Group{"query": strings.Repeat("a", 600)}, "at most 512")
}

// FuzzAnswer reads foreign bytes as an answer: what decodes becomes valid messages or dead letters, and nothing panics.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"data":[{"id":"2028017393464246273","text":"a","author_id":"1","created_at":"2026-03-01T08:00:00.000Z","edit_history_tweet_ids":["1","2028017393464246273"],"referenced_posts":[{"type":"replied_to","id":"2"}],"entities":{"mentions":[{"id":"3","username":"u"}]},"note_post":{"text":"b"}}],"includes":{"users":[{"id":"1","username":"w"}],"tweets":[{"id":"2"}]},"meta":{"next_token":"t"},"errors":[{"type":"x/resource-not-found","value":"9"}]}`))
	f.Add([]byte(`{"data":{"id":"1"},"matching_rules":[{"tag":"a"}]}`))
	d := directory(f)
	institution, official := d.Owner("x", "layanan_kota")
	s := &Source{env: source.Environment{Directory: d, Account: source.Account{Institution: institution, Account: official}}, settings: DefaultSettings()}
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, b []byte) {
		var a Answer
		if json.Unmarshal(b, &a) != nil {
			return
		}
		a.missing()
		a.byID()
		for _, raw := range a.Data {
			item, _, dropped := s.item(raw, &a.Includes, &User{ID: "100", Username: "layanan_kota"}, now)
			if dropped {
				continue
			}
			if (item.Message == nil) == (item.Err == nil) {
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
