package main

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestNoSecretLeaves: whatever a platform answers, and it may answer with the token itself, no secret stands in an output, a log, an error or a file of the state.
func TestNoSecretLeaves(t *testing.T) {
	const secret = "SANGAT-RAHASIA"
	for name, answer := range map[string]http.HandlerFunc{
		"401": func(w http.ResponseWriter, r *http.Request) { echo(w, r, http.StatusUnauthorized) },
		"400": func(w http.ResponseWriter, r *http.Request) { echo(w, r, http.StatusBadRequest) },
		"500": func(w http.ResponseWriter, r *http.Request) { echo(w, r, http.StatusInternalServerError) },
		"200": func(w http.ResponseWriter, r *http.Request) { echo(w, r, http.StatusOK) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://lain.example/"+secret+r.URL.String(), http.StatusFound)
		},
		"no answer": func(w http.ResponseWriter, _ *http.Request) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				conn.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.must("keys", "init", "--out", w.path("identity.keys"))
			server := httptest.NewServer(answer)
			defer server.Close()
			w.write("institutions.yaml", `
institutions:
  - {id: kota-a, name: Kota A, zone: Asia/Jakarta, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395},
     accounts: {mastodon: [{handle: kota_a}], bluesky: [{handle: kota.example}], x: [{id: "5", handle: kota_a}], youtube: [{id: UC1}], telegram: [{id: "-1001", handle: kota_a}],
       facebook: [{id: "6"}], instagram: [{id: "7"}], threads: [{id: "8"}]}}
`)
			token := w.write("token", secret)
			sources := "sources:\n"
			for platform, account := range map[string]string{"mastodon": "kota_a", "bluesky": "kota.example", "x": "kota_a", "youtube": "UC1", "telegram": "-1001", "facebook": "6", "instagram": "7", "threads": "8"} {
				settings := "{}"
				if platform == "x" {
					settings = "{usd_per_day: 5, usd_per_month: 50}"
				}
				if platform == "facebook" || platform == "instagram" || platform == "threads" {
					settings = fmt.Sprintf("{app_secret: %q, verify_token: %q}", "file:"+token, "file:"+token)
				}
				sources += fmt.Sprintf("  - {platform: %s, account: %q, base_url: %s, allow_private: true, token: %q, schedule: \"@every 1s\", settings: %s}\n", platform, account, server.URL, "file:"+token, settings)
			}
			text, err := os.ReadFile(w.path("ingest.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			config := w.write("rahasia.yaml", strings.ReplaceAll(string(text), "level: warn", "level: debug")+sources)

			said := map[string]string{}
			_, out, errOut := w.run("--config", config, "check")
			said["check"] = out + errOut
			if n := strings.Count(out, ": in order\n"); n > 0 && name != "200" || !strings.Contains(out, "mastodon:kota_a:") {
				t.Errorf("check: %s%s", out, errOut)
			}
			child := w.child("", "--config", config, "run")
			var log strings.Builder
			child.Stdout, child.Stderr = &log, &log
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			for tries := 0; !strings.Contains(said["sources"], "  gap  ") && tries < 600; tries++ {
				_, out, errOut = w.run("--config", config, "sources")
				said["sources"] = out + errOut
				time.Sleep(50 * time.Millisecond)
			}
			if err := child.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := child.Wait(); err != nil {
				t.Errorf("run: %v\n%s", err, strings.ReplaceAll(log.String(), secret, "SECRET"))
			}
			said["log"] = log.String()
			err = filepath.WalkDir(w.path("state"), func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				b, err := os.ReadFile(path)
				said[path] = path + string(b)
				return err
			})
			if err != nil {
				t.Error(err)
			}
			for what, text := range said {
				if at := strings.Index(text, secret); at >= 0 {
					t.Errorf("%s holds the secret: ...%s", what, strings.ReplaceAll(text[max(0, at-200):min(len(text), at+50)], secret, "SECRET"))
				}
			}
			if !strings.Contains(said["log"], "poll ended early") {
				t.Errorf("nothing was polled:\n%s", said["log"])
			}
		})
	}
}

// echo answers with all that the request held.
func echo(w http.ResponseWriter, r *http.Request, code int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // what could not be read is not echoed
	fmt.Fprintf(w, `{"error":%[1]q,"message":%[1]q,"description":%[1]q,"ok":false}`, fmt.Sprint(r.URL.String(), r.Header, string(body)))
}
