package telegram

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
	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/source/sourcetest"
	"github.com/dwiarah/dwiarah/ingest/internal/telegram/telegramtest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func environment(t testing.TB, base string, now func() time.Time) source.Environment {
	t.Helper()
	d, err := institutions.Parse("institutions.yaml", []byte(`
institutions:
  - {id: kota, name: Kota, zone: Asia/Jakarta, accounts: {telegram: [{handle: layanan_kota}]}, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}}
`))
	if err != nil {
		t.Fatal(err)
	}
	institution, official := d.Owner("telegram", "layanan_kota")
	return source.Environment{
		Config:  source.Config{Platform: "telegram", Account: "layanan_kota", BaseURL: base, Token: config.NewSecret(telegramtest.Token), AllowPrivate: true}.WithDefaults(),
		Account: source.Account{Institution: institution, Account: official}, Directory: d, Log: slog.New(slog.DiscardHandler), Now: now,
	}
}

func quick(t testing.TB, base string, now func() time.Time) *Source {
	t.Helper()
	s, err := newSource(environment(t, base, now))
	if err != nil {
		t.Fatal(err)
	}
	s.client.FirstWait, s.client.MaxWait = time.Millisecond, 50*time.Millisecond
	return s
}

// F14 and F15, row by row.
func TestContract(t *testing.T) {
	const noReread = "a bot cannot read a message again"
	sourcetest.Contract{
		Server: func(w *conversation.World) http.Handler { return &telegramtest.Server{World: w} },
		Source: func(t *testing.T, base string, clock *sourcetest.Clock, _ sourcetest.Known) source.Source {
			return quick(t, base, clock.Now)
		},
		MessageID: func(_, id string) string { return telegramtest.ID(id) },
		Limited:   func(w http.ResponseWriter, _ time.Time) { telegramtest.Problem(w, http.StatusTooManyRequests, 600) },
		Threads:   150,
		Secrets:   []string{telegramtest.Token},
		Skip:      map[string]string{"duplicates across pages": "the offset confirms what was read", "deleted id": noReread, "edited item": noReread, "protected account": noReread},
	}.Run(t)
}

// bench is a source before a server over a world.
type bench struct {
	*testing.T
	server  *telegramtest.Server
	clock   *sourcetest.Clock
	source  *Source
	cursor  json.RawMessage
	items   []source.Item
	dropped map[schemas.DropReason]int64
	spans   []string
	sizes   int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, server: &telegramtest.Server{World: conversation.NewWorld()}, clock: sourcetest.NewClock(conversation.Start.Add(time.Hour))}
	server := httptest.NewServer(b.server)
	t.Cleanup(server.Close)
	b.source = quick(t, server.URL, b.clock.Now)
	t.Cleanup(b.source.Close)
	return b
}

func (b *bench) poll() error {
	b.Helper()
	b.clock.Add(time.Minute)
	b.items, b.spans, b.dropped, b.sizes = nil, nil, map[schemas.DropReason]int64{}, 0
	return b.source.Poll(b.Context(), b.cursor, func(_ context.Context, p source.Page) error {
		b.items = append(b.items, p.Items...)
		for reason, n := range p.Dropped {
			b.dropped[reason] += n
		}
		if p.Cursor != nil {
			b.cursor = p.Cursor
		}
		if p.Size != nil {
			b.sizes++
		}
		if !p.CompleteUntil.IsZero() {
			b.spans = append(b.spans, p.CompleteSince.Format("02 15:04")+" to "+p.CompleteUntil.Format("02 15:04"))
		}
		return nil
	})
}

