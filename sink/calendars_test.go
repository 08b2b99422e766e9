package sink

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dwiarah/dwiarah/schemas/institutions"
)

// An institution's calendar is one of the build's or of a file that the configuration names; anything else would leave its business times NULL without a word.
func TestCalendarsOfInstitutionsAreKnown(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := write("hospital.yaml", `
name: hospital
title: A hospital that never closes
first: 2026-01-01
last: 2026-12-31
offsets_s: [25200]
hours: {always: {monday: ["00:00-24:00"], saturday: ["00:00-24:00"]}}
weeks: [{hours: always, first: 2026-01-01, last: 2026-12-31, source: its own rules}]
days_off_unknown: [2026]
`)
	directory, err := institutions.Load(write("institutions.yaml", `
institutions:
  - id: rsud
    name: RSUD
    zone: Asia/Jakarta
    calendar: hospital
    purpose: answering patients
    legal_basis: public task
    retention: {text_days: 90, facts_days: 395}
    accounts: {mastodon: [{handle: rsud@social.example}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := checkCalendars(directory, []string{own}); err != nil {
		t.Error(err)
	}
	err = checkCalendars(directory, nil)
	if err == nil || !strings.Contains(err.Error(), `institution rsud: calendar: "hospital"; allowed: id-government`) {
		t.Errorf("without its file: %v", err)
	}
	if err := checkCalendars(directory, []string{filepath.Join(dir, "absent.yaml")}); err == nil || !strings.Contains(err.Error(), "absent.yaml") {
		t.Errorf("with an absent file: %v", err)
	}
}
