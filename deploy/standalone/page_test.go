package main

import (
	"os"
	"os/exec"
	"path/filepath"
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
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join("internal", "page", "browser", "look.mjs"), "http://"+s.Page, t.TempDir())
	cmd.Env = append(os.Environ(), "DWIARAH_PLAYWRIGHT="+driver, "DWIARAH_CHROMIUM="+browser)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
