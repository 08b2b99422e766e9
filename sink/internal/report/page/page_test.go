package page_test

import (
	"bytes"
	"encoding/csv"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dwiarah/dwiarah/sink/internal/report/figures"
	"github.com/dwiarah/dwiarah/sink/internal/report/page"
	"github.com/dwiarah/dwiarah/sink/internal/report/period"
)

var update = flag.Bool("update", false, "write the golden files anew")

func ptr[T any](v T) *T { return &v }

func jakarta(t testing.TB) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation("Asia/Jakarta")
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func week(t testing.TB, text string) period.Period {
	t.Helper()
	p, err := period.Parse(text, jakarta(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// usual are the figures of an ordinary week.
func usual(t testing.TB, text string) *figures.Figures {
	p := week(t, text)
	f := &figures.Figures{
		Institution: figures.Institution{ID: "dukcapil-wanasari", Name: "Dinas Kependudukan Kota Wanasari", ZoneName: "Asia/Jakarta", Calendar: "id-government", Zone: p.Zone},
		Period:      p,
		Rate1h:      figures.Rate{N: 141, Answered: 31, Rate: ptr(0.2198581560283688), Lo: ptr(0.1594), Hi: ptr(0.2951)},
		Rate24h:     figures.Rate{N: 128, Answered: 61, Rate: ptr(0.4765625), Lo: ptr(0.3919), Hi: ptr(0.5625)},
		Rate72h:     figures.Rate{N: 88, Answered: 50, Rate: ptr(0.5681818181818182), Lo: ptr(0.4639), Hi: ptr(0.6668)},
		Wait: figures.Wait{
			N: 142, Replied: 79, Deleted: 4, Open: 59, KMMedianS: ptr(97200.), RMST7dS: ptr(273240.), Incidence1h: ptr(0.22), Incidence24h: ptr(0.475), Incidence72h: ptr(0.566),
			AnsweredP50S: ptr(5400.), AnsweredP90S: ptr(151200.), BN: ptr(uint64(137)), BOutOfHours: ptr(uint64(5)), BKMMedianS: ptr(32400.), BRMST7dS: ptr(120000.),
			BAnsweredP50S: ptr(4200.), BAnsweredP90S: ptr(50400.),
		},
		ReplyShare: figures.ReplyShare{N: 104, Broadcasts: 21, Replies: 83, AutoReplies: 9, ReplyShare: ptr(0.7980769230769231), AutoShare: ptr(0.09782608695652174)},
		Asymmetry: figures.Asymmetry{N: 294, Inbound: 211, Replies: 83, Asymmetry: ptr(0.43537414965986393), Reciprocity: ptr(0.5374149659863946), Targeting: ptr(0.9518072289156626),
			Authors: 134, AuthorsAnswered: 71, AuthorCoverage: ptr(0.5298507462686567), ReplyGini: ptr(0.5573)},
		Dialogue:  figures.Dialogue{N: 78, Threads: 78, Looped: 14, LoopRate: ptr(0.1794871794871795), DepthP50: ptr(2.), DepthP90: ptr(4.)},
		Sentiment: figures.Sentiment{N: 208, RawNegative: ptr(0.38461538461538464), RawNeutral: ptr(0.47596153846153844), RawPositive: ptr(0.13942307692307693), Net: ptr(-0.2451923076923077), NetLo: ptr(-0.3379), NetHi: ptr(-0.1525)},
		Risks: []figures.Risk{
			{Tag: "service_failure", N: 43, SeverityMax: 3, Load: 214.25, Authors: 31, Messages: 211, Share: ptr(0.19431279620853081), ShareLo: ptr(0.1466), ShareHi: ptr(0.2530)},
			{Tag: "misconduct_corruption", N: 4, SeverityMax: 5, Load: 160.5, Authors: 3, Messages: 211, Share: ptr(0.018957345971563982), ShareLo: ptr(0.0074), ShareHi: ptr(0.0478)},
			{Tag: "non_response", N: 22, SeverityMax: 3, Load: 98.1, Authors: 19, Messages: 211, Share: ptr(0.08056872037914692), ShareLo: ptr(0.0510), ShareHi: ptr(0.1252)},
			{Tag: "policy_criticism", N: 9, SeverityMax: 1, Load: 12.4, Authors: 8, Messages: 211, Share: ptr(0.), ShareLo: ptr(0.), ShareHi: ptr(0.0179)},
		},
		Quality: figures.Quality{
			Connectors: []figures.Connector{{Name: "mastodon:dukcapil", Coverage: 0.9987, NowObs: ptr(p.To.Add(-20 * time.Minute))}},
			Requesters: 97, LagP95S: ptr(185.), ModelVersions: []string{"dwiarah-2026.11"},
		},
	}
	inbound := []uint64{31, 52, 40, 33, 36, 12, 7}
	replies := []uint64{14, 19, 18, 15, 17, 0, 0}
	for n := range inbound {
		f.Days = append(f.Days, figures.Day{
			Bucket: p.From.Add(time.Duration(n) * 24 * time.Hour), N: inbound[n] + replies[n], Inbound: inbound[n], Replies: replies[n],
			Answered24h: ptr(0.6 - 0.07*float64(n)), NegativeShare: ptr(0.3 + 0.03*float64(n)), Speakers: inbound[n] - 2, Requesters: inbound[n] - 2,
		})
	}
	f.Days[6].Speakers, f.Days[6].Requesters, f.Days[6].Answered24h = 4, 4, nil
	return f
}

func sheet(t testing.TB, change func(s *page.Sheet)) page.Sheet {
	s := page.Sheet{
		Current: usual(t, "2026-W10"), Previous: usual(t, "2026-W09"), MadeAt: time.Date(2026, 3, 9, 0, 0, 4, 0, time.UTC), MetricSpec: "1", Language: "id",
	}
	s.Previous.Rate24h = figures.Rate{N: 140, Answered: 92, Rate: ptr(0.6571428571428571), Lo: ptr(0.5753), Hi: ptr(0.7306)}
	s.Previous.Wait.KMMedianS, s.Previous.Wait.RMST7dS, s.Previous.Asymmetry.Inbound = ptr(50400.), ptr(201600.), 180
	if change != nil {
		change(&s)
	}
	return s
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (go test -update writes it anew):\n%s", name, diff)
	}
}

// empty are the figures of an institution of which connectors read everything and found nothing.
func empty(t testing.TB, text string) *figures.Figures {
	p := week(t, text)
	f := &figures.Figures{Institution: figures.Institution{ID: "sunyi", Name: "Kantor Sunyi", ZoneName: "Asia/Jakarta", Zone: p.Zone}, Period: p}
	f.Quality.Connectors = []figures.Connector{{Name: "mastodon:sunyi", Coverage: 1, NowObs: ptr(p.To)}}
	for n := range 7 {
		f.Days = append(f.Days, figures.Day{Bucket: p.From.Add(time.Duration(n) * 24 * time.Hour)})
	}
	return f
}

func cases() map[string]func(t testing.TB, s *page.Sheet) {
	return map[string]func(t testing.TB, s *page.Sheet){
		"usual":   func(testing.TB, *page.Sheet) {},
		"english": func(t testing.TB, s *page.Sheet) { s.Language = "en" },
		"quiet":   func(t testing.TB, s *page.Sheet) { s.Current, s.Previous = empty(t, "2026-W10"), empty(t, "2026-W09") },
		"unread": func(t testing.TB, s *page.Sheet) {
			s.Current = empty(t, "2026-W10")
			s.Current.Days, s.Current.Quality.Connectors = nil, nil
		},
		"gaps": func(t testing.TB, s *page.Sheet) {
			s.Current.Quality.Connectors[0].Coverage = 0.94996
			s.Current.Days = append(s.Current.Days[:2], s.Current.Days[4:]...)
			s.Current.Wait.KMMedianS, s.Current.Wait.BKMMedianS = nil, nil
		},
		"few": func(t testing.TB, s *page.Sheet) {
			s.Current.Quality.Requesters, s.Current.Asymmetry.Authors = 4, 4
		},
		"small": func(t testing.TB, s *page.Sheet) {
			s.Current.Wait.N, s.Current.Institution.Calendar = 29, ""
			s.Current.Wait.BN, s.Current.Wait.BOutOfHours, s.Current.Wait.BKMMedianS, s.Current.Wait.BRMST7dS = nil, nil, nil, nil
			s.Current.Sentiment = figures.Sentiment{N: 31, RawNegative: ptr(0.2), RawNeutral: ptr(0.6), RawPositive: ptr(0.2)}
			s.Current.Risks = nil
		},
		"calibrated": func(t testing.TB, s *page.Sheet) {
			c := &s.Current.Sentiment
			c.Calibrated, c.Negative, c.Neutral, c.Positive, c.Net, c.NetLo, c.NetHi = true, ptr(0.31), ptr(0.56), ptr(0.13), ptr(-0.18), ptr(-0.27), ptr(-0.09)
			r := &s.Current.Risks[0]
			r.Calibrated, r.Share, r.ShareLo, r.ShareHi = true, ptr(0.151), ptr(0.087), ptr(0.224)
			s.Current.Risks[2].Messages, s.Current.Risks[2].Share, s.Current.Risks[2].ShareLo, s.Current.Risks[2].ShareHi = 49, nil, nil, nil
		},
	}
}

func TestDocumentsAreGolden(t *testing.T) {
	for name, change := range cases() {
		t.Run(name, func(t *testing.T) {
			d, err := page.Render(sheet(t, func(s *page.Sheet) { change(t, s) }))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".html", d.HTML)
			golden(t, name+".csv", d.CSV)
			golden(t, name+".txt", d.Text)
			golden(t, name+"_mail.html", d.MailHTML)
		})
	}
}

var notANumber = regexp.MustCompile(`(?i)\b(nan|[+-]?inf|infinity)\b|%!|<no value>|ZgotmplZ|<nil>`)

// A page stands alone, and no figure on it is a number that is none.
func TestDocumentsStandAlone(t *testing.T) {
	for name, change := range cases() {
		d, err := page.Render(sheet(t, func(s *page.Sheet) { change(t, s) }))
		if err != nil {
			t.Fatal(err)
		}
		for part, b := range map[string][]byte{"html": d.HTML, "csv": d.CSV, "text": d.Text, "mail": d.MailHTML} {
			if bad := notANumber.Find(b); bad != nil {
				t.Errorf("%s: %s holds %q", name, part, bad)
			}
			for _, outside := range []string{"http://", "https://", "//", "src=\"/", "@import", "url(", "<script", "<link"} {
				if part != "text" && bytes.Contains(b, []byte(outside)) {
					t.Errorf("%s: %s holds %q", name, part, outside)
				}
			}
		}
		for _, line := range strings.Split(string(d.Text), "\n") {
			if strings.ContainsAny(line, "\r\t\x1b") {
				t.Errorf("%s: text line %q", name, line)
			}
		}
		for _, image := range d.Images {
			if !bytes.HasPrefix(image.PNG, []byte("\x89PNG")) || !bytes.Contains(d.MailHTML, []byte("cid:"+image.Name+".png")) {
				t.Errorf("%s: image %s is no PNG or is not shown", name, image.Name)
			}
		}
		if strings.ContainsAny(d.Subject, "\r\n") {
			t.Errorf("%s: subject %q", name, d.Subject)
		}
	}
}

func records(t testing.TB, b []byte) []map[string]string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]string
	for _, row := range rows[1:] {
		record := map[string]string{}
		for n, column := range rows[0] {
			record[column] = row[n]
		}
		list = append(list, record)
	}
	return list
}

