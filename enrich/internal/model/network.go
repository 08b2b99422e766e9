package model

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

// NetworkWindow is how many neighbouring tokens a filter sees.
const NetworkWindow = 3

// maxNetworkTokens is how much of a text a network reads: more than a public reply has, and a bound of the time.
const maxNetworkTokens = 256

// NetworkHeader describes one small convolutional network.
type NetworkHeader struct {
	// Bits is the binary logarithm of the rows of the table, Dims the length of a row.
	Bits    int `json:"bits"`
	Dims    int `json:"dims"`
	Filters int `json:"filters"`
	Labels  int `json:"labels"`
}

// check reports whether the sizes are those of a small network.
func (h NetworkHeader) check() error {
	if h.Bits < 1 || h.Bits > maxBits || h.Dims < 1 || h.Dims > 256 || h.Filters < 1 || h.Filters > 1024 || h.Labels < 1 || h.Labels > maxColumns || h.Dims%4+h.Filters%4 != 0 {
		return fmt.Errorf("a network has %d bits, %d dimensions, %d filters and %d labels: %w", h.Bits, h.Dims, h.Filters, h.Labels, ErrDamaged)
	}
	return nil
}

// Network reads a text as a sequence (Kim 2014). The vector of a token is the mean of the rows that its word and the word's character n-grams hash
// to; filters see three neighbouring tokens, and each keeps its largest answer in the text; the labels are linear in these answers and in the mean
// vector of the text.
type Network struct {
	NetworkHeader
	// Rows has 2^Bits rows of Dims, in units of RowScale.
	Rows     []int8
	RowScale float32
	// Taps has Filters rows of NetworkWindow*Dims, TapBias an entry a filter.
	Taps, TapBias []float32
	// Out has Labels rows of Filters+Dims, OutBias an entry a label.
	Out, OutBias []float32
}

// NewNetwork returns a network of that shape with everything 0.
func NewNetwork(h NetworkHeader) *Network {
	return &Network{NetworkHeader: h, Rows: make([]int8, h.Dims<<h.Bits), Taps: make([]float32, h.Filters*NetworkWindow*h.Dims), TapBias: make([]float32, h.Filters),
		Out: make([]float32, h.Labels*(h.Filters+h.Dims)), OutBias: make([]float32, h.Labels)}
}

// floats are the parameters apart from the rows, in the order of the artefact.
func (n *Network) floats() [][]float32 {
	return [][]float32{n.Taps, n.TapBias, n.Out, n.OutBias}
}

func (n *Network) append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, math.Float32bits(n.RowScale))
	for _, part := range n.floats() {
		for _, v := range part {
			b = le.AppendUint32(b, math.Float32bits(v))
		}
	}
	for _, v := range n.Rows {
		b = append(b, byte(v))
	}
	return b
}

// decodeNetwork reads what append wrote and returns what follows it.
func decodeNetwork(h NetworkHeader, b []byte) (*Network, []byte, error) {
	if err := h.check(); err != nil {
		return nil, nil, err
	}
	n := NewNetwork(h)
	size := 4 + len(n.Rows)
	for _, part := range n.floats() {
		size += 4 * len(part)
	}
	if len(b) < size {
		return nil, nil, fmt.Errorf("a network is cut short: %w", ErrDamaged)
	}
	float := func() float32 {
		v := math.Float32frombits(binary.LittleEndian.Uint32(b))
		b = b[4:]
		return v
	}
	n.RowScale = float()
	for _, part := range n.floats() {
		for i := range part {
			part[i] = float()
		}
	}
	for i := range n.Rows {
		n.Rows[i] = int8(b[i])
	}
	return n, b[len(n.Rows):], nil
}

// NetworkRows appends the rows that make up the vector of a token: the word's own first, then those of its n-grams.
func NetworkRows(d *text.Doc, t text.Token, bits int, dst []uint32) []uint32 {
	first := len(dst)
	dst = d.Grams(t, append(dst, t.Hash))
	for i := first; i < len(dst); i++ {
		dst[i] >>= 32 - bits
	}
	return dst
}

// Dot is the inner product of two slices of one length, which is a multiple of 4.
func Dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	for i := 0; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	return s0 + s1 + s2 + s3
}

