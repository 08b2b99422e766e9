package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/stack"
	"github.com/dwiarah/dwiarah/ingest/field"
)

// sourcesOf writes a --sources file and an institutions.yaml for a field into a folder.
func sourcesOf(t *testing.T, f *field.Field, dir string) upCommand {
	t.Helper()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file, err := field.SourcesFile(f.Sources(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return upCommand{Data: filepath.Join(dir, "data"), Institutions: write("institutions.yaml", string(f.Institutions())), Sources: write("sources.yaml", string(file))}
}

// TestUpReadsLiveSources: what is on the platforms of the file arrives, and what is written on them meanwhile.
func TestUpReadsLiveSources(t *testing.T) {
	t.Parallel()
	f, err := field.Open(field.Options{Seed: 3, Backlog: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	cfg, err := sourcesOf(t, f, t.TempDir()).config()
	if err != nil {
		t.Fatal(err)
	}
	if err := stack.Check(cfg); err != nil {
		t.Fatal(err)
	}
	s, _ := up(t, cfg)
	f.Step()
	for deadline := time.Now().Add(patience); ; time.Sleep(500 * time.Millisecond) {
		all, err := arrivals(t.Context(), s.Conn, f.Posts())
		if err != nil {
			t.Fatal(err)
		}
		whole := len(all) == len(cfg.Sources)
		for _, a := range all {
			whole = whole && a.whole()
		}
		if whole {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not everything arrived: %+v", all)
		}
	}
}

// TestCommandsTellTheirOwnMistakes: up tells every mistake of its files, a line each, before anything starts; status needs none of those files.
func TestCommandsTellTheirOwnMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token := write("token", "rahasia")
	institutions := write("institutions.yaml", "institutions:\n  - {id: kota, name: Kota, zone: Asia/Jakarta, accounts: {x: [{handle: kota_a}], youtube: [{handle: kota_a}]}, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}}\n")
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), commandVariable+"=1")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	f := func(sources string, want ...string) {
		t.Helper()
		out, err := run("up", "--data", filepath.Join(dir, "data"), "--institutions", institutions, "--sources", write("sources.yaml", sources), "--check")
		if (err == nil) != (len(want) == 0) {
			t.Errorf("%v\n%s", err, out)
		}
		for _, part := range want {
			lines := 0
			for line := range strings.Lines(out) {
				if strings.Contains(line, part) {
					lines++
				}
			}
			if lines != 1 {
				t.Errorf("%q is on %d lines of\n%s", part, lines, out)
			}
		}
	}
	f("sources:\n  - {platform: x, account: kota_a, token: 'file:" + token + "', settings: {usd_per_day: '1'}}\n")
	f("sources:\n  - {platform: friendster, account: kota_a, schedule: kadang}\nkafka: {brokers: [a]}\n", `sources[0].platform is "friendster"`, `sources[0].schedule is "kadang"`, "unknown key kafka")
	f("sources:\n  - {platform: x, account: orang_lain, token: 'file:"+token+"', settings: {usd_per_day: '1'}}\n  - {platform: youtube, account: kota_a}\n", `sources[0].account: "orang_lain"`, "sources[1].token: missing")
	f("sources: []\n", "sources is none")
	if out, err := run("status", "--once"); err != nil || !strings.Contains(out, "STAGE") {
		t.Errorf("status: %v\n%s", err, out)
	}
}
