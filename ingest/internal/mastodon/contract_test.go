package mastodon

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/mastodon/mastodontest"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/source/sourcetest"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// serve speaks Mastodon over a world.
func serve(world *conversation.World) http.Handler {
	server := mastodontest.NewUnstarted()
	account := func(author string) string {
		if author == world.Official {
			return mastodontest.Me
		}
		return "1" + strings.TrimPrefix(author, "warga")
	}
	for n := 1; n <= 9; n++ {
		server.Accounts[fmt.Sprint(10+n)] = fmt.Sprintf("warga%d", n)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		world.Lock()
		var all []mastodontest.Status
		for _, p := range world.Posts {
			if world.Gone[p.Author] {
				continue
			}
			st := mastodontest.Status{ID: p.ID, AuthorID: account(p.Author), ReplyTo: p.Parent, CreatedAt: p.Created, EditedAt: p.Edited, Content: "<p>" + p.Text + "</p>"}
			if world.Protected[p.Author] {
				st.Visibility = "private"
			}
			if p.Author != world.Official {
				st.Mentions = []string{mastodontest.Me}
			}
			all = append(all, st)
		}
		world.Unlock()
		server.URL = "http://" + r.Host
		server.Replace(all)
		server.Serve(w, r)
	})
}

func TestContract(t *testing.T) {
	directory, err := institutions.Parse("institutions.yaml", []byte(`
institutions:
  - {id: kota, name: Kota, zone: Asia/Jakarta, accounts: {mastodon: [{handle: layanan_kota}]}, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}}
`))
	if err != nil {
		t.Fatal(err)
	}
	sourcetest.Contract{
		Server: serve,
		Source: func(t *testing.T, base string, clock *sourcetest.Clock, known sourcetest.Known) source.Source {
			institution, official := directory.Owner("mastodon", "layanan_kota")
			s, err := newSource(source.Environment{
				Config:  source.Config{Platform: "mastodon", Account: "layanan_kota", BaseURL: base, Token: config.NewSecret(mastodontest.Token), AllowPrivate: true}.WithDefaults(),
				Account: source.Account{Institution: institution, Account: official}, Directory: directory, Log: slog.New(slog.DiscardHandler), Now: clock.Now, Known: known,
			})
			if err != nil {
				t.Fatal(err)
			}
			s.client.FirstWait, s.client.MaxWait = time.Millisecond, 50*time.Millisecond
			return s
		},
		MessageID: func(base, id string) string { return strings.TrimPrefix(base, "http://") + "/" + id },
		Limited: func(w http.ResponseWriter, reset time.Time) {
			w.Header().Set("X-RateLimit-Limit", "300")
			w.Header().Set("X-RateLimit-Remaining", "0")
			w.Header().Set("X-RateLimit-Reset", reset.UTC().Format("2006-01-02T15:04:05.000000Z"))
			mastodontest.Answer(w, http.StatusTooManyRequests, map[string]string{"error": "Too many requests"})
		},
		Threads: 150,
		Secrets: []string{mastodontest.Token},
		Skip:    map[string]string{"duplicates across pages": "pages by min_id do not overlap"},
	}.Run(t)
}
