package report

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/schemas/sample"
	"github.com/dwiarah/dwiarah/sink/internal/report/figures"
	"github.com/dwiarah/dwiarah/sink/internal/report/period"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

// columns turns a row of figures into a map by column, as the answer key has it.
func columns(row any) map[string]any {
	v := reflect.ValueOf(row)
	list := map[string]any{}
	for n := range v.NumField() {
		name, field := v.Type().Field(n).Tag.Get("ch"), v.Field(n)
		if name == "" {
			continue
		}
		if field.Kind() == reflect.Pointer {
			if field.IsNil() {
				list[name] = nil
				continue
			}
			field = field.Elem()
		}
		if field.CanUint() {
			list[name] = float64(field.Uint())
		} else {
			list[name] = field.Interface()
		}
	}
	return list
}

// same compares the columns that both have: counts exactly, the rest to 1e-6.
func same(t *testing.T, what string, got, want map[string]any) {
	t.Helper()
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var plain map[string]any
	if err := json.Unmarshal(b, &plain); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for name, w := range plain {
		g, ok := got[name]
		if !ok {
			continue
		}
		compared++
		figure, isFigure := w.(float64)
		if !isFigure || g == nil { // NULL, or yes and no
			if w != g {
				t.Errorf("%s: %s is %v, want %v", what, name, g, w)
			}
			continue
		}
		if math.Abs(g.(float64)-figure) > 1e-6*max(1, math.Abs(figure)) {
			t.Errorf("%s: %s is %v, want %v", what, name, g, w)
		}
	}
	if compared < 2 {
		t.Errorf("%s: only %d columns to compare of %v", what, compared, plain)
	}
}

// What the report reads is what the sample's answer key says, week by week.
func TestFiguresOfTheSample(t *testing.T) {
	conn, s := sampleDatabase(t)
	source := figures.NewSource(conn)
	list, err := source.Institutions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(s.Key.Institutions) {
		t.Fatalf("%d institutions, want %d", len(list), len(s.Key.Institutions))
	}
	for n, k := range s.Key.Institutions {
		in := list[slices.IndexFunc(list, func(in figures.Institution) bool { return in.ID == k.ID })]
		weeks := 0
		for _, p := range k.Periods {
			week := period.Period{From: p.From.UTC(), To: p.To.UTC(), Zone: in.Zone}
			if !week.IsWeek() {
				continue
			}
			if weeks++; weeks != 4+2*n {
				continue // one of each is enough here: the views have tests of their own
			}
			f, err := source.Read(t.Context(), in, week, figures.Whole)
			if err != nil {
				t.Fatal(err)
			}
			at := k.ID + " " + p.Name
			same(t, at+" reply share", columns(f.ReplyShare), p.ReplyShare)
			same(t, at+" asymmetry", columns(f.Asymmetry), p.Asymmetry)
			same(t, at+" dialogue", columns(f.Dialogue), p.Dialogue)
			same(t, at+" wait", columns(f.Wait), p.WithTrueLabels.Wait)
			same(t, at+" sentiment", columns(f.Sentiment), p.WithTrueLabels.Sentiment)
			for window, rate := range map[string]figures.Rate{"3600": f.Rate1h, "86400": f.Rate24h, "259200": f.Rate72h} {
				if want, ok := p.WithTrueLabels.ResponseRate[window]; ok {
					same(t, at+" rate in "+window, columns(rate), want)
				}
			}
			tags := map[string]int{}
			for _, r := range f.Risks {
				tags[r.Tag] = int(r.N)
			}
			for tag, n := range p.WithTrueLabels.RiskMessages {
				if tags[tag] != n {
					t.Errorf("%s: %d messages of %s, want %d", at, tags[tag], tag, n)
				}
			}
			if f.Quality.Coverage() != 1 || len(f.Days) != 7 {
				t.Errorf("%s: coverage %v, %d days", at, f.Quality.Coverage(), len(f.Days))
			}
			var inbound, speakers uint64
			for _, d := range f.Days {
				inbound += d.Inbound
				if d.Speakers > d.Inbound || (d.Speakers == 0) != (d.Inbound == 0) {
					t.Errorf("%s: %d authors of %d messages on %v", at, d.Speakers, d.Inbound, d.Bucket)
				}
				speakers = max(speakers, d.Speakers)
			}
			if inbound != f.Asymmetry.Inbound || speakers > f.Asymmetry.Authors || f.Quality.Requesters > f.Wait.N {
				t.Errorf("%s: days add up to %d inbound of %d; %d requesters of %d requests", at, inbound, f.Asymmetry.Inbound, f.Quality.Requesters, f.Wait.N)
			}
		}
	}
}