// An undefined figure is an empty cell with a note; a defined one is a number, negative ones included.
func TestCSVSaysWhy(t *testing.T) {
	for name, change := range cases() {
		d, err := page.Render(sheet(t, func(s *page.Sheet) { change(t, s) }))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records(t, d.CSV) {
			if r["value"] == "" && r["note"] == "" {
				t.Errorf("%s: %s %s %s is empty without a note", name, r["section"], r["name"], r["day"])
			}
			for _, column := range []string{"value", "lo", "hi", "n", "previous"} {
				if _, err := strconv.ParseFloat(r[column], 64); r[column] != "" && err != nil {
					t.Errorf("%s: %s of %s: %v", name, column, r["name"], err)
				}
			}
		}
	}
}

func TestForeignTextsDoNoHarm(t *testing.T) {
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `=cmd|' /C calc'!A0`, `+1+1`, `-2+3`, `@SUM(A1)`, "\t=1", "\r=1", "＝1+1", "a\r\nBcc: x@example.org", "a\x1b[2Jb", "{{.Title}}", `' onmouseover='x`,
	} {
		s := sheet(t, func(s *page.Sheet) {
			s.Current.Institution.Name = evil
			s.Current.Quality.Connectors[0].Name = evil
			s.Current.Quality.ModelVersions = []string{evil}
			s.Current.Risks[0].Tag = evil
			s.MetricSpec = evil
		})
		d, err := page.Render(s)
		if err != nil {
			t.Fatalf("%q: %v", evil, err)
		}
		c, err := page.RenderComparison(page.Comparison{Period: s.Current.Period, Institutions: []*figures.Figures{s.Current}, MetricSpec: evil, Language: "id"})
		if err != nil {
			t.Fatalf("%q: %v", evil, err)
		}
		for part, b := range map[string][]byte{"html": d.HTML, "mail": d.MailHTML, "comparison": c.HTML, "comparison's mail": c.MailHTML} {
			if bytes.Contains(b, []byte("<script")) || bytes.Contains(b, []byte("<img src=x")) || bytes.Contains(b, []byte(" onmouseover='")) {
				t.Errorf("%q goes through to the %s", evil, part)
			}
		}
		for _, b := range [][]byte{d.CSV, c.CSV} {
			for _, r := range records(t, b) {
				for column, cell := range r {
					if _, err := strconv.ParseFloat(cell, 64); cell != "" && err != nil && strings.ContainsAny(cell[:1], "=+-@\t\r") {
						t.Errorf("%q: column %s begins as a formula: %q", evil, column, cell)
					}
				}
			}
		}
		if strings.ContainsAny(d.Subject, "\r\n\x1b") || bytes.ContainsAny(d.Text, "\r\x1b") {
			t.Errorf("%q: control characters go through", evil)
		}
	}
}

