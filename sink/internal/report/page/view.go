package page

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/sink/internal/report/figures"
)

// dash stands where there is no figure; a reason stands beside it.
const dash = "—"

// cell is one written figure. Reason is set where Text is no number.
type cell struct {
	Text   string
	Detail string // interval and n
	Reason string
}

type row struct {
	Label         string
	Now, Previous cell
	Change        string
	Aside         bool
}

type group struct {
	Key, Title string
	Notes      []string
	Rows       []row
	AsideNote  string
}

type tile struct {
	Label, English string
	Value          cell
	Bar            *bar
}

// bar places a share and its interval on a line from 0 to 100.
type bar struct{ At, Lo, Width float64 }

type dayRow struct {
	Label                                string
	Inbound, Replies, Answered, Negative cell
}

type riskRow struct {
	Label                              string
	N, Authors, Severity, Load, Hidden string
	Share                              cell
}

type connectorRow struct{ Name, Coverage, NowObs string }

type definition struct{ Term, Text string }

// view is a page with every word and number written; the templates only lay it out.
type view struct {
	Lang, Title, Institution, PeriodName, Span, Zone string
	Heading                                          string
	Sentences                                        []string
	Small                                            string // that there are too few requests to rank; empty otherwise
	Grey, GreyPrevious                               bool
	GreyTitle, GreyText                              string
	Tiles                                            []tile
	Groups                                           []group
	Charts                                           []chart
	Days                                             []dayRow
	DayNotes                                         []string
	Risks                                            []riskRow
	RiskHidden, RiskShares                           bool // a tag is hidden; one is shown
	Connectors                                       []connectorRow
	Lag, Models, Spec, Made                          string
	Definitions                                      []definition
	Words                                            map[string]string
}

// writer fills a view; the first unknown key stops it.
type writer struct {
	t   *tongue
	err error
}

func (w *writer) say(key string, args ...any) string {
	text, err := w.t.say(key, args...)
	if err != nil && w.err == nil {
		w.err = err
	}
	return text
}

func (w *writer) view(s Sheet) (*view, error) {
	f := s.Current
	first, last := f.Period.FirstDay(), f.Period.LastDay()
	v := &view{
		Lang: w.t.tag, Title: w.say("title_range"), Institution: f.Institution.Name, Words: w.t.words,
		PeriodName: w.say("span", w.t.date(first), w.t.date(last)),
		Span:       w.say("span", w.t.fullDate(first), w.t.fullDate(last)),
		Zone:       w.say("zone", first.Format("MST"), f.Period.Zone.String()),
		Spec:       w.say("quality_spec_value", s.MetricSpec),
		Made:       w.t.instant(s.MadeAt.In(f.Period.Zone)),
	}
	if f.Period.IsWeek() {
		v.Title = w.say("title")
		year, number := first.ISOWeek()
		v.PeriodName = w.say("period_week", fmt.Sprintf("%d/%d", number, year))
	}
	now, before := measures(f), measures(s.Previous)
	v.Grey = f.Quality.Coverage() < figures.MinCoverage
	v.GreyPrevious = s.Previous.Quality.Coverage() < figures.MinCoverage
	if v.Grey {
		v.GreyTitle = w.say("grey_title")
		v.GreyText = w.say("grey_text", w.coverage(f.Quality.Coverage()))
	}
	w.headline(v, f, s.Previous, now)
	w.tiles(v, now)
	for _, key := range groups() {
		v.Groups = append(v.Groups, w.group(key, f, now, before))
	}
	if err := w.days(v, f); err != nil {
		return nil, err
	}
	w.risks(v, f)
	w.quality(v, f)
	for _, key := range []string{"request", "rate", "incidence", "median", "rmst", "asymmetry", "reciprocity", "gini", "loop", "load", "coverage"} {
		v.Definitions = append(v.Definitions, definition{w.say("d_" + key), w.say("def_" + key)})
	}
	return v, w.err
}

// find returns the measure of that key; measures always lists all.
func find(list []measure, key string) measure {
	return list[slices.IndexFunc(list, func(m measure) bool { return m.key == key })]
}

