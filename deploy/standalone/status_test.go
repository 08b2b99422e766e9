package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/stack"
)

func TestStatusShowsOneScreen(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	institutions := write("institutions.yaml", "institutions:\n  - id: kota-a\n    name: Kota A\n    zone: Asia/Jakarta\n    accounts: {x: [{handle: kota_a}]}\n    purpose: menjawab warga\n    legal_basis: UU 25/2009\n    retention: {text_days: 90, facts_days: 395}\n")
	var archive strings.Builder
	for n := range 30 {
		fmt.Fprintf(&archive, `{"platform":"x","message_id":"%d","kind":"mention","author_id":"w","mentions":["kota_a"],"created_at":"2026-03-01T08:00:00+07:00","text":"pesan"}`+"\n", n)
	}
	archive.WriteString("rusak\n")
	s, _ := up(t, stack.Config{DataDir: filepath.Join(dir, "data"), Institutions: institutions, Archives: []string{write("arsip.jsonl", archive.String())}})
	look := func(config string) string {
		t.Helper()
		var out strings.Builder
		if err := (statusCommand{Config: config, Once: true}).run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	screen := look(write("sink.yaml", "kafka: {brokers: ['"+s.Kafka+"']}\nclickhouse: {addresses: ['http://"+s.ClickHouse+"']}\n"))
	lines := map[string]bool{}
	for line := range strings.Lines(screen) {
		lines[strings.Join(strings.Fields(line), " ")] = true
	}
	for _, want := range []string{
		"enrich mentions.raw.v1 30 0 -", "sink mentions.enriched.v1 30 0 -", "dead letters 1 kept, 0 since this screen began; sink dlq list shows them", "INSTITUTION CONNECTOR COMPLETE UNTIL GAPS",
	} {
		if !lines[want] {
			t.Errorf("%q is not on the screen:\n%s", want, screen)
		}
	}
	for _, part := range []string{"archive:x", "2026-03-01 01:00:00", "message_facts", "30", "free of"} {
		if !strings.Contains(screen, part) {
			t.Errorf("%q is not on the screen:\n%s", part, screen)
		}
	}

	// What does not answer says so; the rest of the screen stands.
	if screen := look(write("away.yaml", "kafka: {brokers: ['127.0.0.1:1']}\nclickhouse: {addresses: ['http://"+s.ClickHouse+"']}\n")); !strings.Contains(screen, "Kafka: no answer") || !strings.Contains(screen, "message_facts") {
		t.Errorf("with Kafka away:\n%s", screen)
	}
}