// TestRunLog holds the table to the behaviour that the scheduler's tests take for granted of memoryRuns.
func TestRunLog(t *testing.T) {
	addr := storetest.Shared(t)
	table := NewRuns(storetest.Open(t, storetest.Config(addr, storetest.Database(t, addr))).Conn())
	memory := &memoryRuns{}
	zone := office(t, "x", "Asia/Jakarta").Zone
	p, err := period.Parse("2026-W10", zone)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 9, 0, 0, 4, 123e6, time.UTC)
	run := func(institution string, p period.Period, status string, version uint64, outputs ...string) Run {
		r := Run{Report: "weekly", Institution: institution, Period: p, Status: status, StartedAt: at, Outputs: outputs, MetricSpec: "1", Trigger: TriggerSchedule, Version: version}
		if status != StatusRunning {
			r.FinishedAt = &at
		}
		return r
	}
	other := run("a", p, StatusDone, 9)
	other.Report = "other"
	for _, r := range []Run{
		run("a", p, StatusRunning, 1), run("a", p, StatusFailed, 2, "file:a"), run("a", p, StatusDone, 5, "file:a", "mail:b"), run("a", p, StatusRunning, 4),
		run("b", p.Next(), StatusRunning, 1), run("b", p, StatusDone, 1), run("b", p, StatusDone, 1), other, run(AllInstitutions, p, StatusDone, 3),
	} {
		for _, log := range []runLog{table, memory} {
			if err := log.Record(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, institution := range []string{"a", "b", AllInstitutions, "nobody'; DROP TABLE report_runs --"} {
		got, err := table.Of(t.Context(), "weekly", institution, zone)
		if err != nil {
			t.Fatal(err)
		}
		want, err := memory.Of(t.Context(), "weekly", institution, zone)
		if err != nil {
			t.Fatal(err)
		}
		plain := func(list []Run) string {
			var b strings.Builder
			for _, r := range list {
				fmt.Fprintf(&b, "%s %s %v %s %v %v %q %s %s %d\n", r.Report, r.Institution, r.Period, r.Status, r.StartedAt.UTC(), r.FinishedAt != nil, r.Outputs, r.MetricSpec, r.Trigger, r.Version)
			}
			return b.String()
		}
		if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
			t.Errorf("%s:\n%s", institution, diff)
		}
	}
	recent, err := table.Recent(t.Context(), 3)
	if err != nil || len(recent) != 3 {
		t.Errorf("recent runs: %v, %v", recent, err)
	}
}

// The whole of it on the real tables: a pass makes what is due of the sample, a second one nothing.
func TestReportsOfTheSample(t *testing.T) {
	conn, s := sampleDatabase(t)
	addr := storetest.Shared(t)
	log := NewRuns(storetest.Open(t, storetest.Config(addr, storetest.Database(t, addr))).Conn())
	dir := t.TempDir()
	if keep := os.Getenv("DWIARAH_REPORT_DIR"); keep != "" {
		dir = keep // to look at the pages
	}
	now := func() time.Time { return sample.DefaultEnd().Add(3 * time.Hour) }
	letters := &post{}
	c := usual(dir)
	two := s.Key.Institutions[:2]
	c.List[0].Institutions = []string{two[0].ID, two[1].ID}
	c.List[0].Recipients = []Recipients{{To: []string{"pusat@instansi.example"}}, {To: []string{"humas@instansi.example"}, Institutions: []string{s.Key.Institutions[0].ID}}}
	r, err := build(c, figures.NewSource(conn), log, letters, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), now)
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.pass(t.Context(), r.definitions[0])
	if err != nil {
		t.Fatal(err)
	}
	if want := len(two) + 1; made != want {
		t.Errorf("%d pages made, want %d", made, want)
	}
	if made, err = r.pass(t.Context(), r.definitions[0]); made != 0 || err != nil {
		t.Errorf("a second pass made %d pages, %v", made, err)
	}
	if want := len(two) + 2; len(letters.sent) != want {
		t.Errorf("%d mails, want %d: %v", len(letters.sent), want, letters.sent)
	}
	for _, k := range two {
		b, err := os.ReadFile(filepath.Join(dir, "weekly-"+k.ID+"-2026-W39.html"))
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"permintaan publik", "Pekan 39/2026", "metric_spec 1", "true labels", "100,0%"} {
			if !strings.Contains(string(b), word) {
				t.Errorf("the page of %s does not say %q", k.ID, word)
			}
		}
	}
	holdsNobody(t, dir, letters, s)
	// The sample is made so that the restricted mean wait ranks the one first that answers the hard questions too.
	b, err := os.ReadFile(filepath.Join(dir, "weekly-_all-2026-W39.csv"))
	if err != nil {
		t.Fatal(err)
	}
	var ranked []string
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, ",comparison,rank,") {
			id, _, _ := strings.Cut(line, ",")
			ranked = append(ranked, id)
		}
	}
	if want := []string{"tirta-lengkara", "dukcapil-argaluhur"}; !slices.Equal(ranked, want) {
		t.Errorf("ranked %v, want %v", ranked, want)
	}
}

