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

// volumeChart draws what came in against what was answered, a bar pair a day.
func volumeChart(in Institution, points []Point) (template.HTML, error) {
	inbound, replies := make([]float64, len(points)), make([]float64, len(points))
	for i, p := range points {
		inbound[i], replies[i] = float64(p.Inbound), float64(p.Replies)
	}
	return chart(in, points, [][]float64{inbound, replies}, []string{"addressed to the institution", "human replies"}, nil)
}

// ratesChart draws shares of a day in percent; a day without a value is a gap, not a 0.
func ratesChart(in Institution, points []Point) (template.HTML, error) {
	answered, negative := make([]float64, len(points)), make([]float64, len(points))
	for i, p := range points {
		answered[i], negative[i] = orGap(p.Answered24h), orGap(p.Negative)
	}
	top := 100.0
	return chart(in, points, [][]float64{answered, negative}, []string{"answered within 24 h, %", "negative, % (raw)"}, &top)
}

func orGap(share *float64) float64 {
	if share == nil {
		return charts.GetNullValue()
	}
	return 100 * *share
}

func chart(in Institution, points []Point, series [][]float64, names []string, top *float64) (template.HTML, error) {
	if len(points) == 0 {
		return "", nil
	}
	labels := make([]string, len(points))
	for i, p := range points {
		labels[i] = p.Bucket.In(in.location()).Format("2 Jan")
	}
	opt := charts.NewLineChartOptionWithData(series)
	opt.XAxis.Labels = labels
	opt.XAxis.LabelCount = 7
	opt.Legend.SeriesNames = names
	opt.Legend.Offset = charts.OffsetLeft
	opt.LineStrokeWidth = 2
	opt.Symbol = charts.Symbol{Shape: charts.SymbolNone}
	zero := 0.0
	opt.YAxis[0].Min = &zero
	opt.YAxis[0].Max = top
	opt.Theme = charts.GetTheme(charts.ThemeLight).WithSeriesColors([]charts.Color{charts.ColorFromHex("#0f766e"), charts.ColorFromHex("#c2410c")})
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: 900, Height: 280})
	if err := p.LineChart(opt); err != nil {
		return "", fmt.Errorf("drawing a chart: %w", err)
	}
	svg, err := p.Bytes()
	if err != nil {
		return "", fmt.Errorf("drawing a chart: %w", err)
	}
	// The numbers and dates in it are ours; no text of a message or a person reaches a chart.
	return template.HTML(svg), nil //nolint:gosec
}
