package model

import (
	"encoding/binary"

	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

// A network is run in integers, several in one machine word. The vector of a token is rounded to 7 bits on a scale of its own and the taps to 8; three
// answers at a time are multiplied in fields of 21 bits. What a token gives to each filter is then rounded to 13 bits, four to a word, which are
// added and compared together.
const (
	vectorTop, vectorBias = 63, 64
	tapTop, tapBias       = 127, 128

	fields    = 3
	fieldBits = 21
	fieldMask = 1<<fieldBits - 1

	answerBias = 1 << 12
	answerTop  = answerBias - 1
	allLanes   = 0x0001_0001_0001_0001
)

// networkTaps are the taps of a network as its scorers read them.
type networkTaps struct {
	// words has Dims words for each three answers: to each filter at each place of the window, then to each label.
	words []uint64
	// scale is that of each answer, raised what the biases add to it.
	scale  []float32
	raised []int32
}

func newNetworkTaps(n *Network) networkTaps {
	size := n.shareSize()
	t := networkTaps{words: make([]uint64, (size+fields-1)/fields*n.Dims), scale: make([]float32, size), raised: make([]int32, size)}
	for o := range size {
		w := n.answerTaps(o)
		top := float32(0)
		for _, v := range w {
			top = max(top, v, -v)
		}
		t.scale[o] = top / tapTop
		for d, v := range w {
			rounded := int32(0)
			if top > 0 {
				rounded = int32(v/t.scale[o]+tapBias+0.5) - tapBias
			}
			t.words[o/fields*n.Dims+d] |= uint64(rounded+tapBias) << (o % fields * fieldBits)
			t.raised[o] += vectorBias * (rounded + tapBias)
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

// share is what a token gives: to each filter at each place of the window, in lanes, and to each label.
type share struct {
	filters []uint64
	labels  []float32
}

// networkScorer runs a network, keeping the shares of tokens that it met; that changes no result.
type networkScorer struct {
	n    *Network
	taps networkTaps
	met  metWords
	// filters and labels are the shares of the tokens that were met.
	filters []uint64
	labels  []float32

	rows   []uint32
	packed []uint64
	vector []uint64
	sum    []int32
	// open are the answers at the token before, which lack what the next one gives; next are those at the next one, which have what it got before.
	open, next, top []uint64
	hidden          []float32
	mean            []float32
	scores          []float64
}

func newNetworkScorer(n *Network) *networkScorer {
	words := n.Filters / lanes
	return &networkScorer{n: n, taps: newNetworkTaps(n), met: newMetWords(networkMetBits),
		filters: table(NetworkWindow * words << networkMetBits), labels: make([]float32, n.Labels<<networkMetBits),
		rows:   make([]uint32, 0, text.MaxGrams+1),
		packed: make([]uint64, n.Dims/4), vector: make([]uint64, n.Dims), sum: make([]int32, n.Dims),
		open: make([]uint64, words), next: make([]uint64, words), top: make([]uint64, words),
		hidden: make([]float32, n.Filters), mean: make([]float32, n.Labels), scores: make([]float64, n.Labels)}
}

// of returns the share of a token with that hash; it holds until the next call.
func (s *networkScorer) of(d *text.Doc, t text.Token, hash uint64) share {
	slot, met := s.met.find(hash)
	words, labels := NetworkWindow*len(s.top), s.n.Labels
	out := share{s.filters[slot*words : (slot+1)*words], s.labels[slot*labels : (slot+1)*labels]}
	if !met {
		s.compute(d, t, out)
		s.met.keep(slot, hash)
	}
	return out
}

// compute finds the share of a token.
func (s *networkScorer) compute(d *text.Doc, t text.Token, out share) {
	scale := s.readVector(d, t)
	n, answers := s.n, NetworkWindow*s.n.Filters
	unit := answerTop / n.Top
	total := int32(0)
	for _, x := range s.vector {
		total += int32(x) - vectorBias
	}
	clear(out.filters)
	for at := 0; at < n.shareSize(); at += fields {
		sum := uint64(0)
		words := s.taps.words[at/fields*n.Dims:][:len(s.vector)]
		for d, x := range s.vector {
			sum += x * words[d]
		}
		for o := at; o < min(at+fields, n.shareSize()); o++ {
			v := float32(int32(sum&fieldMask)-s.taps.raised[o]-tapBias*total) * s.taps.scale[o] * scale
			sum >>= fieldBits
			if o >= answers {
				out.labels[o-answers] = v
				continue
			}
			v = min(max(v*unit, -answerTop), answerTop)
			out.filters[o/lanes] |= uint64(int32(v+answerBias+0.5)) << (o % lanes * 16)
		}
	}
}

// readVector finds the vector of a token, raised by vectorBias, and returns its scale.
func (s *networkScorer) readVector(d *text.Doc, t text.Token) float32 {
	const evenBytes, signs = 0x00ff00ff_00ff00ff, 0x8080808080808080
	n := s.n
	s.rows = NetworkRows(d, t, n.Bits, s.rows[:0])
	clear(s.packed)
	even, odd := s.packed[:n.Dims/8], s.packed[n.Dims/8:]
	for _, r := range s.rows {
		row := n.Rows[int(r)*n.Dims : int(r+1)*n.Dims]
		for k := range even {
			// Signed bytes become bytes raised by 128; no word has rows enough to fill 16 bits of them.
			b := binary.LittleEndian.Uint64(row[8*k:]) ^ signs
			even[k] += b & evenBytes
			odd[k] += b >> 8 & evenBytes
		}
	}
	top := int32(0)
	for i := range s.sum {
		word := even[i/8]
		if i%2 == 1 {
			word = odd[i/8]
		}
		v := int32(uint16(word>>(i%8/2*16))) - 128*int32(len(s.rows))
		s.sum[i] = v
		top = max(top, v, -v)
	}
	stretch := vectorTop / float32(max(top, 1))
	for i, v := range s.sum {
		s.vector[i] = uint64(int32(float32(v)*stretch + vectorBias + 0.5))
	}
	return n.RowScale / float32(len(s.rows)) / stretch
}

// larger returns the larger of two lanes of 15 bits each.
func larger(a, b uint64) uint64 {
	const high = 0x8000 * allLanes
	atLeast := (a | high - b) & high
	mask := atLeast - atLeast>>15 | atLeast
	return b ^ (a^b)&mask
}

// score computes the score of each label, their mean taken off, since only differences count. Hashes are those of the tokens.
func (s *networkScorer) score(d *text.Doc, hashes []uint64) {
	const nothing = answerBias * allLanes
	clear(s.mean)
	clear(s.top)
	for k := range s.next {
		s.next[k] = nothing
	}
	tokens := d.Tokens[:min(len(d.Tokens), maxNetworkTokens)]
	words := len(s.top)
	for i, t := range tokens {
		share := s.of(d, t, hashes[i])
		// A filter at a token hears the token before it at its first place, the token itself at its middle one, and the next at its last.
		first, middle, last := share.filters[:words], share.filters[words:][:words], share.filters[2*words:][:words]
		open, next, top := s.open[:words], s.next[:words], s.top[:words]
		if i > 0 {
			for k := range top {
				top[k] = larger(top[k], open[k]+last[k])
			}
		}
		for k := range open {
			open[k] = next[k] + middle[k]
			next[k] = first[k]
		}
		for l, v := range share.labels {
			s.mean[l] += v
		}
	}
	if len(tokens) > 0 {
		for k, v := range s.open {
			s.top[k] = larger(s.top[k], v+nothing)
		}
	}
	s.readLabels(len(tokens))
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
