package bluesky

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dwiarah/dwiarah/ingest/internal/bluesky/blueskytest"
	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/source/sourcetest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func environment(t testing.TB, base, handle, password string, now func() time.Time) source.Environment {
	t.Helper()
	directory, err := institutions.Parse("institutions.yaml", fmt.Appendf(nil, `
institutions:
  - {id: kota, name: Kota, zone: Asia/Jakarta, accounts: {bluesky: [{handle: %s}]}, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}}
`, handle))
	if err != nil {
		t.Fatal(err)
	}
	institution, official := directory.Owner("bluesky", handle)
	return source.Environment{
		Config:  source.Config{Platform: "bluesky", Account: handle, BaseURL: base, Token: config.NewSecret(password), AllowPrivate: true}.WithDefaults(),
		Account: source.Account{Institution: institution, Account: official}, Directory: directory, Log: slog.New(slog.DiscardHandler), Now: now,
		Known: func(string) (source.Known, bool) { return source.Known{}, false },
	}
}

func quick(t testing.TB, env source.Environment) *Source {
	t.Helper()
	s, err := newSource(env)
	if err != nil {
		t.Fatal(err)
	}
	s.api.Client.FirstWait, s.api.Client.MaxWait = time.Millisecond, 50*time.Millisecond
	return s
}

// F14 and F15, row by row.
func TestContract(t *testing.T) {
	var mu sync.Mutex
	servers := map[string]*blueskytest.Server{}
	sourcetest.Contract{
		Server: func(w *conversation.World) http.Handler {
			s := blueskytest.New(w)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				servers["http://"+r.Host] = s
				mu.Unlock()
				s.ServeHTTP(w, r)
			})
		},
		Source: func(t *testing.T, base string, clock *sourcetest.Clock, known sourcetest.Known) source.Source {
			env := environment(t, base, blueskytest.Handle, blueskytest.Password, clock.Now)
			env.Known = known
			return quick(t, env)
		},
		MessageID: func(base, id string) string {
			mu.Lock()
			defer mu.Unlock()
			return servers[base].URI(id)
		},
		Limited: blueskytest.Limited,
		Threads: 250,
		Secrets: []string{blueskytest.Password, "access-", "refresh-"},
		Hides:   true,
		Skip:    map[string]string{"edited item": "nothing in the interface tells of a changed post; Jetstream does"},
	}.Run(t)
}

