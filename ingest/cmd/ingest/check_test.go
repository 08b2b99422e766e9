package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/ingest/field"
)

// TestCheckSaysWhatIsWrong: for every platform, of a configuration that is changed in one thing, check and backfill say in words what it is.
func TestCheckSaysWhatIsWrong(t *testing.T) {
	w := newField(t, field.Options{Seed: 1}, "", func(*ingest.Source) bool { return true })
	sources := w.field.Sources()
	tokens := 0
	for _, s := range sources {
		if !s.Token.IsZero() {
			tokens++
		}
	}
	whole, err := os.ReadFile(w.path("ingest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html>masuk</html>")
	}))
	t.Cleanup(page.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	secured := httptest.NewUnstartedServer(http.NotFoundHandler())
	secured.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secured.StartTLS()
	t.Cleanup(secured.Close)

	const wrongToken = "wrong token"
	host, token := regexp.MustCompile(`http://127\.0\.0\.1:\d+`), regexp.MustCompile(`token: "file:[^"]*"`)
	elsewhere := func(base string) string { return host.ReplaceAllString(string(whole), base) }
	for name, try := range map[string]struct{ config, words string }{
		"in order":           {string(whole), ""},
		wrongToken:           {token.ReplaceAllString(string(whole), `token: "file:`+w.write("wrong", "salah")+`"`), "the platform refuses the token: it is wrong, was revoked or has expired"},
		"no such host":       {elsewhere("http://tidak-ada.invalid"), "(there is no host of that name|names are not resolved)"},
		"nobody there":       {elsewhere(gone.URL), "nothing answers there"},
		"no TLS":             {elsewhere(strings.Replace(page.URL, "http:", "https:", 1)), "no certificate for that name, or no TLS"},
		"strange TLS":        {elsewhere(secured.URL), "no certificate for that name, or no TLS"},
		"another server":     {elsewhere(page.URL), "something else than the platform's interface answers"},
		"an address at home": {strings.ReplaceAll(elsewhere(secured.URL), "allow_private: true", "allow_private: false"), "set allow_private"},
	} {
		t.Run(name, func(t *testing.T) {
			config := w.write("try.yaml", try.config)
			code, out, errOut := w.world.run("--config", config, "check")
			if try.words == "" {
				if code != 0 || strings.Count(out, ": in order\n") != len(sources) {
					t.Errorf("code %d:\n%s%s", code, out, errOut)
				}
				return
			}
			want := len(sources)
			if name == wrongToken {
				want = tokens
			}
			if n := len(regexp.MustCompile(`(?m)^  .*`+try.words).FindAllString(out, -1)); n != want || code == 0 {
				t.Errorf("code %d, %d of %d sources say %q:\n%s%s", code, n, want, try.words, out, errOut)
			}
			code, _, errOut = w.world.run("--config", config, "backfill", "--source", "x:layanan_kota", "--since", "2026-03-01T00:00:00+07:00")
			if code == 0 || !regexp.MustCompile(try.words).MatchString(errOut) {
				t.Errorf("backfill: code %d, no %q in\n%s", code, try.words, errOut)
			}
		})
	}
	if code, _, errOut := w.world.run("--config", w.path("ingest.yaml"), "backfill", "--source", "x:layanan_kota", "--since", "2026-03-01"); code == 0 || !strings.Contains(errOut, "want a time as 2026-03-01T00:00:00+07:00") {
		t.Errorf("a day for a time: code %d, %s", code, errOut)
	}
}