// headline is what the reader takes away in ten seconds: who got an answer, whether that changed, and how long the wait was.
func (w *writer) headline(v *view, f, previous *figures.Figures, now []measure) {
	rate, median, requests := find(now, "response_rate_24h"), find(now, "km_median_s"), find(now, "requests")
	switch {
	case requests.reason == whyNoCoverage:
		v.Heading = w.say("head_no_coverage")
		return
	case requests.reason == whyFewAuthors:
		v.Heading = w.say("head_few_authors")
		return
	case f.Wait.N == 0:
		v.Heading = w.say("head_no_requests")
		return
	case rate.value == nil:
		v.Heading = w.say("head_no_matured")
	default:
		v.Heading = w.say("head_rate", w.t.share(*rate.value, 0))
		v.Sentences = append(v.Sentences,
			w.say("head_rate_detail", w.t.count(f.Rate24h.Answered), w.t.count(f.Rate24h.N), w.t.share(*rate.lo, 0), w.t.share(*rate.hi, 0)),
			w.comparison(rate, find(measures(previous), "response_rate_24h"), v.Grey || v.GreyPrevious))
	}
	if median.value != nil {
		v.Sentences = append(v.Sentences, w.say("head_wait", w.t.duration(*median.value)))
	} else {
		v.Sentences = append(v.Sentences, w.say("head_not_reached"))
	}
	if f.Wait.N < figures.MinRanked {
		v.Small = w.say("head_small")
	}
}

// comparison says whether a rate differs from the one before by more than chance: Newcombe's interval for the difference, from the two Wilson intervals.
func (w *writer) comparison(now, before measure, incomplete bool) string {
	if before.value == nil || before.lo == nil || now.lo == nil {
		return w.say("head_alone")
	}
	p, q := *now.value, *before.value
	lo := p - q - math.Hypot(p-*now.lo, *before.hi-q)
	hi := p - q + math.Hypot(*now.hi-p, q-*before.lo)
	key := "head_same"
	switch {
	case incomplete:
		key = "head_incomplete"
	case lo > 0:
		key = "head_up"
	case hi < 0:
		key = "head_down"
	}
	return w.say(key, w.t.share(q, 0))
}

func (w *writer) tiles(v *view, now []measure) {
	of := func(key string) measure { return find(now, key) }
	rate := of("response_rate_24h")
	tiles := []struct {
		name string
		m    measure
	}{{"rate", rate}, {"median", of("km_median_s")}, {"rmst", of("rmst_7d_s")}, {"open", of("open")}}
	for _, entry := range tiles {
		m := entry.m
		t := tile{Label: w.say("tile_" + entry.name), English: w.say("tile_" + entry.name + "_en"), Value: w.cell(m)}
		switch {
		case m.value == nil:
		case entry.name == "rate":
			t.Value.Text = w.t.share(*m.value, 0)
			t.Value.Detail = w.say("interval", w.t.share(*m.lo, 0), w.t.share(*m.hi, 0)) + " · " + w.say("n", w.t.count(uint64(*m.n)))
			t.Bar = &bar{At: *m.value * 100, Lo: *m.lo * 100, Width: (*m.hi - *m.lo) * 100}
		case entry.name == "open":
			t.Value.Detail = w.say("tile_of", w.t.count(uint64(*of("requests").value)))
		}
		v.Tiles = append(v.Tiles, t)
	}
}

// cell writes a measure, or a dash and the reason why there is none.
func (w *writer) cell(m measure) cell {
	if m.value == nil {
		c := cell{Text: dash, Reason: w.say(m.reason)}
		if m.reason == whyNotReached {
			c.Text = w.say("not_reached")
		}
		return c
	}
	c := cell{Text: w.number(m.unit, *m.value)}
	var details []string
	if m.lo != nil && m.hi != nil {
		details = append(details, w.say("interval", w.number(m.unit, *m.lo), w.number(m.unit, *m.hi)))
	}
	if m.n != nil {
		details = append(details, w.say("n", w.t.count(uint64(*m.n))))
	}
	c.Detail = strings.Join(details, " · ")
	return c
}

func (w *writer) number(u unit, x float64) string {
	switch u {
	case share:
		return w.t.share(x, 1)
	case seconds:
		return w.t.duration(x)
	case workingSeconds:
		return w.t.workingTime(x)
	case count:
		return w.t.decimals(x, 0)
	case turns:
		return w.t.decimals(x, 1)
	default:
		return w.t.decimals(x, 2)
	}
}