// share is what one token gives to each filter at each of its places in the window, then what it gives to each label through the mean vector.
func (n *Network) share(d *text.Doc, t text.Token, rows []uint32, vector, out []float32) []uint32 {
	rows = NetworkRows(d, t, n.Bits, rows[:0])
	clear(vector)
	for _, r := range rows {
		for i, v := range n.Rows[int(r)*n.Dims : int(r+1)*n.Dims] {
			vector[i] += float32(v)
		}
	}
	scale := n.RowScale / float32(len(rows))
	for i := range vector {
		vector[i] *= scale
	}
	for f := range n.Filters {
		taps := n.Taps[f*NetworkWindow*n.Dims:]
		for k := range NetworkWindow {
			out[k*n.Filters+f] = Dot(vector, taps[k*n.Dims:(k+1)*n.Dims])
		}
	}
	for l := range n.Labels {
		at := l*(n.Filters+n.Dims) + n.Filters
		out[NetworkWindow*n.Filters+l] = Dot(vector, n.Out[at:at+n.Dims])
	}
	return rows
}

// shareSize is the length of a share.
func (n *Network) shareSize() int { return NetworkWindow*n.Filters + n.Labels }

// networkMetBits is the binary logarithm of how many tokens a network keeps the shares of.
const networkMetBits = 13

// networkScorer runs a network, keeping the shares of tokens that it met; that changes no result.
type networkScorer struct {
	n      *Network
	met    metWords
	shares []float32
	// long is the share of a token too long to keep.
	long, vector []float32
	rows         []uint32
	// sums has the filters' answers at the place before, at and after a token; top the largest so far.
	sums   [NetworkWindow][]float32
	top    []float32
	mean   []float32
	scores []float64
}

func newNetworkScorer(n *Network) *networkScorer {
	s := &networkScorer{n: n, met: newMetWords(networkMetBits), shares: make([]float32, n.shareSize()<<networkMetBits), long: make([]float32, n.shareSize()),
		vector: make([]float32, n.Dims), rows: make([]uint32, 0, text.MaxGrams+1), top: make([]float32, n.Filters), mean: make([]float32, n.Labels), scores: make([]float64, n.Labels)}
	for i := range s.sums {
		s.sums[i] = make([]float32, n.Filters)
	}
	return s
}

// of returns the share of a token; it holds until the next call.
func (s *networkScorer) of(d *text.Doc, t text.Token) []float32 {
	key, short := keyOf(d.Text(t))
	if !short {
		s.rows = s.n.share(d, t, s.rows, s.vector, s.long)
		return s.long
	}
	size := s.n.shareSize()
	slot, met := s.met.find(key)
	out := s.shares[slot*size : (slot+1)*size]
	if !met {
		s.rows = s.n.share(d, t, s.rows, s.vector, out)
		s.met.keep(slot, key)
	}
	return out
}

// score computes the score of each label, their mean taken off, since only differences count.
func (s *networkScorer) score(d *text.Doc) {
	n := s.n
	f := n.Filters
	before, at, after := s.sums[0], s.sums[1], s.sums[2]
	clear(at)
	clear(s.mean)
	lowest := float32(math.Inf(-1))
	for i := range s.top {
		s.top[i] = lowest
	}
	tokens := d.Tokens[:min(len(d.Tokens), maxNetworkTokens)]
	for i, t := range tokens {
		share := s.of(d, t)
		first, middle, last := share[:f], share[f:2*f], share[2*f:3*f]
		if i > 0 {
			for k := range before {
				s.top[k] = max(s.top[k], before[k]+last[k])
			}
		}
		for k := range at {
			at[k] += middle[k]
		}
		copy(after, first)
		for l := range s.mean {
			s.mean[l] += share[3*f+l]
		}
		before, at, after = at, after, before
	}
	if len(tokens) > 0 {
		for k := range before {
			s.top[k] = max(s.top[k], before[k])
		}
	}
	for k := range s.top {
		s.top[k] = max(s.top[k]+n.TapBias[k], 0)
	}
	total := 0.0
	for l := range s.scores {
		row := n.Out[l*(f+n.Dims):]
		s.scores[l] = float64(Dot(s.top, row[:f]) + n.OutBias[l] + s.mean[l]/float32(max(len(tokens), 1)))
		total += s.scores[l]
	}
	for l := range s.scores {
		s.scores[l] -= total / float64(n.Labels)
	}
}
