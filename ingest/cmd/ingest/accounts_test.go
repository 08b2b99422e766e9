package main

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/bluesky/blueskytest"
	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/mastodon/mastodontest"
)

// TestManyAccounts runs one process for DWIARAH_ACCOUNTS accounts, half on Mastodon with their pushes open and half on Bluesky, each with 300 messages, and says how
// much memory it took at most.
func TestManyAccounts(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("DWIARAH_ACCOUNTS"))
	if err != nil || n <= 0 {
		t.Skip("set DWIARAH_ACCOUNTS to a number of accounts, as 200, to measure what they take")
	}
	w := newWorld(t)
	w.must("keys", "init", "--out", w.path("identity.keys"))
	w.write("institutions.yaml", fmt.Sprintf(`
institutions:
  - {id: kota-a, name: Kota A, zone: Asia/Jakarta, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}, accounts: {mastodon: [{handle: layanan_kota}], bluesky: [{handle: %s}]}}
`, blueskytest.Handle))
	recent := time.Now().Add(-12 * time.Hour)
	sources := "sources:\n"
	add := func(platform, account, base, token string) {
		sources += fmt.Sprintf("  - {platform: %s, account: %s, base_url: %s, allow_private: true, token: \"file:%s\", schedule: \"@every 5s\"}\n", platform, account, base, w.write("token-"+platform, token))
	}
	for range n / 2 {
		m := mastodontest.New()
		defer m.Close()
		for i := range 300 {
			m.Write(mastodontest.Status{AuthorID: "11", CreatedAt: recent.Add(time.Duration(i) * time.Minute), Mentions: []string{mastodontest.Me}, Content: "kapan kantor buka?"})
		}
		add("mastodon", "layanan_kota", m.URL, mastodontest.Token)
		world := conversation.NewWorld()
		world.Converse(200)
		world.Lock()
		for i := range world.Posts {
			world.Posts[i].Created = recent.Add(time.Duration(i) * time.Minute)
		}
		world.Unlock()
		b := httptest.NewServer(blueskytest.New(world))
		defer b.Close()
		add("bluesky", blueskytest.Handle, b.URL, blueskytest.Password)
	}
	text, err := os.ReadFile(w.path("ingest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := w.write("banyak.yaml", string(text)+sources)
	child := w.child("", "--config", config, "run")
	var log bytes.Buffer
	child.Stderr = &log
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	done := 0
	for deadline := time.Now().Add(4 * time.Minute); done < n/2*2 && time.Now().Before(deadline); {
		time.Sleep(2 * time.Second)
		_, out, _ := w.run("--config", config, "sources")
		done = strings.Count(out, "  complete  ") + strings.Count(out, "  streaming  ")
	}
	time.Sleep(20 * time.Second) // some polls and re-reads of all of them
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child.Process.Pid))
	if err != nil {
		t.Error(err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "VmHWM") || strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "Threads") {
			t.Log(line)
		}
	}
	t.Logf("%d of %d sources are complete", done, n/2*2)
	if err := child.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Errorf("%v\n%.2000s", err, log.String())
	}
}
