package mastodon

import (
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

// F14 and F15, row by row.
func TestContract(t *testing.T) {
	directory, err := institutions.Parse("institutions.yaml", []byte(`
institutions:
  - {id: kota, name: Kota, zone: Asia/Jakarta, accounts: {mastodon: [{handle: layanan_kota}]}, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}}
`))
	if err != nil {
		t.Fatal(err)
	}
	sourcetest.Contract{
		Server: func(w *conversation.World) http.Handler { return http.HandlerFunc(mastodontest.Over(w).Serve) },
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
		Limited:   mastodontest.Limited,
		Threads:   150,
		Secrets:   []string{mastodontest.Token},
		Skip:      map[string]string{"duplicates across pages": "pages by min_id do not overlap"},
	}.Run(t)
}