// TestSession: one session for many polls, refreshed when it expires, opened anew when that is refused.
func TestSession(t *testing.T) {
	world := conversation.NewWorld()
	world.Converse(3)
	server := blueskytest.New(world)
	front := httptest.NewServer(server)
	defer front.Close()
	s := quick(t, environment(t, front.URL, blueskytest.Handle, blueskytest.Password, time.Now))
	defer s.Close()
	poll := func() {
		t.Helper()
		if err := s.Poll(t.Context(), nil, func(context.Context, source.Page) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		poll()
	}
	opened := func() string {
		return fmt.Sprint(server.Calls("com.atproto.server.createSession"), server.Calls("com.atproto.server.refreshSession"))
	}
	if got := opened(); got != "1 0" {
		t.Errorf("opened and refreshed %s", got)
	}
	server.Expire()
	poll()
	if got := opened(); got != "1 1" {
		t.Errorf("after the end of the access token: %s", got)
	}
	s.api.mu.Lock()
	s.api.refresh = "refresh-0"
	s.api.mu.Unlock()
	server.Expire()
	poll()
	if got := opened(); got != "2 2" {
		t.Errorf("after the end of both: %s", got)
	}

	wrong := quick(t, environment(t, front.URL, blueskytest.Handle, "salah-sekali", time.Now))
	defer wrong.Close()
	if err := wrong.Check(t.Context()); err == nil || source.GapReason(err) != schemas.GapAuth || strings.Contains(err.Error(), "salah-sekali") {
		t.Errorf("a wrong password: %v", err)
	}
}

// TestACappedWalkGoesOn: a history that is longer than a poll's pages comes in several polls, whole.
func TestACappedWalkGoesOn(t *testing.T) {
	world := conversation.NewWorld()
	world.Converse(700)
	front := httptest.NewServer(blueskytest.New(world))
	defer front.Close()
	clock := conversation.Start.Add(24 * time.Hour)
	env := environment(t, front.URL, blueskytest.Handle, blueskytest.Password, func() time.Time { return clock })
	env.Config.PageCap = 3
	seen := map[string]int{}
	env.Known = func(id string) (source.Known, bool) { return source.Known{}, seen[id] > 0 }
	s := quick(t, env)
	defer s.Close()
	var at json.RawMessage
	polls := 0
	for ; polls < 10; polls++ {
		err := s.Poll(t.Context(), at, func(_ context.Context, p source.Page) error {
			for _, i := range p.Items {
				seen[i.Message.MessageID]++
			}
			if p.Cursor != nil {
				at = p.Cursor
			}
			return nil
		})
		if err == nil {
			break
		}
		if source.GapReason(err) != schemas.GapLimit {
			t.Fatal(err)
		}
	}
	if len(seen) != 1050 || polls < 2 || polls > 4 {
		t.Errorf("%d of 1050 messages after %d short polls", len(seen), polls)
	}
}

func TestPosts(t *testing.T) {
	at := conversation.Start
	author := func(did string) string { return strings.TrimPrefix(did, "did:plc:") }
	f := func(record string, want schemas.Message, root string) {
		t.Helper()
		p, err := ParsePost([]byte(record))
		if err != nil {
			t.Fatal(err)
		}
		m, r := p.Message(Seen{URI: URI("did:plc:a", "1"), Indexed: at, Now: at, Author: author})
		want.Platform, want.MessageID, want.AuthorID, want.ObservedAt = "bluesky", URI("did:plc:a", "1"), "a", &at
		if want.CreatedAt.IsZero() {
			want.CreatedAt = at
		}
		if d := cmp.Diff(&want, m); d != "" || r != root {
			t.Errorf("%s: root %q, %s", record, r, d)
		}
	}
	f(`{"text":"halo @kota.example"}`, schemas.Message{Kind: "mention", Text: "halo @kota.example"}, "") // a name in the text is no facet
	f(`{"text":"x","createdAt":"2026-03-01T07:00:00+00:00","langs":["id","en"]}`, schemas.Message{Kind: "mention", Text: "x", Lang: "id", CreatedAt: at.Add(-time.Hour)}, "")
	f(`{"text":"x","createdAt":"2031-03-01T07:00:00Z"}`, schemas.Message{Kind: "mention", Text: "x"}, "")
	f(`{"text":"x","createdAt":"1970-03-01T07:00:00Z"}`, schemas.Message{Kind: "mention", Text: "x"}, "")
	f(`{"text":"x","facets":[{"features":[{"$type":"app.bsky.richtext.facet#mention","did":"did:plc:kota"},{"$type":"app.bsky.richtext.facet#link","uri":"https://did:plc:z"}]}]}`,
		schemas.Message{Kind: "mention", Text: "x", Mentions: []string{"kota"}}, "")
	f(`{"text":"x","reply":{"root":{"uri":"at://did:plc:r/app.bsky.feed.post/1"},"parent":{"uri":"at://did:plc:p/app.bsky.feed.post/2"}}}`,
		schemas.Message{Kind: "reply", Text: "x", ParentID: "at://did:plc:p/app.bsky.feed.post/2", ParentAuthorID: "p", RootID: "at://did:plc:r/app.bsky.feed.post/1"}, "r")
	f(`{"text":"x","embed":{"$type":"app.bsky.embed.record","record":{"uri":"at://did:plc:kota/app.bsky.feed.post/1"}}}`, schemas.Message{Kind: "quote", Text: "x", Mentions: []string{"kota"}}, "")
	f(`{"text":"x","embed":{"$type":"app.bsky.embed.recordWithMedia","record":{"record":{"uri":"at://did:plc:kota/app.bsky.feed.post/1"}}}}`, schemas.Message{Kind: "quote", Text: "x", Mentions: []string{"kota"}}, "")
	f(`{"text":"x","embed":{"$type":"app.bsky.embed.record","record":{"uri":"at://did:plc:kota/app.bsky.feed.generator/1"}}}`, schemas.Message{Kind: "mention", Text: "x"}, "")
	f(`{"text":"","embed":{"$type":"app.bsky.embed.images","images":[{"alt":"jalan rusak"},{"alt":""}]}}`, schemas.Message{Kind: "mention", Text: "[media] jalan rusak"}, "")
}

// FuzzAnswers reads foreign bytes as every answer: valid messages or dead letters, and no panic.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"feed":[{"post":{"uri":"at://did:plc:a/app.bsky.feed.post/1","indexedAt":"2026-03-01T08:00:00Z","author":{"did":"did:plc:a"},"record":{"text":"x","createdAt":"2026-03-01T08:00:00Z"}}}]}`))
	f.Add([]byte(`{"notifications":[{"uri":"at://did:plc:a/app.bsky.feed.post/1","reason":"reply","record":{"reply":{"root":{"uri":"at:"},"parent":null}}}]}`))
	f.Add([]byte(`{"thread":{"post":{"uri":1},"replies":[{"replies":[{"post":null}]}]},"posts":[{"record":{"embed":{"$type":"app.bsky.embed.record","record":[]}}}]}`))
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	env := environment(f, "http://127.0.0.1:1", blueskytest.Handle, "x", func() time.Time { return now })
	s := quick(f, env)
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(v *rawView) {
			i := s.api.item(v, env.Account, now)
			if (i.Message == nil) == (i.Err == nil) {
				t.Fatalf("an item that is both or neither: %+v", i)
			}
			if i.Message != nil {
				if err := i.Message.Validate(now); err != nil {
					t.Fatal(err)
				}
			}
		}
		var page feedPage
		if json.Unmarshal(b, &page) == nil {
			for i := range page.Feed {
				check(&page.Feed[i].Post)
			}
		}
		var list notificationPage
		if json.Unmarshal(b, &list) == nil {
			for i := range list.Notifications {
				check(&list.Notifications[i])
			}
		}
		var posts postsAnswer
		if json.Unmarshal(b, &posts) == nil {
			for i := range posts.Posts {
				check(&posts.Posts[i])
			}
		}
		var thread struct {
			Thread threadNode `json:"thread"`
		}
		if json.Unmarshal(b, &thread) == nil {
			thread.Thread.below(0, check)
		}
		judge(400, nil, b)
	})
}
