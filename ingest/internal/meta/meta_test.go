package meta

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/meta/metatest"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/source/sourcetest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func surfaces() []surface { return []surface{facebook(), instagram(), threads()} }

func environment(t testing.TB, platform, base string, now func() time.Time) source.Environment {
	t.Helper()
	d, err := institutions.Parse("institutions.yaml", []byte(fmt.Sprintf(`
institutions:
  - {id: kota, name: Kota, zone: Asia/Jakarta, accounts: {%s: [{id: "100", handle: layanan_kota}]}, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}}
`, platform)))
	if err != nil {
		t.Fatal(err)
	}
	institution, official := d.Owner(platform, "layanan_kota")
	settings := DefaultSettings()
	settings.AppSecret, settings.VerifyToken = config.NewSecret(metatest.AppSecret), config.NewSecret(metatest.Verify)
	return source.Environment{
		Config:  source.Config{Platform: platform, Account: "layanan_kota", BaseURL: base, Token: config.NewSecret(metatest.Token), AllowPrivate: true}.WithDefaults(),
		Account: source.Account{Institution: institution, Account: official}, Directory: d, Log: slog.New(slog.DiscardHandler), Now: now, Settings: settings,
	}
}

func quick(t testing.TB, s surface, env source.Environment) *Source {
	t.Helper()
	src, err := newSource(s, env)
	if err != nil {
		t.Fatal(err)
	}
	src.client.FirstWait, src.client.MaxWait = time.Millisecond, 50*time.Millisecond
	return src
}

func contract(s surface) sourcetest.Contract {
	return sourcetest.Contract{
		Server: func(w *conversation.World) http.Handler {
			return &metatest.Server{World: w, Platform: s.platform, Proof: true}
		},
		Source: func(t *testing.T, base string, clock *sourcetest.Clock, known sourcetest.Known) source.Source {
			env := environment(t, s.platform, base, clock.Now)
			env.Known = known
			return quick(t, s, env)
		},
		MessageID: func(_, id string) string { return id },
		Limited:   func(w http.ResponseWriter, _ time.Time) { metatest.Limited(w, 10) },
		Threads:   110,
		Secrets:   []string{metatest.Token, metatest.AppSecret, proof(metatest.Token, metatest.AppSecret)},
		Skip:      map[string]string{"edited item": "the Graph API tells of no edit in a look-up; webhooks do, on Facebook"},
	}
}

// F14 and F15, row by row.
func TestContractOfFacebook(t *testing.T) { contract(facebook()).Run(t) }

// F14 and F15, row by row.
func TestContractOfThreads(t *testing.T) { contract(threads()).Run(t) }

// F14 and F15, row by row.
func TestContractOfInstagram(t *testing.T) { contract(instagram()).Run(t) }

// bench is a source before a server over a world.
type bench struct {
	*testing.T
	world   *conversation.World
	server  *metatest.Server
	clock   *sourcetest.Clock
	source  *Source
	cursor  json.RawMessage
	items   []source.Item
	visible []source.Visibility
	dropped int64
	spans   []string
	seen    map[string]source.Known
}

func newBench(t *testing.T, s surface) *bench {
	t.Helper()
	b := &bench{T: t, world: conversation.NewWorld(), clock: sourcetest.NewClock(conversation.Start.Add(time.Hour)), seen: map[string]source.Known{}}
	b.server = &metatest.Server{World: b.world, Platform: s.platform}
	server := httptest.NewServer(b.server)
	t.Cleanup(server.Close)
	b.source = quick(t, s, environment(t, s.platform, server.URL, b.clock.Now))
	b.source.env.Known = func(id string) (source.Known, bool) { k, ok := b.seen[id]; return k, ok }
	t.Cleanup(b.source.Close)
	return b
}