func TestComparisonIsGolden(t *testing.T) {
	better, worse, small, dark := usual(t, "2026-W10"), usual(t, "2026-W10"), usual(t, "2026-W10"), usual(t, "2026-W10")
	better.Institution.Name, better.Wait.RMST7dS = "Badan Layanan Air Tirta Kencana", ptr(180000.)
	small.Institution.Name, small.Wait.N = "Perpustakaan Daerah Cendana", 29
	dark.Institution.Name, dark.Quality.Connectors[0].Coverage = "Dinas Perhubungan Segara", 0.5
	d, err := page.RenderComparison(page.Comparison{
		Period: week(t, "2026-W10"), Institutions: []*figures.Figures{worse, small, better, dark}, MadeAt: time.Date(2026, 3, 9, 0, 0, 4, 0, time.UTC), MetricSpec: "1", Language: "id",
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "comparison.html", d.HTML)
	golden(t, "comparison.csv", d.CSV)
	golden(t, "comparison.txt", d.Text)
	golden(t, "comparison_mail.html", d.MailHTML)
}

func TestUnknownLanguageIsRefused(t *testing.T) {
	if _, err := page.Render(sheet(t, func(s *page.Sheet) { s.Language = "fr" })); err == nil {
		t.Error("language fr was taken")
	}
}
