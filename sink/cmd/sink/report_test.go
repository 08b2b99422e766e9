package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReportRunAndList(t *testing.T) {
	c, s := configured(t)
	if err := s.Conn().Exec(t.Context(), "INSERT INTO institution_settings VALUES ('dinas-air', 'Dinas Air Kota Contoh', 'Asia/Jakarta', 25200, '', now64(3))"); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "lihat")
	out := c.want([]string{"report", "run", "weekly", "--period", "2026-W10", "--out", dir}, "weekly-dinas-air-2026-W10.html", "weekly-dinas-air-2026-W10.csv", "weekly-dinas-air-2026-W10.txt")
	for _, file := range strings.Fields(out) {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
	// A look leaves no trace in the log.
	if out := c.want([]string{"report", "list"}, "weekly", "0 7 * * 1", "Asia/Jakarta", "WIB"); strings.Contains(out, "manual") {
		t.Errorf("the log has a run: %s", out)
	}
	for _, bad := range [][]string{
		{"report", "run", "daily", "--period", "2026-W10"}, {"report", "run", "weekly", "--period", "2026-W60"}, {"report", "run", "weekly"},
		{"report", "run", "weekly", "--period", "2026-W10", "--institution", "tidak-ada"}, {"report", "list", "--runs", "0"},
	} {
		if code, _, errOut := c.run(bad...); code == 0 || errOut == "" {
			t.Errorf("%v ended with %d, saying %q", bad, code, errOut)
		}
	}
}