func (w *writer) change(now, before measure) string {
	if now.value == nil || before.value == nil {
		return ""
	}
	text, same := w.number(now.unit, *now.value), w.number(before.unit, *before.value)
	if text == same {
		return w.say("unchanged")
	}
	d := *now.value - *before.value
	if now.unit == share {
		return w.say("points", w.t.signed(w.t.decimals(d*100, 1), d))
	}
	return w.t.signed(w.number(now.unit, d), d)
}

func (w *writer) group(key string, f *figures.Figures, now, before []measure) group {
	g := group{Key: key, Title: w.say("group_" + key)}
	switch key {
	case groupAnswered:
		g.Notes = append(g.Notes, w.say("note_answered"))
	case groupTone:
		note := "note_tone"
		if f.Sentiment.Calibrated {
			note = "note_tone_calibrated"
		}
		g.Notes = append(g.Notes, w.say(note))
	case groupWait:
		g.Notes = append(g.Notes, w.say("note_wait"))
		g.AsideNote = w.say("note_aside")
		if f.Institution.Calendar != "" {
			g.Notes = append(g.Notes, w.say("note_business", f.Institution.Calendar))
		}
	}
	for n, m := range now {
		if m.group != key || m.reason == whyUncalibrated && before[n].value == nil {
			continue
		}
		r := row{Label: w.say("m_" + m.key), Now: w.cell(m), Previous: w.cell(before[n]), Change: w.change(m, before[n]), Aside: m.aside}
		r.Previous.Detail = ""
		g.Rows = append(g.Rows, r)
	}
	return g
}

// days writes the series. A day that no connector read is told apart from a day without messages.
func (w *writer) days(v *view, f *figures.Figures) error {
	volume := plot{name: "volume", title: w.say("chart_volume"), bars: true, lines: []line{{name: w.say("chart_inbound")}, {name: w.say("chart_replies")}}}
	answered := plot{name: "answered", title: w.say("chart_answered"), shares: true, lines: []line{{}}}
	negative := plot{name: "negative", title: w.say("chart_negative"), shares: true, lines: []line{{}}}
	gaps, few := 0, false
	for _, d := range daily(f) {
		label := w.t.dayLabel(d.at)
		for _, p := range []*plot{&volume, &answered, &negative} {
			p.labels = append(p.labels, label)
			p.short = append(p.short, w.t.weekday(d.at))
		}
		volume.lines[0].values = append(volume.lines[0].values, d.inbound.value)
		volume.lines[1].values = append(volume.lines[1].values, d.replies.value)
		answered.lines[0].values = append(answered.lines[0].values, d.answered.value)
		negative.lines[0].values = append(negative.lines[0].values, d.negative.value)
		if d.unread {
			gaps++
		}
		few = few || d.inbound.reason == whyFewAuthorsOn || d.answered.reason == whyFewAuthorsOn || d.negative.reason == whyFewAuthorsOn
		v.Days = append(v.Days, dayRow{label, w.cell(d.inbound), w.cell(d.replies), w.cell(d.answered), w.cell(d.negative)})
	}
	if gaps > 0 {
		v.DayNotes = append(v.DayNotes, w.say("days_gap", w.t.count(uint64(gaps))))
	}
	if few {
		v.DayNotes = append(v.DayNotes, w.say("days_few"))
	}
	for _, p := range []*plot{&volume, &answered, &negative} {
		if len(p.labels) > 7 {
			p.short = p.labels // the names of the days alone would repeat
		}
		p.alt = w.say("chart_alt", p.title)
		c, err := draw(w.t, *p)
		if err != nil {
			return err
		}
		v.Charts = append(v.Charts, c)
	}
	return nil
}

// day is one local day of the series, with every local day of the period present.
type day struct {
	at                                   time.Time
	unread                               bool
	inbound, replies, answered, negative measure
}

