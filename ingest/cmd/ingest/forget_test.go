package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestForget: a subject's request reaches the files of known messages; the handle comes by standard input and is repeated nowhere.
func TestForget(t *testing.T) {
	w := newWorld(t)
	w.must("keys", "init", "--out", w.path("identity.keys"))
	if err := os.MkdirAll(filepath.Dir(w.path("state/known/mastodon_kota_a.jsonl")), 0o700); err != nil {
		t.Fatal(err)
	}
	path := w.write("state/known/mastodon_kota_a.jsonl", `{"kind":"known messages","version":1}
{"entry":{"known":{"Message":{"platform":"mastodon","message_id":"110","kind":"mention","author_id":"warga@contoh.example","created_at":"2026-03-01T08:00:00Z","text":""}},"due":"2026-03-01T09:00:00Z"}}
{"entry":{"known":{"Message":{"platform":"mastodon","message_id":"111","kind":"reply","author_id":"kota_a","parent_author_id":"warga@contoh.example","created_at":"2026-03-01T08:05:00Z","text":""}},"due":"2026-03-01T09:00:00Z"}}
`)
	forget := func(in string, args ...string) (code int, said string) {
		t.Helper()
		w.in = in
		code, out, errOut := w.run(append([]string{"--config", w.path("ingest.yaml"), "forget"}, args...)...)
		return code, out + errOut
	}
	if code, said := forget("@Warga@contoh.example\n", "--platform", "mastodon"); code != 0 || !strings.Contains(said, "1 known messages are forgotten; in 1 of others") {
		t.Errorf("code %d: %s", code, said)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), "warga") || !strings.Contains(string(text), `"111"`) {
		t.Errorf("%v: %s", err, text)
	}
	if code, said := forget("", "--platform", "mastodon", "--message-id", "111"); code != 0 || !strings.Contains(said, "1 known messages") {
		t.Errorf("code %d: %s", code, said)
	}
	for _, args := range [][]string{{"--platform", "friendster"}, {"--platform", "x", "--author", "warga", "--message-id", "1"}, {"--author", "warga"}} {
		if code, said := forget("warga\n", args...); code == 0 || strings.Contains(said, "warga") {
			t.Errorf("%v: code %d: %s", args, code, said)
		}
	}
	if code, said := forget("\n", "--platform", "mastodon"); code == 0 || !strings.Contains(said, "a message's id or an author") {
		t.Errorf("code %d: %s", code, said)
	}
}