func TestPollReadsTheDiscussionOfAPost(t *testing.T) {
	b := newBench(t)
	chat := func(id int, more string) string {
		return fmt.Sprintf(`"chat":{"id":%d,"type":"supergroup"},%s`, id, more)
	}
	b.server.Extra = []string{
		`"channel_post":{"message_id":5,"date":1772352000,"chat":{"id":-1001,"type":"channel","username":"layanan_kota"},"sender_chat":{"id":-1001},"text":"Jadwal baru"}`,
		`"message":{"message_id":50,"date":1772352001,"is_automatic_forward":true,"forward_origin":{"type":"channel","message_id":5},"sender_chat":{"id":-1001},` + chat(-1002, `"text":"Jadwal baru"}`),
		`"message":{"message_id":51,"date":1772352010,"message_thread_id":50,"from":{"id":901,"username":"warga1"},"reply_to_message":{"message_id":50,"is_automatic_forward":true,"sender_chat":{"id":-1001},"chat":{"id":-1002}},` + chat(-1002, `"text":"😀 @layanan_kota buka?","entities":[{"type":"mention","offset":3,"length":13}]}`),
		`"message":{"message_id":52,"date":1772352020,"message_thread_id":50,"from":{"id":1087968824,"is_bot":true,"username":"GroupAnonymousBot"},"sender_chat":{"id":-1002},"reply_to_message":{"message_id":51,"message_thread_id":50,"from":{"id":901},"chat":{"id":-1002}},` + chat(-1002, `"text":"besok"}`),
		`"edited_message":{"message_id":51,"date":1772352010,"edit_date":1772352100,"message_thread_id":50,"from":{"id":901,"username":"warga1"},"reply_to_message":{"message_id":50,"is_automatic_forward":true,"sender_chat":{"id":-1001},"chat":{"id":-1002}},` + chat(-1002, `"text":"buka jam berapa?"}`),
		`"message":{"message_id":53,"date":1772352030,"from":{"id":902},` + chat(-1002, `"new_chat_members":[{"id":902}]}`),
		`"message":{"message_id":54,"date":1772352030,"from":{"id":77,"is_bot":true},` + chat(-1002, `"sticker":{"file_id":"x"}}`),
		`"message":{"message_id":1,"date":1772352030,"from":{"id":902},"chat":{"id":902,"type":"private"},"text":"rahasia"}`,
		`"message":{"message_id":1,"date":1772352030,"from":{"id":902},` + chat(-1009, `"text":"grup lain"}`),
		`"message":{"message_id":"rusak"}`,
		`"poll_answer":{}`,
	}
	if err := b.poll(); err != nil {
		t.Fatal(err)
	}
	now := b.clock.Now()
	at := func(s int64) time.Time { return time.Unix(1772352000+s, 0).UTC() }
	edited := at(100)
	base := schemas.Message{Platform: "telegram", Institution: "kota", Account: "layanan_kota", ObservedAt: &now}
	with := func(change func(*schemas.Message)) *schemas.Message {
		m := base
		change(&m)
		return &m
	}
	want := []*schemas.Message{
		with(func(m *schemas.Message) {
			m.MessageID, m.Kind, m.AuthorID, m.CreatedAt, m.Text, m.URL = "-1001/5", "post", "layanan_kota", at(0), "Jadwal baru", "https://t.me/layanan_kota/5"
		}),
		with(func(m *schemas.Message) {
			m.MessageID, m.Kind, m.AuthorID, m.CreatedAt, m.Text = "-1002/51", "comment", "901", at(10), "😀 @layanan_kota buka?"
			m.ParentID, m.ParentAuthorID, m.RootID, m.Mentions = "-1001/5", "layanan_kota", "-1001/5", []string{"layanan_kota"}
		}),
		with(func(m *schemas.Message) {
			m.MessageID, m.Kind, m.AuthorID, m.CreatedAt, m.Text = "-1002/52", "reply", "layanan_kota", at(20), "besok"
			m.ParentID, m.ParentAuthorID, m.RootID = "-1002/51", "901", "-1001/5"
		}),
		with(func(m *schemas.Message) {
			m.MessageID, m.Kind, m.AuthorID, m.CreatedAt, m.EditedAt, m.Text = "-1002/51", "comment", "901", at(10), &edited, "buka jam berapa?"
			m.ParentID, m.ParentAuthorID, m.RootID = "-1001/5", "layanan_kota", "-1001/5"
		}),
		with(func(m *schemas.Message) {
			m.MessageID, m.Kind, m.AuthorID, m.CreatedAt, m.Text, m.IsAuto = "-1002/54", "mention", "77", at(30), "[media]", true
		}),
		nil,
	}
	var got []*schemas.Message
	for _, i := range b.items {
		got = append(got, i.Message)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[schemas.DropReason]int64{schemas.DropNotPublic: 1, schemas.DropNoInstitution: 1}, b.dropped); d != "" {
		t.Error(d)
	}
	if b.sizes != 1 || strings.Contains(string(b.cursor), "buka") {
		t.Errorf("%d sizes, cursor %s", b.sizes, b.cursor)
	}
	if err := b.poll(); err != nil || len(b.items) > 0 || b.sizes != 0 {
		t.Errorf("a second poll: %v, %d items", err, len(b.items))
	}
}

