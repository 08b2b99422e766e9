package main

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/stack"
	"github.com/dwiarah/dwiarah/schemas/sample"
)

// TestPageInABrowser drives the page on the bundled sample in a real browser, wide and narrow. In CI it may not be skipped.
func TestPageInABrowser(t *testing.T) {
	driver := os.Getenv("DWIARAH_PLAYWRIGHT")
	browser := os.Getenv("DWIARAH_CHROMIUM")
	if browser == "" {
		browser, _ = exec.LookPath("chromium")
	}
	if driver == "" || browser == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("needs Chromium, and the driver that make playwright fetches; CI has both")
		}
		t.Skip("needs Chromium, and the driver that make playwright fetches (DWIARAH_PLAYWRIGHT)")
	}
	dir := t.TempDir()
	if err := (sampleCommand{Out: dir, Seed: sample.DefaultSeed}).run(); err != nil {
		t.Fatal(err)
	}
	s, _ := up(t, stack.Config{
		DataDir: filepath.Join(dir, "data"), Institutions: filepath.Join(dir, sample.InstitutionsFile), Archives: []string{filepath.Join(dir, sample.ArchiveFile)},
	})
	if _, err := s.WeeklyReport(t.Context()); err != nil {
		t.Fatal(err)
	}
	drive := func(script string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "node", append([]string{filepath.Join("internal", "page", "browser", script), "http://" + s.Page}, args...)...)
		cmd.Env = append(os.Environ(), "DWIARAH_PLAYWRIGHT="+driver, "DWIARAH_CHROMIUM="+browser)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
	pictures := os.Getenv("DWIARAH_PICTURES")
	if pictures == "" {
		pictures = t.TempDir()
	}
	drive("look.mjs", pictures)
	// Fifty messages with the keyboard alone; what was labelled is in the database, and the classifier was measured by it.
	drive("label.mjs", "tirta-lengkara", pictures)
	var labels, measured uint64
	if err := s.Conn.QueryRow(t.Context(), "SELECT count(), (SELECT sum(labels) FROM stream_confusions FINAL WHERE head = 'sentiment') FROM message_labels FINAL WHERE head = 'sentiment'").Scan(&labels, &measured); err != nil || labels < 55 || measured < 50 {
		t.Errorf("%d labels of sentiment are stored, %d were measured by; want 55 or more, and 50 or more; %v", labels, measured, err)
	}
	refusesOtherPages(t, "http://"+s.Page)
}

// refusesOtherPages posts labels as a foreign page in the same browser could.
func refusesOtherPages(t *testing.T, base string) {
	t.Helper()
	form := url.Values{"institution": {"tirta-lengkara"}, "as": {"a9"}, "head": {"sentiment"}, "label": {"neutral"}, "token": {"guessed"}}
	for _, c := range []struct {
		what   string
		method string
		change func(*http.Request)
	}{
		{"a form of another site", http.MethodPost, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }},
		{"a form of another origin", http.MethodPost, func(r *http.Request) { r.Header.Set("Origin", "http://elsewhere.example") }},
		{"a form without the token", http.MethodPost, func(r *http.Request) {}},
		{"a label through another name of this machine", http.MethodPost, func(r *http.Request) { r.Host = "rebound.example" }},
		{"texts through another name of this machine", http.MethodGet, func(r *http.Request) { r.Host = "rebound.example:8080" }},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, base+"/label", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		c.change(r)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s, want 403", c.what, response.Status)
		}
	}
}
