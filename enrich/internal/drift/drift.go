// Package drift watches whether a stream still looks like what the model learnt from: the population stability index (PSI) of its scores and of plain features of its texts,
// by institution, against a reference that the same classifier answered.
package drift

import (
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/schemas/event"
)

// Observation is what is watched of one message.
type Observation struct {
	// numbers are in the order of signals.
	numbers [signalCount]float64
	lang    string
}

const signalCount = 8

// signals are scores, then features.
var signals = [signalCount]string{"p_negative", "p_positive", "p_needs_reply", "toxicity", "p_risk", "words", "question_marks", "links"}

// language is the signal that is a class and no number.
const language = "language"

// Observe returns what is watched of a message and its answer.
func Observe(m *event.Message, e *event.Enrichment) Observation {
	risk := float32(0)
	for _, t := range e.RiskP {
		risk = max(risk, t.P)
	}
	links := strings.Count(m.Text, "http://") + strings.Count(m.Text, "https://")
	return Observation{lang: e.Lang, numbers: [signalCount]float64{
		float64(e.PNegative), float64(e.PPositive), float64(e.PNeedsReply), float64(e.Toxicity), float64(risk),
		float64(len(strings.Fields(m.Text))), float64(min(strings.Count(m.Text, "?"), 3)), float64(min(links, 3)),
	}}
}

const (
	bins = 10
	// Fewest is how many messages of a stream it takes before anything is said of it.
	Fewest = 500
	// half of a window; it holds the last one to two halves.
	half = 5_000
)

// Reference is the distribution that streams are compared with.
type Reference struct {
	// edges are the inner borders of the bins of each signal: the reference's own quantiles, equal ones folded.
	edges  [signalCount][]float64
	share  [signalCount][]float64
	langs  map[string]int
	spoken []float64
}

// NewReference returns the reference of observations.
func NewReference(observations []Observation) *Reference {
	r := &Reference{langs: map[string]int{}}
	for s := range signals {
		values := make([]float64, len(observations))
		for i := range observations {
			values[i] = observations[i].numbers[s]
		}
		slices.Sort(values)
		for b := 1; b < bins && len(values) > 0; b++ {
			edge := values[len(values)*b/bins]
			if n := len(r.edges[s]); n == 0 || edge > r.edges[s][n-1] {
				r.edges[s] = append(r.edges[s], edge)
			}
		}
	}
	for i := range observations {
		if _, known := r.langs[observations[i].lang]; !known {
			r.langs[observations[i].lang] = len(r.langs)
		}
	}
	c := newCounts(r)
	for i := range observations {
		c.add(r, &observations[i])
	}
	for s := range signals {
		r.share[s] = shares(c.numbers[s])
	}
	r.spoken = shares(c.langs)
	return r
}

// counts are those of the bins.
type counts struct {
	n       int
	numbers [signalCount][]float64
	// langs has a place more than the reference knows, for all others.
	langs []float64
}

func newCounts(r *Reference) *counts {
	c := &counts{langs: make([]float64, len(r.langs)+1)}
	for s := range signals {
		c.numbers[s] = make([]float64, len(r.edges[s])+1)
	}
	return c
}

func (c *counts) add(r *Reference, o *Observation) {
	c.n++
	for s, v := range o.numbers {
		at, found := slices.BinarySearch(r.edges[s], v)
		if found {
			at++ // a bin begins at its edge
		}
		c.numbers[s][at]++
	}
	at, known := r.langs[o.lang]
	if !known {
		at = len(r.langs)
	}
	c.langs[at]++
}

// shares smooths by half a message a bin, so that an empty bin has no infinite index.
func shares(counts []float64) []float64 {
	total := 0.0
	for _, n := range counts {
		total += n + 0.5
	}
	out := make([]float64, len(counts))
	for i, n := range counts {
		out[i] = (n + 0.5) / total
	}
	return out
}

// index is the PSI: the sum over bins of (actual - expected) ln(actual / expected). It is 0 for equal distributions.
func index(actual, expected []float64) float64 {
	sum := 0.0
	for i := range actual {
		sum += (actual[i] - expected[i]) * math.Log(actual[i]/expected[i])
	}
	return sum
}

// Monitor watches streams. It is safe for concurrent use, and a prometheus.Collector.
type Monitor struct {
	reference func(institution string) *Reference
	desc      *prometheus.Desc

	mu      sync.Mutex
	streams map[string]*stream
}

type stream struct {
	reference    *Reference
	now, earlier *counts
}

// NewMonitor returns a monitor; reference gives the reference of an institution when its first message comes.
func NewMonitor(reference func(institution string) *Reference) *Monitor {
	return &Monitor{
		reference: reference, streams: map[string]*stream{},
		desc: prometheus.NewDesc("dwiarah_enrich_drift_psi", "Population stability index of a score or feature over an institution's last 5,000 to 10,000 messages, against the texts of the code book that the model learnt from. Absent under 500 messages.", []string{"institution", "signal"}, nil),
	}
}

// Add counts a message.
func (m *Monitor) Add(institution string, o Observation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.streams[institution]
	if s == nil {
		r := m.reference(institution)
		s = &stream{reference: r, now: newCounts(r), earlier: newCounts(r)}
		m.streams[institution] = s
	}
	if s.now.n >= half {
		s.now, s.earlier = newCounts(s.reference), s.now
	}
	s.now.add(s.reference, &o)
}

// Indexes returns the PSI of each signal of an institution's stream; nil under Fewest messages.
func (m *Monitor) Indexes(institution string) map[string]float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.streams[institution].indexes()
}

func (s *stream) indexes() map[string]float64 {
	if s == nil || s.now.n+s.earlier.n < Fewest {
		return nil
	}
	sum := func(a, b []float64) []float64 {
		out := slices.Clone(a)
		for i := range b {
			out[i] += b[i]
		}
		return shares(out)
	}
	out := map[string]float64{language: index(sum(s.now.langs, s.earlier.langs), s.reference.spoken)}
	for i, name := range signals {
		out[name] = index(sum(s.now.numbers[i], s.earlier.numbers[i]), s.reference.share[i])
	}
	return out
}

// Describe implements prometheus.Collector.
func (m *Monitor) Describe(descs chan<- *prometheus.Desc) { descs <- m.desc }

// Collect implements prometheus.Collector.
func (m *Monitor) Collect(metrics chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for institution, s := range m.streams {
		for signal, v := range s.indexes() {
			metrics <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, v, institution, signal)
		}
	}
}
