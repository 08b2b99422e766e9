package page

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dwiarah/dwiarah/sink/internal/report/figures"
)

// csvColumns is the head of the CSV file. Its figures are numbers with a decimal point whatever the language: shares from 0 to 1, times in seconds,
// instants in UTC. An undefined figure is an empty cell, and note says why.
var csvColumns = []string{
	"institution", "institution_name", "period", "period_from", "period_to", "metric_spec", "coverage",
	"section", "name", "day", "value", "lo", "hi", "n", "unit", "previous", "note",
}

// table collects CSV records. Texts and numbers come in by different doors: a text is guarded against being run as a formula, a number cannot be one and stays a number
// (a guarded -0.25 would be a text to every program that reads the file).
type table struct {
	identity []string
	records  [][]string
}

// guard keeps a spreadsheet from running a text: one that begins as a formula gets an apostrophe in front.
func guard(s string) string {
	// The wide forms are what an East Asian keyboard types; some programs take them for the narrow ones.
	if first, _ := utf8.DecodeRuneInString(s); s != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return "'" + s
	}
	return s
}

func numeral(x *float64) string {
	if x == nil {
		return ""
	}
	return strconv.FormatFloat(*x, 'f', -1, 64)
}

func (t *table) add(section, name, day string, m measure, previous *float64, note string) {
	t.records = append(t.records, append(append([]string{}, t.identity...),
		section, guard(name), day, numeral(m.value), numeral(m.lo), numeral(m.hi), numeral(m.n), string(m.unit), numeral(previous), guard(note)))
}

func (t *table) bytes() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	if err := w.Write(csvColumns); err != nil {
		return nil, fmt.Errorf("writing CSV: %w", err)
	}
	if err := w.WriteAll(t.records); err != nil {
		return nil, fmt.Errorf("writing CSV: %w", err)
	}
	return b.Bytes(), nil
}

// newTable begins a table about one institution.
func newTable(f *figures.Figures, spec string) *table {
	coverage := f.Quality.Coverage()
	return &table{identity: []string{
		guard(f.Institution.ID), guard(f.Institution.Name), f.Period.String(),
		f.Period.From.Format(time.RFC3339), f.Period.To.Format(time.RFC3339), guard(spec), numeral(&coverage),
	}}
}

// csvNote is the reason code of an undefined figure, without the "why_" of the words' keys.
func csvNote(m measure) string { return strings.TrimPrefix(m.reason, "why_") }

func sheetCSV(s Sheet) ([]byte, error) {
	f := s.Current
	t := newTable(f, s.MetricSpec)
	before := measures(s.Previous)
	for n, m := range measures(f) {
		t.add("metric", m.key, "", m, before[n].value, csvNote(m))
	}
	for _, d := range daily(f) {
		for _, m := range []measure{d.inbound, d.replies, d.answered, d.negative} {
			t.add("day", m.key, d.at.Format(time.DateOnly), m, nil, csvNote(m))
		}
	}
	shown, hidden := splitRisks(f)
	for _, r := range shown {
		n, authors, severity := float64(r.N), float64(r.Authors), float64(r.SeverityMax)
		t.add("risk_messages", r.Tag, "", measure{unit: count, value: &n}, nil, "")
		t.add("risk_authors", r.Tag, "", measure{unit: count, value: &authors}, nil, "")
		t.add("risk_severity_max", r.Tag, "", measure{unit: index, value: &severity}, nil, "")
		t.add("risk_load", r.Tag, "", measure{unit: index, value: &r.Load}, nil, "")
		share := riskShare(r)
		note := csvNote(share)
		if share.value != nil {
			note = correction(r)
		}
		t.add("risk_share", r.Tag, "", share, nil, note)
	}
	for _, r := range hidden {
		t.add("risk_messages", r.Tag, "", measure{unit: count}, nil, strings.TrimPrefix(whyFewAuthors, "why_"))
	}
	for _, c := range f.Quality.Connectors {
		t.add("coverage", c.Name, "", measure{unit: share, value: &c.Coverage}, nil, "")
	}
	lag := measure{unit: seconds, value: f.Quality.LagP95S}
	if lag.value == nil {
		lag.reason = "why_observation_unknown"
	}
	t.add("quality", "observation_lag_p95_s", "", lag, nil, csvNote(lag))
	return t.bytes()
}