func (b *bench) emit(_ context.Context, p source.Page) error {
	b.items = append(b.items, p.Items...)
	b.visible = append(b.visible, p.Visible...)
	for _, i := range p.Items {
		if i.Message != nil {
			b.seen[i.Message.MessageID] = source.Known{Message: *i.Message}
		}
	}
	for _, n := range p.Dropped {
		b.dropped += n
	}
	if p.Cursor != nil {
		b.cursor = p.Cursor
	}
	if !p.CompleteUntil.IsZero() {
		b.spans = append(b.spans, p.CompleteSince.Format("02 15:04")+" to "+p.CompleteUntil.Format("02 15:04"))
	}
	return nil
}

func (b *bench) poll() error {
	b.Helper()
	b.clock.Add(time.Minute)
	b.items, b.visible, b.spans, b.dropped = nil, nil, nil, 0
	return b.source.Poll(b.Context(), b.cursor, b.emit)
}

func (b *bench) ids() (ids []string) {
	for _, i := range b.items {
		if i.Message == nil {
			ids = append(ids, "dead")
			continue
		}
		ids = append(ids, i.Message.MessageID)
	}
	slices.Sort(ids)
	return ids
}

// The same conversation through each of the three arrives as the same messages, as far as the platform tells.
func TestPollReadsTheConversation(t *testing.T) {
	for _, s := range surfaces() {
		t.Run(s.platform, func(t *testing.T) {
			b := newBench(t, s)
			post := b.world.Write("layanan_kota", "", "Jadwal baru")
			ask := b.world.Write("warga1", post, "kapan buka?")
			answer := b.world.Write("layanan_kota", ask, "besok")
			mention := b.world.Write("warga2", "", "halo kota")
			hidden := b.world.Write("warga3", post, "disembunyikan")
			b.server.Hidden = map[string]bool{hidden: true}
			if err := b.poll(); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{
				post: "post 100   ", ask: "comment 901 1001 100 1001", answer: "reply 100 1002 901 1001", mention: "mention 902   ",
			}
			switch s.platform {
			case "instagram":
				want[mention] = "mention warga2   "
			case "threads":
				want[ask], want[mention] = "reply warga1 1001 100 1001", "mention warga2   "
				want[answer] = "reply 100 1002 warga1 1001"
				want[hidden] = "reply warga3 1001 100 1001" // by hide_status, which this world does not speak
			}
			got := map[string]string{}
			for _, i := range b.items {
				m := i.Message
				got[m.MessageID] = strings.Join([]string{m.Kind, m.AuthorID, m.ParentID, m.ParentAuthorID, m.RootID}, " ")
				if m.Institution != "kota" || m.Account != "100" || m.Text == "" {
					t.Errorf("%+v", m)
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff([]string{"22 09:01 to 01 09:01"}, b.spans); d != "" {
				t.Error(d)
			}
			if err := b.poll(); err != nil || len(b.items) > 0 {
				t.Errorf("a second poll: %v, %v", b.ids(), err)
			}
			// A comment below a post that is known.
			late := b.world.Write("warga4", ask, "terlambat")
			b.clock.Add(2 * time.Hour)
			if err := b.poll(); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]string{late}, b.ids()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestWhatIsNotToBeReadIsAskedForOnce(t *testing.T) {
	b := newBench(t, threads())
	b.world.Converse(4)
	for range 3 {
		if err := b.poll(); err != nil {
			t.Fatal(err)
		}
	}
	if b.server.Calls["conversation"] != 0 {
		t.Errorf("%d conversations of others were read", b.server.Calls["conversation"])
	}
	if got := strings.Count(string(b.cursor), `"refused":true`); got != 2 {
		t.Errorf("%d are known as refused: %s", got, b.cursor)
	}
}

func TestTheUsageClosesTheBudget(t *testing.T) {
	now := conversation.Start
	limits := limits(5 * time.Minute)
	f := func(name, value string, known bool, left int64, wait time.Duration) {
		t.Helper()
		l, ok := limits(http.Header{name: {value}}, now)
		got := time.Duration(0)
		if !l.Reset.IsZero() {
			got = l.Reset.Sub(now)
		}
		if ok != known || l.Remaining != left || got != wait {
			t.Errorf("%s: %+v, %v", value, l, ok)
		}
	}
	f("X-App-Usage", `{"call_count":28,"total_time":25,"total_cputime":3}`, true, 72, 0)
	f("X-App-Usage", `{"call_count":28,"total_time":97,"total_cputime":3}`, true, 0, 5*time.Minute)
	f("X-Business-Use-Case-Usage", `{"100":[{"type":"pages","call_count":30}],"200":[{"type":"instagram","total_cputime":60,"estimated_time_to_regain_access":0}]}`, true, 40, 0)
	f("X-Business-Use-Case-Usage", `{"100":[{"call_count":100,"estimated_time_to_regain_access":19}]}`, true, 0, 19*time.Minute)
	f("X-Business-Use-Case-Usage", `{"100":[{"call_count":100,"estimated_time_to_regain_access":1e300}]}`, true, 0, 24*time.Hour)
	f("X-Business-Use-Case-Usage", `[]`, false, 0, 0)
	f("X-App-Usage", `{`, false, 0, 0)
}

func TestHandshakeAndSignature(t *testing.T) {
	b := newBench(t, facebook())
	ask := func(mode, token string) (string, error) {
		return b.source.Handshake(url.Values{"hub.mode": {mode}, "hub.verify_token": {token}, "hub.challenge": {"1158201444"}})
	}
	if answer, err := ask("subscribe", metatest.Verify); err != nil || answer != "1158201444" {
		t.Errorf("%q, %v", answer, err)
	}
	for _, wrong := range [][2]string{{"subscribe", "guess"}, {"subscribe", ""}, {"unsubscribe", metatest.Verify}} {
		if answer, err := ask(wrong[0], wrong[1]); err == nil {
			t.Errorf("%v was answered with %q", wrong, answer)
		}
	}
	body := []byte(`{"object":"page"}`)
	verify := func(sign string, body []byte) error {
		return b.source.Verify(http.Header{http.CanonicalHeaderKey(signature): {sign}}, body)
	}
	if err := verify(metatest.Sign(body), body); err != nil {
		t.Error(err)
	}
	for _, sign := range []string{"", "sha256=", "sha256=zz", strings.TrimPrefix(metatest.Sign(body), "sha256="), metatest.Sign([]byte("x")), "sha1=00"} {
		if err := verify(sign, body); err == nil {
			t.Errorf("the signature %q was taken", sign)
		}
	}
	if err := verify(metatest.Sign(body), append(body, ' ')); err == nil {
		t.Error("another body was taken")
	}
	b.source.settings.AppSecret, b.source.settings.VerifyToken = config.Secret{}, config.Secret{}
	if err := verify(metatest.Sign(body), body); err == nil {
		t.Error("taken without a secret")
	}
	if _, err := ask("subscribe", ""); err == nil {
		t.Error("answered without a token")
	}
}

func (b *bench) receive(body string) {
	b.Helper()
	b.items, b.visible = nil, nil
	if err := b.source.Receive(b.Context(), []byte(body), b.emit); err != nil {
		b.Fatal(err)
	}
}

func TestDeliveriesOfAPage(t *testing.T) {
	b := newBench(t, facebook())
	change := func(value string) string {
		return `{"object":"page","entry":[{"id":"100","time":1772355600,"changes":[{"field":"feed","value":` + value + `}]},{"id":"555","time":1772355600,"changes":[{"field":"feed","value":{"item":"comment","verb":"add","comment_id":"9","post_id":"555_1","created_time":1772355600,"from":{"id":"9"},"message":"lain"}}]}]}`
	}
	comment := func(verb, text string) string {
		return change(`{"item":"comment","verb":"` + verb + `","comment_id":"100_1_7","post_id":"100_1","parent_id":"100_1","created_time":1772352000,"from":{"id":"901","name":"Nama Orang"},"message":"` + text + `"}`)
	}
	b.receive(comment("add", "jalan rusak"))
	at := time.Unix(1772352000, 0).UTC()
	if len(b.items) != 1 {
		t.Fatalf("items %v", b.ids())
	}
	m := b.items[0].Message
	if m.Kind != "comment" || m.ParentID != "100_1" || m.RootID != "100_1" || m.ParentAuthorID != "100" || m.AuthorID != "901" || !m.CreatedAt.Equal(at) || m.Text != "jalan rusak" {
		t.Errorf("%+v", m)
	}
	b.receive(comment("edited", "jalan sangat rusak"))
	if m := b.items[0].Message; m.EditedAt == nil || m.EditedAt.Unix() != 1772355600 || m.Text != "jalan sangat rusak" {
		t.Errorf("%+v", m)
	}
	b.receive(change(`{"item":"comment","verb":"hide","comment_id":"100_1_7","post_id":"100_1"}`))
	if len(b.items) != 0 || len(b.visible) != 1 || b.visible[0].State != schemas.VisibilityHidden || b.visible[0].MessageID != "100_1_7" {
		t.Errorf("%v %+v", b.ids(), b.visible)
	}
	b.receive(change(`{"item":"comment","verb":"unhide","comment_id":"100_1_7","post_id":"100_1"}`))
	if len(b.visible) != 1 || b.visible[0].State != schemas.VisibilityShown {
		t.Errorf("%+v", b.visible)
	}
	// A removal says neither who wrote nor when.
	b.receive(change(`{"item":"comment","verb":"remove","comment_id":"100_1_7","post_id":"100_1","parent_id":"100_1"}`))
	if m := b.items[0].Message; m.DeletedAt == nil || !m.CreatedAt.Equal(at) || m.AuthorID != "901" || m.Text != "" {
		t.Errorf("%+v", m)
	}
	b.receive(change(`{"item":"reaction","verb":"add","post_id":"100_1"}`))
	b.receive(`{"object":"instagram","entry":[{"id":"100","changes":[{"field":"comments","value":{"id":"1"}}]}]}`)
	if len(b.items) != 0 {
		t.Errorf("items %v", b.ids())
	}
	b.receive(`{"object":"page","entry":[{"id":"100","time":1,"changes":[{"field":"feed","value":7}]}]}`)
	b.receive("bukan JSON")
	if d := cmp.Diff([]string{"dead"}, b.ids()); d != "" {
		t.Error(d)
	}
}

// Deliveries come twice, and not always in order: what is known already is not put in an older state.
func TestDeliveriesOutOfOrder(t *testing.T) {
	b := newBench(t, facebook())
	send := func(verb, text string, at int) {
		b.receive(fmt.Sprintf(`{"object":"page","entry":[{"id":"100","time":%d,"changes":[{"field":"feed","value":{"item":"comment","verb":%q,"comment_id":"100_1_7","post_id":"100_1","parent_id":"100_1","created_time":1772352000,"from":{"id":"901"},"message":%q}}]}]}`, at, verb, text))
	}
	f := func(verb, text string, at, want int) {
		t.Helper()
		if send(verb, text, at); len(b.items) != want {
			t.Errorf("%s %q brought %v, want %d", verb, text, b.ids(), want)
		}
	}
	f("edited", "jalan sangat rusak", 1772355600, 1)
	f("add", "jalan rusak", 1772352000, 0)
	f("edited", "jalan agak rusak", 1772355000, 0)
	f("edited", "jalan sangat rusak", 1772355600, 0)
	f("edited", "jalan rusak parah", 1772355700, 1)
	f("remove", "", 1772355800, 1)

	th := newBench(t, threads())
	reply := func(text string) {
		th.receive(`{"target_id":"100","time":1772355600,"values":{"field":"replies","value":{"id":"7","username":"warga1","text":"` + text + `","timestamp":"2026-03-01T08:00:00+0000","root_post":{"id":"5"},"replied_to":{"id":"6"}}}}`)
	}
	reply("kapan?")
	if reply("kapan?"); len(th.items) > 0 {
		t.Errorf("a reply that is known came again: %v", th.ids())
	}
}

func TestDeliveriesOfInstagram(t *testing.T) {
	b := newBench(t, instagram())
	post := b.world.Write("layanan_kota", "", "Jadwal")
	ask := b.world.Write("warga1", post, "kapan?")
	mention := b.world.Write("warga2", "", "lihat ini")
	below := b.world.Write("warga3", mention, "kota tolong")
	send := func(field, value string) {
		b.receive(`{"object":"instagram","entry":[{"id":"100","time":1772355600,"changes":[{"field":"` + field + `","value":` + value + `}]}]}`)
	}
	send("comments", `{"id":"`+ask+`","text":"lain","media":{"id":"`+post+`"},"from":{"id":"901"}}`)
	if m := b.items[0].Message; m.Text != "kapan?" || m.Kind != "comment" || m.ParentID != post || m.ParentAuthorID != "100" || !m.CreatedAt.Equal(conversation.Start.Add(2*time.Second)) {
		t.Errorf("%+v", m)
	}
	send("mentions", `{"media_id":"`+mention+`"}`)
	if m := b.items[0].Message; m.Kind != "mention" || m.AuthorID != "warga2" || len(m.Mentions) != 1 {
		t.Errorf("%+v", m)
	}
	send("mentions", `{"media_id":"`+mention+`","comment_id":"`+below+`"}`)
	if m := b.items[0].Message; m.Kind != "comment" || m.ParentID != mention || m.ParentAuthorID != "warga2" || len(m.Mentions) != 1 {
		t.Errorf("%+v", m)
	}
	b.world.Delete(ask)
	send("comments", `{"id":"`+ask+`","media":{"id":"`+post+`"}}`)
	if len(b.items) != 0 {
		t.Errorf("what is gone came as %v", b.ids())
	}
}

func TestDeliveriesOfThreads(t *testing.T) {
	b := newBench(t, threads())
	send := func(field, value string) {
		b.receive(`{"app_id":"1","topic":"moderate","target_id":"100","time":1772355600,"subscription_id":"2","has_uid_field":false,"values":{"field":"` + field + `","value":` + value + `}}`)
	}
	send("replies", `{"id":"7","username":"warga1","text":"kapan?","timestamp":"2026-03-01T08:00:00+0000","permalink":"https://threads.example/7","root_post":{"id":"5"},"replied_to":{"id":"6"}}`)
	if m := b.items[0].Message; m.Kind != "reply" || m.ParentID != "6" || m.RootID != "5" || m.AuthorID != "warga1" || !m.CreatedAt.Equal(conversation.Start) {
		t.Errorf("%+v", m)
	}
	send("mentions", `{"id":"8","username":"warga1","text":"@layanan_kota halo","timestamp":"2026-03-01T08:00:00+0000"}`)
	if m := b.items[0].Message; m.Kind != "mention" || len(m.Mentions) != 1 {
		t.Errorf("%+v", m)
	}
	send("replies", `{"id":"9"}`)
	if d := cmp.Diff([]string{"dead"}, b.ids()); d != "" {
		t.Error(d)
	}
}

func TestBackfillReadsARange(t *testing.T) {
	for _, s := range surfaces() {
		b := newBench(t, s)
		old := b.world.Write("layanan_kota", "", "lama")
		for range 9 {
			b.world.Write("layanan_kota", "", "isi")
		}
		below := b.world.Write("warga1", old, "di bawah yang lama") // 1011
		since, until := conversation.Start.Add(8*time.Second), conversation.Start.Add(12*time.Second)
		if err := b.source.Backfill(t.Context(), since, until, b.emit); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"1008", "1009", "1010", below}, b.ids()); d != "" {
			t.Errorf("%s: %s", s.platform, d)
		}
		if b.cursor != nil || len(b.spans) != 1 {
			t.Errorf("%s: cursor %s, complete %v", s.platform, b.cursor, b.spans)
		}
	}
}

func TestATokenOfAnotherAccount(t *testing.T) {
	for _, s := range surfaces() {
		b := newBench(t, s)
		b.world.Official = "kota_lain"
		b.source.env.Account.Account = institutions.Account{Handle: "layanan_kota"}
		if err := b.source.Check(t.Context()); source.GapReason(err) != schemas.GapAuth || !strings.Contains(err.Error(), "another account than layanan_kota") {
			t.Errorf("%s: %v", s.platform, err)
		}
	}
}

func TestSettings(t *testing.T) {
	var got []string
	config.Group{"verify_token": "env:PATH", "follow": "1m"}.Decode(DefaultSettings(), func(key string, value any, allowed string) {
		got = append(got, fmt.Sprintf("%s: %v; %s", key, value, allowed))
	})
	if len(got) != 2 || !strings.Contains(got[0]+got[1], "verify_token: alone; together with app_secret") || !strings.Contains(got[0]+got[1], `follow: "1m0s"; 1h or more`) {
		t.Errorf("%q", got)
	}
}

// FuzzReceive reads foreign bytes as deliveries and as nodes: valid messages or dead letters, and no panic.
func FuzzReceive(f *testing.F) {
	f.Add([]byte(`{"object":"page","entry":[{"id":"100","time":1772355600,"changes":[{"field":"feed","value":{"item":"comment","verb":"remove","comment_id":"100_1_7","post_id":"100_1","parent_id":"100_1_6","created_time":1772352000,"from":{"id":"901"},"message":"a"}}]}]}`), byte(0))
	f.Add([]byte(`{"target_id":"100","time":1,"values":{"field":"replies","value":{"id":"7","username":"u","text":"a","timestamp":"2026-03-01T08:00:00+0000","root_post":{"id":"5"},"replied_to":{"id":"6"}}}}`), byte(2))
	f.Add([]byte(`{"id":"7","text":"a","timestamp":"2026-03-01T08:00:00+0000","replies":{"data":[{"id":"8"}]},"parent_id":"6"}`), byte(1))
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	var sources []*Source
	for _, s := range surfaces() {
		src := quick(f, s, environment(f, s.platform, "http://127.0.0.1:1", func() time.Time { return now }))
		src.me, src.meRead = &accountNode{ID: "100", Username: "layanan_kota"}, now
		sources = append(sources, src)
	}
	f.Fuzz(func(t *testing.T, body []byte, which byte) {
		s := sources[int(which)%len(sources)]
		check := func(_ context.Context, p source.Page) error {
			for _, i := range p.Items {
				if (i.Message == nil) == (i.Err == nil) {
					t.Fatalf("an item that is both or neither: %+v", i)
				}
			}
			return nil
		}
		if s.platform != schemas.PlatformInstagram { // that one calls
			if err := s.Receive(t.Context(), body, check); err != nil {
				t.Fatal(err)
			}
		}
		p := &poll{Source: s, me: s.me, now: now, authors: map[string]string{}, cursor: cursor{Followed: map[string]*followed{}}}
		raws := []json.RawMessage{body}
		var outer node
		if json.Unmarshal(body, &outer) == nil {
			raws = append(raws, outer.Replies.Data...)
		}
		for _, raw := range raws {
			var n node
			if json.Unmarshal(raw, &n) == nil {
				for _, as := range []role{rolePost, roleMention, roleBelow} {
					if err := check(t.Context(), source.Page{Items: []source.Item{p.item(&n, raw, as, "5")}}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	})
}
