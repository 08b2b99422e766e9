package page

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"regexp"
	"strings"

	"github.com/go-analyze/charts"
)

// chart is one drawing of a page: twice as SVG, since the letters of one that fits a desk would be unreadable on a phone, and once as PNG, since mail
// programs do not draw SVG.
type chart struct {
	Name         string // of the image in a mail
	Title        string
	Wide, Narrow template.HTML
	PNG          []byte
	Empty        bool
}

type line struct {
	name   string
	values []*float64 // nil where there is nothing to draw
}

// plot is what a chart shows.
type plot struct {
	name, title, alt string
	labels, short    []string // short ones for a phone
	lines            []line
	bars             bool
	shares           bool // the value axis is 0 to 1 and written in per cent
}

var palette = []charts.Color{charts.ColorFromHex("#1f4e79"), charts.ColorFromHex("#d0720a")}

func theme(colors []charts.Color) charts.ColorPalette {
	return charts.MakeTheme(charts.ThemeOption{
		AxisStrokeColor: charts.ColorFromHex("#7b8794"), AxisSplitLineColor: charts.ColorFromHex("#e4e9ee"),
		BackgroundColor: charts.ColorWhite, TextColor: charts.ColorFromHex("#323f4b"), SeriesColors: colors,
	})
}

func draw(t *tongue, p plot) (chart, error) {
	c := chart{Name: p.name, Title: p.title, Empty: true}
	for _, l := range p.lines {
		for _, v := range l.values {
			c.Empty = c.Empty && v == nil
		}
	}
	if c.Empty {
		return c, nil
	}
	for _, size := range []struct {
		into          *template.HTML
		class         string
		labels        []string
		width, height int
	}{{&c.Wide, "wide", p.labels, 700, 230}, {&c.Narrow, "narrow", p.short, 350, 220}} {
		b, err := p.render(t, charts.ChartOutputSVG, size.labels, size.width, size.height, 1)
		if err != nil {
			return c, fmt.Errorf("drawing the chart %s: %w", p.name, err)
		}
		*size.into = inline(b, size.class, p.alt)
	}
	b, err := p.render(t, charts.ChartOutputPNG, p.labels, 1120, 460, 2)
	if err != nil {
		return c, fmt.Errorf("drawing the chart %s: %w", p.name, err)
	}
	c.PNG = b
	return c, nil
}

var namespaces = regexp.MustCompile(` xmlns(:xlink)?="[^"]*"`)

// inline makes an SVG document part of an HTML page. Its texts are dates and words of this package, never of the public, and the library escapes none;
// alt is escaped here.
func inline(svg []byte, class, alt string) template.HTML {
	open, rest, _ := strings.Cut(string(svg), ">")
	open = namespaces.ReplaceAllString(open, "")
	open = strings.Replace(open, "<svg", `<svg class="`+class+`" role="img" aria-label="`+html.EscapeString(alt)+`"`, 1)
	return template.HTML(open + ">" + rest)
}

func (p plot) render(t *tongue, format string, labels []string, width, height int, scale float64) ([]byte, error) {
	letters := charts.FontStyle{FontSize: 9.5 * scale}
	data := make([][]float64, len(p.lines))
	names := make([]string, len(p.lines))
	top := 0.0
	for n, l := range p.lines {
		names[n] = l.name
		for _, v := range l.values {
			if v == nil {
				data[n] = append(data[n], charts.GetNullValue())
				continue
			}
			data[n] = append(data[n], *v)
			top = max(top, *v)
		}
	}
	write := func(x float64) string { return t.decimals(x, 0) }
	high, step := wholeScale(top)
	if p.shares {
		write = func(x float64) string { return t.share(x, 0) }
		high, step = 1, 0.25
	}
	axis := charts.ValueAxisOption{Min: charts.Ptr(0.0), Max: charts.Ptr(high), Unit: step, LabelCount: int(high/step) + 1, LabelFontStyle: letters, ValueFormatter: write}
	legend := charts.LegendOption{SeriesNames: names, FontStyle: letters, Show: charts.Ptr(len(names) > 1)}
	pad := int(10 * scale)
	padding := charts.Box{Top: pad, Right: pad, Bottom: pad / 2, Left: pad / 2, IsSet: true}
	painter := charts.NewPainter(charts.PainterOptions{OutputFormat: format, Width: width, Height: height})
	var err error
	if p.bars {
		o := charts.NewBarChartOptionWithData(data)
		o.Theme, o.Padding, o.Legend, o.ValueFormatter = theme(palette), padding, legend, write
		o.ValueAxis = []charts.ValueAxisOption{axis}
		o.CategoryAxis.Labels, o.CategoryAxis.LabelFontStyle = labels, letters
		err = painter.BarChart(o)
	} else {
		o := charts.NewLineChartOptionWithData(data)
		o.Theme, o.Padding, o.Legend, o.ValueFormatter = theme(palette[:1]), padding, legend, write
		o.YAxis = []charts.YAxisOption{axis}
		o.XAxis.Labels, o.XAxis.LabelFontStyle = labels, letters
		o.LineStrokeWidth = 2 * scale
		o.Symbol = charts.Symbol{Shape: charts.SymbolDot, Size: 4 * scale}
		err = painter.LineChart(o)
	}
	if err != nil {
		return nil, err
	}
	return painter.Bytes()
}

// wholeScale returns the end and the step of an axis of counts up to top: at most five steps, each 1, 2 or 5 times a power of ten.
func wholeScale(top float64) (end, step float64) {
	step = 1
	for n := 0; step*5 < top; n++ {
		step = []float64{1, 2, 5}[(n+1)%3] * math.Pow10((n+1)/3)
	}
	return max(step, math.Ceil(top/step)*step), step
}
