package model

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

// NetworkWindow is how many neighbouring tokens a filter sees.
const NetworkWindow = 3

// maxDims is what the integer sums have room for.
const maxDims = 64

// maxNetworkTokens is how much of a text a network reads: more than a public reply has, and a bound of the time.
const maxNetworkTokens = 256

// NetworkHeader describes one small convolutional network.
type NetworkHeader struct {
	// Bits is the binary logarithm of the rows of the table, Dims the length of a row.
	Bits    int `json:"bits"`
	Dims    int `json:"dims"`
	Filters int `json:"filters"`
	Labels  int `json:"labels"`
	// Top is the largest answer of a filter to one token that is told apart from larger ones.
	Top float32 `json:"top"`
}

// check reports whether the sizes are those of a small network.
func (h NetworkHeader) check() error {
	if h.Bits < 1 || h.Bits > maxBits || h.Dims < 1 || h.Dims > maxDims || h.Filters < 1 || h.Filters > 1024 || h.Labels < 1 || h.Labels > maxColumns || h.Dims%8+h.Filters%lanes != 0 || !(h.Top > 0) {
		return fmt.Errorf("a network has %d bits, %d dimensions, %d filters, %d labels and answers up to %v: %w", h.Bits, h.Dims, h.Filters, h.Labels, h.Top, ErrDamaged)
	}
	return nil
}

// Network reads a text as a sequence (Kim 2014). The vector of a token is the mean of the rows that its word and the word's character n-grams hash
// to; filters see three neighbouring tokens, and each keeps its largest answer in the text; the labels are linear in these answers and in the mean
// vector of the text.
type Network struct {
	NetworkHeader
	// Rows has 2^Bits rows of Dims signed bytes, in units of RowScale.
	Rows     []byte
	RowScale float32
	// Taps has Filters rows of NetworkWindow*Dims, TapBias an entry a filter.
	Taps, TapBias []float32
	// Out has Labels rows of Filters+Dims, OutBias an entry a label.
	Out, OutBias []float32
}

// NewNetwork returns a network of that shape with everything 0.
func NewNetwork(h NetworkHeader) *Network {
	return &Network{NetworkHeader: h, Rows: make([]byte, h.Dims<<h.Bits), Taps: make([]float32, h.Filters*NetworkWindow*h.Dims), TapBias: make([]float32, h.Filters),
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
	return append(b, n.Rows...)
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
	copy(n.Rows, b)
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
