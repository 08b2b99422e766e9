package model

import (
	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

// A network is run in integers. The vector of a token is rounded to 7 bits on a scale of its own and the taps to 8. What a token gives to each filter is then
// rounded to 13 bits, four to a machine word, which are added and compared together.
const (
	vectorTop, vectorBias = 63, 64
	tapTop, tapBias       = 127, 128

	answerBias = 1 << 12
	answerTop  = answerBias - 1
	allLanes   = 0x0001_0001_0001_0001
)

// networkTaps are the taps of a network as its scorers read them.
type networkTaps struct {
	// rounded has the taps of dotAnswers answers at a time (to each filter at each place of the window, then to each label), two dimensions of each answer side by side.
	rounded []int16
	// scale is that of each answer.
	scale []float32
}

func newNetworkTaps(n *Network) networkTaps {
	size := n.shareSize()
	t := networkTaps{rounded: make([]int16, (size+dotAnswers-1)/dotAnswers*dotAnswers*n.Dims), scale: make([]float32, size)}
	for o := range size {
		w := n.answerTaps(o)
		top := float32(0)
		for _, v := range w {
			top = max(top, v, -v)
		}
		if top == 0 {
			continue
		}
		t.scale[o] = top / tapTop
		for d, v := range w {
			t.rounded[o/dotAnswers*dotAnswers*n.Dims+d/2*2*dotAnswers+o%dotAnswers*2+d%2] = int16(int32(v/t.scale[o]+tapBias+0.5) - tapBias)
		}
	}
	return t
}

// answerTaps are the taps of one answer, in the order of networkTaps.
func (n *Network) answerTaps(o int) []float32 {
	if o < NetworkWindow*n.Filters {
		place, filter := o/n.Filters, o%n.Filters
		at := (filter*NetworkWindow + place) * n.Dims
		return n.Taps[at : at+n.Dims]
	}
	at := (o-NetworkWindow*n.Filters)*(n.Filters+n.Dims) + n.Filters
	return n.Out[at : at+n.Dims]
}

// shareSize is how many answers a token has: to each filter at each place in the window, then to each label through the mean vector.
func (n *Network) shareSize() int { return NetworkWindow*n.Filters + n.Labels }

// networkMetBits is the binary logarithm of how many tokens a network keeps the shares of.
const networkMetBits = 15

// networkScorer runs a network, keeping the shares of tokens that it met; that changes no result.
type networkScorer struct {
	n    *Network
	taps networkTaps
	met  metWords
	// filters and labels are the shares of the tokens that were met: what each gives to each filter at each place of the window, in lanes, and to each label.
	filters []uint64
	labels  []float32
	// found are the slots of the tokens that are not yet added up.
	found []int

	rows   []uint32
	sum    []int16
	vector []int16
	dots   []int32
	// open are the answers at the token before, which lack what the next one gives; next are those at the next one, which have what it got before.
	open, next, top []uint64
	hidden          []float32
	mean            []float32
	scores          []float64
}

func newNetworkScorer(n *Network) *networkScorer {
	words, taps := n.Filters/lanes, newNetworkTaps(n)
	return &networkScorer{n: n, taps: taps, met: newMetWords(networkMetBits),
		filters: table(NetworkWindow * words << networkMetBits), labels: make([]float32, n.Labels<<networkMetBits),
		rows: make([]uint32, 0, text.MaxGrams+1),
		sum:  make([]int16, n.Dims), vector: make([]int16, n.Dims), dots: make([]int32, len(taps.rounded)/n.Dims),
		open: make([]uint64, words), next: make([]uint64, words), top: make([]uint64, words),
		hidden: make([]float32, n.Filters), mean: make([]float32, n.Labels), scores: make([]float64, n.Labels)}
}

// filtersIn is what the token in a slot gives to the filters, labelsIn what it gives to the labels.
func (s *networkScorer) filtersIn(slot int) []uint64 {
	words := NetworkWindow * len(s.top)
	return s.filters[slot*words:][:words]
}

func (s *networkScorer) labelsIn(slot int) []float32 { return s.labels[slot*s.n.Labels:][:s.n.Labels] }

// compute finds the share of a token.
func (s *networkScorer) compute(d *text.Doc, t text.Token, filters []uint64, labels []float32) {
	scale := s.readVector(d, t)
	answers := NetworkWindow * s.n.Filters
	unit := answerTop / s.n.Top
	dotAll(s.dots, s.taps.rounded, s.vector)
	clear(filters)
	for o, tapScale := range s.taps.scale {
		v := float32(s.dots[o]) * tapScale * scale
		if o >= answers {
			labels[o-answers] = v
			continue
		}
		v = min(max(v*unit, -answerTop), answerTop)
		filters[o/lanes] |= uint64(int32(v+answerBias+0.5)) << (o % lanes * 16)
	}
}

// readVector finds the vector of a token and returns its scale.
func (s *networkScorer) readVector(d *text.Doc, t text.Token) float32 {
	n := s.n
	s.rows = NetworkRows(d, t, n.Bits, s.rows[:0])
	// No word has rows enough to fill 16 bits.
	addBytes(s.sum, n.Rows, s.rows)
	top := int32(0)
	for _, v := range s.sum {
		top = max(top, int32(v), -int32(v))
	}
	stretch := vectorTop / float32(max(top, 1))
	for i, v := range s.sum {
		s.vector[i] = int16(int32(float32(v)*stretch+vectorBias+0.5) - vectorBias)
	}
	return n.RowScale / float32(len(s.rows)) / stretch
}

// score computes the score of each label, their mean taken off, since only differences count. Hashes are those of the tokens.
func (s *networkScorer) score(d *text.Doc, hashes []uint64) {
	const nothing = answerBias * allLanes
	clear(s.mean)
	clear(s.open)
	for k := range s.next {
		s.next[k] = nothing
	}
	tokens := d.Tokens[:min(len(d.Tokens), maxNetworkTokens)]
	s.met.touch(hashes[:len(tokens)])
	for i, t := range tokens {
		slot, met := s.met.find(hashes[i])
		if !met {
			// The slot may be one of those found.
			s.hearFound()
			s.compute(d, t, s.filtersIn(slot), s.labelsIn(slot))
			s.met.keep(slot, hashes[i])
		}
		s.found = append(s.found, slot)
		if i == 0 {
			// Before the first token there is none for a filter to answer at.
			s.hearFound()
			clear(s.top)
		}
	}
	s.hearFound()
	if len(tokens) > 0 {
		for k, v := range s.open {
			s.top[k] = larger(s.top[k], v+nothing)
		}
	}
	s.readLabels(len(tokens))
}

// hearFound adds what the tokens found give, in their order.
func (s *networkScorer) hearFound() {
	hearTokens(s.top, s.open, s.next, s.filters, s.found)
	for _, slot := range s.found {
		for l, v := range s.labelsIn(slot) {
			s.mean[l] += v
		}
	}
	s.found = s.found[:0]
}

// readLabels turns the largest answers of the filters and the mean vector into scores.
func (s *networkScorer) readLabels(tokens int) {
	n := s.n
	unit := n.Top / answerTop
	for f := range s.hidden {
		answer := int32(uint16(s.top[f/lanes]>>(f%lanes*16))) - NetworkWindow*answerBias
		s.hidden[f] = max(float32(answer)*unit+n.TapBias[f], 0)
	}
	if tokens == 0 {
		clear(s.hidden)
	}
	total := 0.0
	for l := range s.scores {
		s.scores[l] = float64(Dot(s.hidden, n.Out[l*(n.Filters+n.Dims):][:n.Filters]) + n.OutBias[l] + s.mean[l]/float32(max(tokens, 1)))
		total += s.scores[l]
	}
	for l := range s.scores {
		s.scores[l] -= total / float64(n.Labels)
	}
}