func daily(f *figures.Figures) []day {
	byBucket := map[int64]figures.Day{}
	for _, d := range f.Days {
		byBucket[d.Bucket.Unix()] = d
	}
	var list []day
	for at := f.Period.FirstDay(); at.Before(f.Period.To); at = at.AddDate(0, 0, 1) {
		d, read := byBucket[at.Unix()]
		figure := func(key string, u unit, value *float64, authors uint64, any bool, otherwise string) measure {
			m := measure{key: key, unit: u, value: value}
			switch {
			case !read:
				m.value, m.reason = nil, whyNotRead
			case any && authors < figures.MinAuthors:
				m.value, m.reason = nil, whyFewAuthorsOn
			case m.value == nil:
				m.reason = otherwise
			}
			return m
		}
		inbound, replies := float64(d.Inbound), float64(d.Replies)
		list = append(list, day{
			at: at, unread: !read,
			inbound:  figure("inbound", count, &inbound, d.Speakers, d.Inbound > 0, ""),
			replies:  figure("replies", count, &replies, 0, false, ""),
			answered: figure("answered_24h", share, d.Answered24h, d.Requesters, d.Answered24h != nil, whyNoMaturedOn),
			negative: figure("negative_share", share, d.NegativeShare, d.Speakers, d.NegativeShare != nil, whyNoMessages),
		})
	}
	return list
}

// risks writes the tags: those that may be shown by their load, then those that may not by name, so that their order tells nothing.
func (w *writer) risks(v *view, f *figures.Figures) {
	shown, hidden := splitRisks(f)
	for _, r := range shown {
		v.Risks = append(v.Risks, riskRow{
			Label: w.tag(r.Tag), N: w.t.count(r.N), Authors: w.t.count(r.Authors), Severity: w.say("risk_of_five", r.SeverityMax), Load: w.t.decimals(r.Load, 1),
			Share: w.riskShare(r),
		})
	}
	for _, r := range hidden {
		v.Risks = append(v.Risks, riskRow{Label: w.tag(r.Tag), Hidden: w.say(whyFewAuthors)})
	}
	v.RiskHidden, v.RiskShares = len(hidden) > 0, len(shown) > 0
}

// riskShare writes a tag's share of the messages, and whether labels of the stream have corrected it.
func (w *writer) riskShare(r figures.Risk) cell {
	c := w.cell(riskShare(r))
	if r.Share != nil {
		c.Detail += " · " + w.say("risk_"+correction(r))
	}
	return c
}

// riskShare is the measure of a tag's share of the messages.
func riskShare(r figures.Risk) measure {
	n := float64(r.Messages)
	m := measure{key: "risk_share", unit: share, value: r.Share, lo: r.ShareLo, hi: r.ShareHi, n: &n}
	if r.Share == nil {
		m.reason = whyFewMessages
	}
	return m
}

// correction names what a tag's share is.
func correction(r figures.Risk) string {
	if r.Calibrated {
		return "corrected"
	}
	return "raw"
}

func splitRisks(f *figures.Figures) (shown, hidden []figures.Risk) {
	for _, r := range f.Risks {
		if r.Authors < figures.MinAuthors {
			hidden = append(hidden, r)
		} else {
			shown = append(shown, r)
		}
	}
	slices.SortFunc(hidden, func(a, b figures.Risk) int { return cmp.Compare(a.Tag, b.Tag) })
	return shown, hidden
}

// tag names a risk tag; one that this build has no words for is shown as it is.
func (w *writer) tag(key string) string {
	if name, ok := w.t.words["tag_"+key]; ok {
		return name
	}
	return key
}

// coverage never rounds up to a limit that was missed.
func (w *writer) coverage(x float64) string { return w.t.share(math.Floor(x*1000)/1000, 1) }

func (w *writer) quality(v *view, f *figures.Figures) {
	for _, c := range f.Quality.Connectors {
		r := connectorRow{Name: c.Name, Coverage: w.coverage(c.Coverage), NowObs: dash}
		if c.NowObs != nil {
			r.NowObs = w.t.instant(c.NowObs.In(f.Period.Zone))
		}
		v.Connectors = append(v.Connectors, r)
	}
	v.Lag = dash + " (" + w.say("quality_lag_none") + ")"
	if f.Quality.LagP95S != nil {
		v.Lag = w.t.duration(*f.Quality.LagP95S)
	}
	v.Models = dash + " (" + w.say("quality_models_none") + ")"
	if len(f.Quality.ModelVersions) > 0 {
		v.Models = strings.Join(f.Quality.ModelVersions, ", ")
	}
}

// Image is where a chart's SVG goes: the wide drawing and the narrow one, of which the style sheet shows one.
func (c chart) Image() template.HTML { return c.Wide + c.Narrow }