// Updates are kept for a day: after a longer silence of ours there is a gap, and no claim.
func TestADayWithoutAPollIsAGap(t *testing.T) {
	b := newBench(t)
	if err := b.poll(); err != nil || len(b.spans) != 1 {
		t.Fatal(err, b.spans)
	}
	b.clock.Add(25 * time.Hour)
	if err := b.poll(); source.GapReason(err) != schemas.GapClamp || len(b.spans) != 0 {
		t.Errorf("error %v, complete %v", err, b.spans)
	}
	if err := b.poll(); err != nil || b.spans[0] != "02 10:02 to 02 10:03" {
		t.Errorf("error %v, complete %v", err, b.spans)
	}
	if err := b.source.Backfill(t.Context(), conversation.Start, b.clock.Now(), nil); source.GapReason(err) != schemas.GapClamp {
		t.Errorf("backfill: %v", err)
	}
}

// After a week without an update the numbers begin anew, perhaps below the old ones.
func TestNumbersThatBeginAnew(t *testing.T) {
	b := newBench(t)
	b.cursor = []byte(`{"offset":900000,"last":"2026-02-20T00:00:00Z","complete":"2026-03-01T08:59:00Z"}`)
	b.server.World.Converse(1)
	if err := b.poll(); err != nil || len(b.items) != 2 {
		t.Errorf("%d items, %v", len(b.items), err)
	}
}

func TestProblems(t *testing.T) {
	f := func(code int, gap, says string) {
		t.Helper()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { telegramtest.Problem(w, code, 0) }))
		defer server.Close()
		s := quick(t, server.URL, time.Now)
		defer s.Close()
		if err := s.Check(t.Context()); source.GapReason(err) != gap || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), telegramtest.Token) {
			t.Errorf("%d: %v", code, err)
		}
	}
	f(http.StatusNotFound, schemas.GapAuth, "calling getChat: auth")
	f(http.StatusConflict, schemas.GapOutage, "another program takes the bot's updates")
	f(http.StatusBadRequest, schemas.GapOutage, "calling getChat: refused")
	// Nobody listens there: the error of the network holds the address.
	s := quick(t, "http://127.0.0.1:1", time.Now)
	defer s.Close()
	if err := s.Check(t.Context()); err == nil || strings.Contains(err.Error(), "token-of-the-test") {
		t.Errorf("error %v", err)
	}
}

// FuzzUpdates reads foreign bytes as updates: valid messages or dead letters, and no panic.
func FuzzUpdates(f *testing.F) {
	f.Add([]byte(`{"update_id":7,"message":{"message_id":51,"date":1772352010,"message_thread_id":50,"from":{"id":901,"username":"w"},"chat":{"id":-1002,"type":"supergroup"},"text":"a @b","entities":[{"type":"mention","offset":2,"length":2}],"reply_to_message":{"message_id":50,"is_automatic_forward":true,"forward_from_message_id":5,"chat":{"id":-1002}}}}`))
	f.Add([]byte(`{"update_id":9223372036854775807,"edited_channel_post":{"chat":{"id":-1001},"photo":[{}]}}`))
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	s := quick(f, "http://127.0.0.1:1", func() time.Time { return now })
	f.Fuzz(func(t *testing.T, b []byte) {
		r := reader{Source: s, channel: &chat{ID: -1001, Linked: -1002, Username: "k"}, cursor: &cursor{Threads: map[int64]int64{}}, now: now}
		for _, i := range r.read([]json.RawMessage{b}).Items {
			if (i.Message == nil) == (i.Err == nil) {
				t.Fatalf("an item that is both or neither: %+v", i)
			}
			if i.Message != nil {
				if err := i.Message.Validate(now); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
