package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/bluesky/blueskytest"
	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/mastodon/mastodontest"
	"github.com/dwiarah/dwiarah/ingest/internal/meta/metatest"
	"github.com/dwiarah/dwiarah/ingest/internal/x/xtest"
	"github.com/dwiarah/dwiarah/ingest/internal/youtube/youtubetest"
)

// TestTwoHundredAccounts: one process holds two hundred accounts over five platforms, the pushes of forty of them open, in less than 300 MB.
func TestTwoHundredAccounts(t *testing.T) {
	const each, mostMB, patience = 40, 300, 5 * time.Minute
	w := newWorld(t)
	w.must("keys", "init", "--out", w.path("identity.keys"))
	platforms := []struct {
		name, token, account, settings string
		serve                          func(*conversation.World) http.Handler
	}{
		{"x", xtest.Token, "", `{usd_per_day: "500"}`, func(w *conversation.World) http.Handler { return &xtest.Server{World: w, Now: time.Now} }},
		{"mastodon", mastodontest.Token, "", "{}", func(w *conversation.World) http.Handler {
			m := mastodontest.Over(w)
			t.Cleanup(m.BreakStreams)
			return http.HandlerFunc(m.Serve)
		}},
		{"bluesky", blueskytest.Password, blueskytest.Handle, "{}", func(w *conversation.World) http.Handler { return blueskytest.New(w) }},
		{"youtube", youtubetest.Key, "", "{}", func(w *conversation.World) http.Handler { return &youtubetest.Server{World: w} }},
		{"facebook", metatest.Token, "", "{}", func(w *conversation.World) http.Handler { return &metatest.Server{World: w, Platform: "facebook"} }},
	}
	var institutions, sources strings.Builder
	institutions.WriteString("institutions:\n")
	sources.WriteString("sources:\n")
	for n := range each {
		fmt.Fprintf(&institutions, "  - {id: kota-%d, name: Kota, zone: Asia/Jakarta, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}, accounts: {", n)
		for i, p := range platforms {
			world := conversation.NewWorld()
			world.Official = fmt.Sprintf("layanan_%d", n)
			world.Skip(time.Now().Add(-30 * time.Minute))
			world.Converse(5)
			server := httptest.NewServer(p.serve(world))
			t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
			account := world.Official
			if p.account != "" { // its server knows one account only; each institution has it on a server of its own
				account = p.account
			}
			if p.account == "" || n == 0 {
				fmt.Fprintf(&institutions, "%s%s: [{handle: %s}]", strings.Repeat(", ", min(i, 1)), p.name, account)
			}
			fmt.Fprintf(&sources, "  - {platform: %s, account: %s, base_url: %s, allow_private: true, schedule: \"@every 5s\", token: \"file:%s\", settings: %s}\n",
				p.name, account, server.URL, w.write("token-"+p.name, p.token), p.settings)
		}
		institutions.WriteString("}}\n")
	}
	w.write("institutions.yaml", institutions.String())
	text, err := os.ReadFile(w.path("ingest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := w.write("many.yaml", string(text)+sources.String())
	child := w.child("", "--config", config, "run")
	var log bytes.Buffer
	child.Stderr = &log
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	done := 0
	for deadline := time.Now().Add(patience); done < each*len(platforms) && time.Now().Before(deadline); time.Sleep(time.Second) {
		_, out, _ := w.run("--config", config, "sources")
		done = strings.Count(out, "  complete  ") + strings.Count(out, "  streaming  ")
	}
	if done < each*len(platforms) {
		t.Errorf("%d of %d sources are complete", done, each*len(platforms))
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child.Process.Pid))
	if err != nil {
		t.Error(err)
	}
	var kb int
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscanf(line, "%d kB", &kb); err != nil {
		t.Error(err)
	}
	t.Logf("%d sources, at most %d MB", done, kb>>10)
	if kb>>10 > mostMB {
		t.Errorf("%d MB, want at most %d", kb>>10, mostMB)
	}
	if err := child.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Errorf("%v\n%.2000s", err, log.String())
	}
}
