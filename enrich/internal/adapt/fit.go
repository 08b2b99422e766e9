// Package adapt fits a head to one institution's stream from a few hundred labels of people: a correction on top of the head's own answer, kept apart from the
// model, versioned and reversible.
package adapt

import (
	"math"
)

// Features are what a correction sees of a text.
type Features struct {
	// Base are the head's own log-probabilities, one a label.
	Base []float64
	// Signals are what the other heads say.
	Signals []float64
	// Words are hashes of the text's words and pairs of words.
	Words []uint32
}

// Example is a text with the label that a person gave it.
type Example struct {
	Features
	Gold int
	// Own is the label that the head itself gives.
	Own int
	// Weight is how much the text counts beside a random draw of the stream.
	Weight float64
	// Group holds together what must not be parted by a fold: copies of one text.
	Group uint64
}

const (
	wordBits = 12
	wordRows = 1 << wordBits
)

// Correction turns a head's log-probabilities into those of the stream: softmax of (Slope * base + Bias + Signals * signals + Words * words).
type Correction struct {
	Slope float64   `json:"slope"`
	Bias  []float64 `json:"bias"`
	// Signals has a row a label; nil where the labels were too few to say more than Slope and Bias.
	Signals [][]float64 `json:"signals,omitempty"`
	// Words has a row of weights, one a label, for each bucket that matters.
	Words map[uint32][]float32 `json:"words,omitempty"`
}

// Apply writes the corrected probabilities into p.
func (c *Correction) Apply(f Features, p []float64) {
	for k := range p {
		p[k] = c.Slope*f.Base[k] + c.Bias[k]
		if c.Signals != nil {
			for d, s := range f.Signals {
				p[k] += c.Signals[k][d] * s
			}
		}
	}
	if c.Words != nil && len(f.Words) > 0 {
		scale := 1 / math.Sqrt(float64(len(f.Words)))
		for _, h := range f.Words {
			for k, w := range c.Words[h>>(32-wordBits)] {
				p[k] += scale * float64(w)
			}
		}
	}
	softmax(p)
}

func softmax(p []float64) {
	top := math.Inf(-1)
	for _, z := range p {
		top = max(top, z)
	}
	total := 0.0
	for k := range p {
		p[k] = math.Exp(p[k] - top)
		total += p[k]
	}
	for k := range p {
		p[k] /= total
	}
}

// strength is how strongly a fit is held to the head's own answer: the penalties on what it may learn from signals and from words; 0 means not at all allowed.
type strength struct{ signals, words float64 }

// strengths are tried in this order, the most cautious first.
var strengths = []strength{{0, 0}, {10, 0}, {3, 0}, {1, 0}, {3, 3}, {3, 1}, {1, 0.3}}

const (
	rounds      = 250
	rate        = 0.05
	slopeWeight = 1.0
	biasWeight  = 0.05
)

// fit minimises the weighted log loss plus s's penalties (Gaussian priors around the head's own answer) by Adam; the problem is convex. The same examples give the same correction.
func fit(examples []Example, labels int, s strength) *Correction {
	if len(examples) == 0 {
		return &Correction{Slope: 1, Bias: make([]float64, labels)}
	}
	dims := 0
	if s.signals > 0 {
		dims = len(examples[0].Signals)
	}
	rows := 0
	if s.words > 0 {
		rows = wordRows
	}
	// The parameters in one vector: slope, biases, signals by label, words by bucket and label.
	signalsAt, wordsAt := 1+labels, 1+labels+labels*dims
	n := wordsAt + rows*labels
	x, gradient, first, second := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	x[0] = 1
	total := 0.0
	for i := range examples {
		total += examples[i].Weight
	}
	// The penalties are those of as many examples as there are, whatever their weights sum to.
	unit := total / float64(len(examples))
	p := make([]float64, labels)
	for t := 1; t <= rounds; t++ {
		clear(gradient)
		for i := range examples {
			e := &examples[i]
			scale := 0.0
			if len(e.Words) > 0 {
				scale = 1 / math.Sqrt(float64(len(e.Words)))
			}
			for k := range p {
				p[k] = x[0]*e.Base[k] + x[1+k]
				for d := range dims {
					p[k] += x[signalsAt+k*dims+d] * e.Signals[d]
				}
			}
			if rows > 0 {
				for _, h := range e.Words {
					at := wordsAt + int(h>>(32-wordBits))*labels
					for k := range p {
						p[k] += scale * x[at+k]
					}
				}
			}
			softmax(p)
			p[e.Gold]--
			for k := range p {
				g := p[k] * e.Weight
				p[k] = g
				gradient[0] += g * e.Base[k]
				gradient[1+k] += g
				for d := range dims {
					gradient[signalsAt+k*dims+d] += g * e.Signals[d]
				}
			}
			if rows > 0 {
				for _, h := range e.Words {
					at := wordsAt + int(h>>(32-wordBits))*labels
					for k := range p {
						gradient[at+k] += scale * p[k]
					}
				}
			}
		}
		gradient[0] += unit * slopeWeight * (x[0] - 1)
		for k := range labels {
			gradient[1+k] += unit * biasWeight * x[1+k]
		}
		for j := signalsAt; j < wordsAt; j++ {
			gradient[j] += unit * s.signals * x[j]
		}
		for j := wordsAt; j < n; j++ {
			gradient[j] += unit * s.words * x[j]
		}
		adam(x, gradient, first, second, total, t)
	}
	c := &Correction{Slope: x[0], Bias: x[1:signalsAt]}
	for k := range labels {
		if dims > 0 {
			c.Signals = append(c.Signals, x[signalsAt+k*dims:signalsAt+(k+1)*dims])
		}
	}
	if rows > 0 {
		c.Words = map[uint32][]float32{}
		for b := range rows {
			row, any := make([]float32, labels), false
			for k := range row {
				row[k] = float32(x[wordsAt+b*labels+k])
				any = any || math.Abs(float64(row[k])) > 1e-4
			}
			if any {
				c.Words[uint32(b)] = row
			}
		}
	}
	return c
}

// adam moves x one step against the gradient (Kingma and Ba 2015), the step shrinking over the rounds so that x comes to rest.
func adam(x, gradient, first, second []float64, total float64, t int) {
	const decay1, decay2 = 0.9, 0.99
	warm1, warm2 := 1-math.Pow(decay1, float64(t)), 1-math.Pow(decay2, float64(t))
	step := rate * (1 - 0.9*float64(t)/rounds)
	for j := range x {
		g := gradient[j] / total
		if g == 0 && first[j] == 0 {
			continue
		}
		first[j] = decay1*first[j] + (1-decay1)*g
		second[j] = decay2*second[j] + (1-decay2)*g*g
		x[j] -= step * (first[j] / warm1) / (math.Sqrt(second[j]/warm2) + 1e-9)
	}
}