// holdsNobody looks in every file and mail of the reports for whoever wrote anything in the sample, and for what they wrote: reports are not erased, so they must hold nothing of it.
func holdsNobody(t *testing.T, dir string, letters *post, s *sample.Sample) {
	t.Helper()
	exports := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		exports[filepath.Base(path)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range letters.all {
		exports["mail of "+m.Stem] = strings.Join([]string{m.Subject, string(m.MailHTML), string(m.HTML), string(m.Text), string(m.CSV)}, "\n")
	}
	if len(exports) < 12 {
		t.Fatalf("%d exports", len(exports))
	}
	people, said := map[string]string{}, map[string]bool{}
	note := func(word, what string) {
		if len(word) > 5 { // shorter ones are words of the report's own
			people[word] = what
		}
	}
	official := map[string]bool{}
	for _, m := range s.Messages {
		if m.URL != "" { // only an institution's own messages have one
			official[m.AuthorID] = true
		}
	}
	for _, m := range s.Messages {
		note(m.MessageID, "the id of a message")
		if !official[m.AuthorID] {
			note(m.AuthorID, "an author")
		}
		if len(m.Text) > 20 {
			said[html.EscapeString(m.Text)], said[m.Text] = true, true
		}
	}
	for _, k := range s.Key.Institutions {
		for _, e := range s.World(k.ID).Messages {
			note(e.Message.AuthorKey, "the key of an author")
			note(hex.EncodeToString(e.Message.MessageKey), "the key of a message")
		}
	}
	if len(people) < 1000 || len(said) < 1000 {
		t.Fatalf("%d ids and keys, %d texts to look for", len(people), len(said))
	}
	for name, text := range exports {
		for word := range strings.FieldsFuncSeq(text, func(r rune) bool {
			return !(unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '.' || r == '-')
		}) {
			if what := people[word]; what != "" {
				t.Errorf("%s holds %s", name, what)
			}
		}
		if strings.HasSuffix(name, ".csv") && strings.Contains(text, "@") {
			t.Errorf("%s holds something like a handle or an address", name)
		}
		for sentence := range said {
			if strings.Contains(text, sentence) {
				t.Errorf("%s holds what somebody wrote", name)
			}
		}
	}
}

// A dead connector is no silent institution: it is listed with what it covered, and it decides the coverage.
func TestCoverageOfOverlapsGapsAndTheDead(t *testing.T) {
	addr := storetest.Shared(t)
	conn := storetest.Open(t, storetest.Config(addr, storetest.Database(t, addr))).Conn()
	in := office(t, "kantor", "Asia/Jakarta")
	p, err := period.Parse("2026-W10", in.Zone)
	if err != nil {
		t.Fatal(err)
	}
	hour := func(n int) time.Time { return p.From.Add(time.Duration(n) * time.Hour) }
	for _, c := range []struct {
		connector, status string
		since, until      time.Time
	}{
		{"a", "complete", hour(-30), hour(84)}, {"a", "complete", hour(42), hour(84)}, {"a", "complete", hour(80), hour(126)}, {"a", "gap", hour(126), hour(168)},
		{"b", "complete", hour(-10), hour(200)},
		{"dead", "complete", hour(-300), hour(-1)},
		{"long dead", "complete", hour(-900), hour(-400)},
		{"later", "complete", hour(168), hour(400)},
	} {
		if err := conn.Exec(t.Context(), "INSERT INTO coverage_ledger (institution, connector, status, since, reason, until) VALUES ('kantor', ?, ?, ?, '', ?)", c.connector, c.status, c.since, c.until); err != nil {
			t.Fatal(err)
		}
	}
	f, err := figures.NewSource(conn).Read(t.Context(), in, p, figures.Standing)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range f.Quality.Connectors {
		line := fmt.Sprintf("%s %.4f", c.Name, c.Coverage)
		if c.NowObs != nil {
			line += fmt.Sprintf(" %v", c.NowObs.Sub(p.From))
		}
		got = append(got, line)
	}
	if want := []string{"a 0.7500 126h0m0s", "b 1.0000 200h0m0s", "dead 0.0000"}; !slices.Equal(got, want) {
		t.Errorf("connectors: %q, want %q", got, want)
	}
	if f.Quality.Coverage() != 0 || f.Quality.NowObs() == nil || !f.Quality.NowObs().Equal(hour(126)) {
		t.Errorf("coverage %v, now_obs %v", f.Quality.Coverage(), f.Quality.NowObs())
	}
}
