package page

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/go-analyze/charts"
)

// unknown stands for NULL: a metric that has no value here is never shown as 0.
const unknown = "—"

// Percent prints a share; NULL is a dash.
func Percent(v *float64) string {
	if v == nil {
		return unknown
	}
	return fmt.Sprintf("%.1f %%", 100**v)
}

func decimal(v *float64) string {
	if v == nil {
		return unknown
	}
	return fmt.Sprintf("%.2f", *v)
}

// MedianWait prints the median wait with the unanswered in it, which may not have been reached.
func MedianWait(w Wait) string {
	if w.Median == nil && w.N > 0 {
		return "not reached"
	}
	return Duration(w.Median)
}

// Duration prints seconds in the unit in which people say such a wait; NULL is a dash.
func Duration(seconds *float64) string {
	if seconds == nil {
		return unknown
	}
	s := *seconds
	switch {
	case s < 90:
		return fmt.Sprintf("%.0f s", s)
	case s < 90*60:
		return fmt.Sprintf("%.0f min", s/60)
	case s < 48*3600:
		return fmt.Sprintf("%.1f h", s/3600)
	}
	return fmt.Sprintf("%.1f d", s/86400)
}

// count groups digits by thousands.
func count(v any) string {
	s := fmt.Sprint(v)
	var b strings.Builder
	for i, r := range s {
		if i > 0 && (len(s)-i)%3 == 0 && s[i-1] != '-' {
			b.WriteRune(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// bar is the width of a share's bar, in percent.
func bar(share *float64) string {
	if share == nil {
		return "0"
	}
	return fmt.Sprintf("%.1f", 100*min(max(*share, 0), 1))
}

func tagName(tag string) string { return strings.ReplaceAll(tag, "_", " ") }

func local(in Institution, t time.Time) string { return t.In(in.location()).Format("2 Jan 2006 15:04") }

// dayAfter is the first UTC midnight after t: as a period's end it leaves nothing of the last day out.
func dayAfter(t time.Time) string {
	return t.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1).Format(time.DateOnly)
}

// volumeChart draws what came in against what was answered, by day.
func volumeChart(in Institution, points []Point) (template.HTML, error) {
	inbound, replies := make([]float64, len(points)), make([]float64, len(points))
	for i, p := range points {
		inbound[i], replies[i] = float64(p.Inbound), float64(p.Replies)
	}
	return chart(days(in, points), []line{{"addressed to the institution", accent, inbound}, {"human replies", warm, replies}}, charts.ValueAxisOption{}, 7, 4)
}

// ratesChart draws shares of a day in percent; a day without a value is a gap, not a 0.
func ratesChart(in Institution, points []Point) (template.HTML, error) {
	answered, negative := make([]float64, len(points)), make([]float64, len(points))
	for i, p := range points {
		answered[i], negative[i] = orGap(p.Answered24h), orGap(p.Negative)
	}
	return chart(days(in, points), []line{{"answered within 24 h, %", accent, answered}, {"negative, % (raw)", warm, negative}}, percents, 7, 4)
}

// axis is the time since asking in steps, of which so many make a unit.
type axis struct {
	unit             string
	step             time.Duration
	steps, per, most int
}

// The curve of the wait is drawn as far as the ranking metric looks, or over a day where nothing older is known.
var (
	curveWeek = axis{unit: "d", step: time.Hour, steps: 7 * 24, per: 24, most: 8}
	curveDay  = axis{unit: "h", step: 10 * time.Minute, steps: 24 * 6, per: 6, most: 9}
)

// curveChart draws who still waits, by the time since asking, the unanswered included. The curve is a step function: each value holds until the next one, and
// beyond the last it is unknown.
func curveChart(curve []CurvePoint) (template.HTML, error) {
	if len(curve) == 0 {
		return "", nil
	}
	known := curve[len(curve)-1].T
	a := curveWeek
	if known <= (24 * time.Hour).Seconds() {
		a = curveDay
	}
	var labels []string
	var waiting, lo, hi []float64
	at := 0
	for n := range a.steps + 1 {
		t := float64(n) * a.step.Seconds()
		for at+1 < len(curve) && curve[at+1].T <= t {
			at++
		}
		labels = append(labels, fmt.Sprintf("%d %s", n/a.per, a.unit))
		if t > known {
			waiting, lo, hi = append(waiting, orGap(nil)), append(lo, orGap(nil)), append(hi, orGap(nil))
			continue
		}
		waiting, lo, hi = append(waiting, 100*curve[at].Survival), append(lo, orGap(curve[at].Lo)), append(hi, orGap(curve[at].Hi))
	}
	return chart(labels, []line{{"still without an answer, %", accent, waiting}, {"95 % interval", pale, lo}, {"", pale, hi}}, percents, a.most, a.most)
}

// Colours of the charts, as in the style sheet.
const accent, warm, pale = "#0f766e", "#c2410c", "#a9c9c5"

// percents is an axis from 0 to 100.
var percents = charts.ValueAxisOption{Max: charts.Ptr(100.0), Unit: 25, LabelCount: 5}

func orGap(share *float64) float64 {
	if share == nil {
		return charts.GetNullValue()
	}
	return 100 * *share
}

func days(in Institution, points []Point) []string {
	labels := make([]string, len(points))
	for i, p := range points {
		labels[i] = p.Bucket.In(in.location()).Format("2 Jan")
	}
	return labels
}

// line is one line of a chart; without a name it is not in the key.
type line struct {
	name, color string
	values      []float64
}

// chart draws lines, once for a desk and once for a phone, where the letters of the first would be unreadable; the style sheet shows one of them. wide and
// narrow are how many of the labels are written.
func chart(labels []string, lines []line, axis charts.ValueAxisOption, wide, narrow int) (template.HTML, error) {
	if len(labels) == 0 {
		return "", nil
	}
	axis.Min = charts.Ptr(0.0)
	var out strings.Builder
	out.WriteString(`<p class="key small">`)
	var data [][]float64
	var colors []charts.Color
	for _, l := range lines {
		data, colors = append(data, l.values), append(colors, charts.ColorFromHex(l.color))
		if l.name != "" {
			fmt.Fprintf(&out, `<span><i style="background:%s"></i>%s</span> `, l.color, template.HTMLEscapeString(l.name))
		}
	}
	out.WriteString("</p>")
	for _, size := range []struct {
		class                 string
		width, height, labels int
	}{{"wide", 900, 280, wide}, {"narrow", 420, 260, narrow}} {
		opt := charts.NewLineChartOptionWithData(data)
		opt.XAxis.Labels, opt.XAxis.LabelCount = labels, size.labels
		opt.XAxis.BoundaryGap = charts.Ptr(false) // a label stands under its point
		opt.YAxis[0] = axis
		opt.Legend.Show = charts.Ptr(false) // the library measures names in another font than the browser's
		opt.LineStrokeWidth = 2
		opt.Symbol = charts.Symbol{Shape: charts.SymbolNone}
		opt.Theme = charts.GetTheme(charts.ThemeLight).WithSeriesColors(colors)
		p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: size.width, Height: size.height})
		if err := p.LineChart(opt); err != nil {
			return "", fmt.Errorf("drawing a chart: %w", err)
		}
		svg, err := p.Bytes()
		if err != nil {
			return "", fmt.Errorf("drawing a chart: %w", err)
		}
		fmt.Fprintf(&out, `<div class="%s">%s</div>`, size.class, svg)
	}
	// The numbers and dates in it are ours; no text of a message or a person reaches a chart.
	return template.HTML(out.String()), nil //nolint:gosec
}
