package ingest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/bluesky/blueskytest"
	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/jetstream"
	"github.com/dwiarah/dwiarah/ingest/internal/jetstream/jetstreamtest"
	"github.com/dwiarah/dwiarah/ingest/internal/mastodon/mastodontest"
	"github.com/dwiarah/dwiarah/ingest/internal/meta/metatest"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/source/sourcetest"
	"github.com/dwiarah/dwiarah/ingest/internal/telegram/telegramtest"
	"github.com/dwiarah/dwiarah/ingest/internal/x/xtest"
	"github.com/dwiarah/dwiarah/ingest/internal/youtube/youtubetest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// platformServer is a server to try a source on, as the environment names it: DWIARAH_IT_<PLATFORM>_<name>.
type platformServer struct {
	url, token, account string
	// appView answers Jetstream's questions; without one they are not asked.
	appView string
	// least is how many messages it is known to hold at least.
	least int
	skip  map[string]string
}

// variables are the names under which the environment has a platform's server, and must have it; a platform that is not here takes URL, TOKEN and ACCOUNT.
var variables = map[string][]string{
	schemas.PlatformBluesky: {"URL", "HANDLE", "PASSWORD"},
	schemas.PlatformWeb:     {"URL"},
	jetstream.Name:          {"URL"},
}

// fromEnvironment returns the platform's server, or the variables that name one.
func fromEnvironment(platform string) (s platformServer, missing []string) {
	prefix := "DWIARAH_IT_" + strings.ToUpper(platform) + "_"
	names := variables[platform]
	if names == nil {
		names = []string{"URL", "TOKEN", "ACCOUNT"}
	}
	value := func(name string) string { return os.Getenv(prefix + name) }
	for _, name := range names {
		if value(name) == "" {
			missing = append(missing, prefix+name)
		}
	}
	return platformServer{
		url: value("URL"), token: cmp.Or(value("TOKEN"), value("PASSWORD")), account: cmp.Or(value("ACCOUNT"), value("HANDLE"), "kota"), appView: value("APPVIEW"),
	}, missing
}

// conformance tries a platform's source on a server, made as the program makes it.
func conformance(t *testing.T, platform string, s platformServer, settings config.Group) {
	t.Helper()
	cfg := source.Config{Platform: platform, Account: s.account, BaseURL: s.url, AllowPrivate: true, PageCap: 3, Settings: settings}
	on, account, keywords := platform, fmt.Sprintf("{handle: %q}", s.account), ""
	c := sourcetest.Conformance{Token: config.NewSecret(s.token), Least: s.least, Skip: map[string]string{}}
	maps.Copy(c.Skip, s.skip)
	switch platform {
	case schemas.PlatformX:
		cfg.Settings = config.Group{"usd_per_day": "0.50"}
	case schemas.PlatformWeb:
		cfg.BaseURL, cfg.Settings = "", config.Group{"address": s.url}
	case jetstream.Name:
		// Nobody is known to be addressed there now: whatever has an e in it is taken, from a minute ago on.
		cfg.Account, on, account, keywords = "", schemas.PlatformBluesky, `{id: "did:plc:kota"}`, "e"
		c.Cursor = json.RawMessage(fmt.Sprintf(`{"host":"elsewhere","time_us":%d}`, time.Now().Add(-time.Minute).UnixMicro()))
		cfg.Settings = config.Group{"appview": cmp.Or(s.appView, "http://127.0.0.1:1")}
		maps.Copy(cfg.Settings, settings)
		c.Skip["poll from the beginning"] = "a stream goes on meanwhile"
		c.Skip["backfill"] = "posts of no official account are not looked for"
		if s.appView == "" {
			c.Skip["re-read"] = "there is no AppView to ask (DWIARAH_IT_JETSTREAM_APPVIEW)"
		}
	}
	directory, err := institutions.Parse("institutions.yaml", fmt.Appendf(nil, `
institutions:
  - {id: kota, name: Kota, zone: Asia/Jakarta, accounts: {%s: [%s]}, keywords: [%s], purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}}
`, on, account, keywords))
	if err != nil {
		t.Fatal(err)
	}
	c.Source = func(t *testing.T, token config.Secret) source.Source {
		t.Helper()
		cfg.Token = token
		all, err := feeds(Config{StateDir: t.TempDir(), Sources: []Source{Source(cfg)}}, directory, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return all[0].Source
	}
	c.Run(t)
}

// forms are the ways in which a platform is read, by name; one where there is only one.
func forms(platform string) map[string]config.Group {
	if platform != jetstream.Name {
		return map[string]config.Group{"": nil}
	}
	return map[string]config.Group{
		"v2": {"wire": "v2", "compress": false}, "v2 zstd": {"wire": "v2", "compress": true}, "v1": {"wire": "v1", "compress": false}, "v1 deflate": {"wire": "v1", "compress": true},
	}
}

// TestConformance tries every registered source on the servers that the environment names: a real platform, or its maker's simulator.
func TestConformance(t *testing.T) {
	for _, platform := range sorted(platforms()) {
		t.Run(platform, func(t *testing.T) {
			s, missing := fromEnvironment(platform)
			if len(missing) > 0 {
				t.Skipf("set %s to try the source on a server", strings.Join(missing, ", "))
			}
			tryForms(t, platform, s)
		})
	}
}

func tryForms(t *testing.T, platform string, s platformServer) {
	t.Helper()
	all := forms(platform)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name == "" {
			conformance(t, platform, s, all[name])
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conformance(t, platform, s, all[name])
		})
	}
}

