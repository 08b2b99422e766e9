package page

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/dwiarah/dwiarah/sink/internal/report/figures"
	"github.com/dwiarah/dwiarah/sink/internal/report/period"
)

// Comparison is what the page over all institutions is made of: their figures over one and the same period, whose zone the page names.
type Comparison struct {
	Period       period.Period
	Institutions []*figures.Figures
	MadeAt       time.Time
	MetricSpec   string
	Language     string
}

// ranking is one line of the comparison.
type ranking struct {
	Rank                         int // 0 where the institution is not ranked
	Name, Reason, Coverage       string
	Requests, Rate, Median, Mean cell

	figures            *figures.Figures
	rate, median, mean measure
}

type comparisonView struct {
	Lang, Title, PeriodName, Span, Zone, Spec, Made string
	Note                                            string
	Ranked, Unranked                                []ranking
	Definitions                                     []definition
	Words                                           map[string]string
}

// RenderComparison writes the page over all institutions. Only those with enough requests and enough coverage get a rank; the others are listed with the reason.
func RenderComparison(c Comparison) (*Document, error) {
	t, err := speak(c.Language)
	if err != nil {
		return nil, err
	}
	w := &writer{t: t}
	first, last := c.Period.FirstDay(), c.Period.LastDay()
	v := &comparisonView{
		Lang: t.tag, Title: w.say("compare_title"), Words: t.words, Note: w.say("compare_note"),
		PeriodName: w.say("span", t.date(first), t.date(last)),
		Span:       w.say("span", t.fullDate(first), t.fullDate(last)),
		Zone:       w.say("zone", first.Format("MST"), c.Period.Zone.String()),
		Spec:       w.say("quality_spec_value", c.MetricSpec),
		Made:       t.instant(c.MadeAt.In(c.Period.Zone)),
	}
	if c.Period.IsWeek() {
		year, number := first.ISOWeek()
		v.PeriodName = w.say("period_week", fmt.Sprintf("%d/%d", number, year))
	}
	for _, f := range c.Institutions {
		r := w.ranking(f)
		if r.Reason == "" {
			v.Ranked = append(v.Ranked, r)
		} else {
			v.Unranked = append(v.Unranked, r)
		}
	}
	slices.SortStableFunc(v.Ranked, func(a, b ranking) int {
		return cmp.Or(cmp.Compare(*a.mean.value, *b.mean.value), cmp.Compare(a.Name, b.Name))
	})
	for n := range v.Ranked {
		v.Ranked[n].Rank = n + 1
		// Equal means share a rank.
		if n > 0 && *v.Ranked[n].mean.value == *v.Ranked[n-1].mean.value {
			v.Ranked[n].Rank = v.Ranked[n-1].Rank
		}
	}
	for _, key := range []string{"rate", "median", "rmst", "coverage"} {
		v.Definitions = append(v.Definitions, definition{w.say("d_" + key), w.say("def_" + key)})
	}
	if w.err != nil {
		return nil, fmt.Errorf("writing the comparison: %w", w.err)
	}
	d := &Document{Subject: v.Title + ", " + v.PeriodName}
	if err := d.fill(v, "comparison"); err != nil {
		return nil, fmt.Errorf("writing the comparison: %w", err)
	}
	if d.CSV, err = comparisonCSV(c, append(slices.Clone(v.Ranked), v.Unranked...)); err != nil {
		return nil, fmt.Errorf("writing the comparison: %w", err)
	}
	return d, nil
}

func (w *writer) ranking(f *figures.Figures) ranking {
	list := measures(f)
	r := ranking{
		Name: f.Institution.Name, figures: f, Coverage: w.coverage(f.Quality.Coverage()),
		rate: find(list, "response_rate_24h"), median: find(list, "km_median_s"), mean: find(list, "rmst_7d_s"),
	}
	r.Rate, r.Median, r.Mean, r.Requests = w.cell(r.rate), w.cell(r.median), w.cell(r.mean), w.cell(find(list, "requests"))
	switch {
	case r.mean.value == nil:
		r.Reason = w.say(r.mean.reason)
	case f.Wait.N < figures.MinRanked:
		r.Reason = w.say("compare_why_n")
	case f.Quality.Coverage() < figures.MinCoverage:
		r.Reason = w.say("compare_why_cover", r.Coverage)
	}
	return r
}

func comparisonCSV(c Comparison, list []ranking) ([]byte, error) {
	t := &table{}
	for _, r := range list {
		t.identity = newTable(r.figures, c.MetricSpec).identity
		rank := measure{unit: count}
		if r.Rank > 0 {
			x := float64(r.Rank)
			rank.value = &x
		}
		t.add("comparison", "rank", "", rank, nil, r.Reason)
		for _, m := range []measure{r.mean, r.rate, r.median} {
			t.add("comparison", m.key, "", m, nil, csvNote(m))
		}
	}
	return t.bytes()
}