// TestConformanceOfEverySource tries them on our own servers, so that every source has passed the same trial before it meets a real one.
func TestConformanceOfEverySource(t *testing.T) {
	for _, platform := range sorted(platforms()) {
		t.Run(platform, func(t *testing.T) {
			t.Parallel()
			world := conversation.NewWorld()
			world.Skip(time.Now().Add(-30 * time.Minute))
			world.Converse(8)
			s := platformServer{account: world.Official, least: len(world.Posts)}
			var handler http.Handler
			switch platform {
			case schemas.PlatformX:
				handler, s.token = &xtest.Server{World: world, Now: time.Now}, xtest.Token
			case schemas.PlatformYouTube:
				handler, s.token = &youtubetest.Server{World: world}, youtubetest.Key
			case schemas.PlatformTelegram:
				handler, s.token = &telegramtest.Server{World: world}, telegramtest.Token
			case schemas.PlatformMastodon:
				m := mastodontest.Over(world)
				t.Cleanup(m.BreakStreams)
				handler, s.token = http.HandlerFunc(m.Serve), mastodontest.Token
				s.skip = map[string]string{"push": "the stream says so every 20 s; its own tests have a quicker one"}
			case schemas.PlatformBluesky:
				handler, s.token, s.account = blueskytest.New(world), blueskytest.Password, blueskytest.Handle
			case schemas.PlatformFacebook, schemas.PlatformInstagram, schemas.PlatformThreads:
				handler, s.token = &metatest.Server{World: world, Platform: platform}, metatest.Token
			case schemas.PlatformWeb:
				handler = atom(world)
			case jetstream.Name:
				j := jetstreamtest.New()
				t.Cleanup(j.Stop)
				handler, s.least = j, 10
				t.Cleanup(chatter(j))
			default:
				t.Fatalf("%s has no server to be tried on", platform)
			}
			server := httptest.NewServer(handler)
			t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
			s.url = server.URL
			tryForms(t, platform, s)
		})
	}
}

// atom is a feed of the official account's posts and the others'.
func atom(w *conversation.World) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		w.Lock()
		defer w.Unlock()
		out.Header().Set("Content-Type", "application/atom+xml")
		fmt.Fprint(out, `<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Kota</title>`)
		for _, p := range w.Posts {
			fmt.Fprintf(out, "<entry><id>%s</id><title>%s</title><published>%s</published></entry>", p.ID, p.Text, p.Created.Format(time.RFC3339))
		}
		fmt.Fprint(out, "</feed>")
	})
}

// chatter lets strangers post on Jetstream until it is stopped.
func chatter(j *jetstreamtest.Server) (stop func()) {
	post := func(n int, at time.Time) {
		j.Push(jetstreamtest.Event{DID: fmt.Sprintf("did:plc:warga%d", n), Time: at, Operation: "create", Key: fmt.Sprint("3k", n), Record: map[string]any{
			"$type": "app.bsky.feed.post", "createdAt": at.UTC().Format(time.RFC3339), "text": "kantor buka sampai sore",
		}})
	}
	const every = 100 * time.Millisecond
	for n := range 50 {
		post(n, time.Now().Add(time.Duration(n-50)*every))
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 50; ; n++ {
			select {
			case <-end:
				return
			case at := <-tick.C:
				post(n, at)
			}
		}
	}()
	return func() { close(end); <-ended }
}
