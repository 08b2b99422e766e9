package model

import "math/bits"

// SpaceHeader describes one table of weights.
type SpaceHeader struct {
	Name    string `json:"name"`
	Bits    int    `json:"bits"`
	Columns int    `json:"columns"`
	// WordScale and ConceptScale are how much the views by words and by concepts count beside that by characters; 0 leaves a view out.
	WordScale    float64 `json:"word_scale"`
	ConceptScale float64 `json:"concept_scale"`
}

// Space is one table of weights, 2^Bits rows of Columns.
//
// Four weights lie side by side in one machine word, each raised by weightBias so that none is negative: a sum of such words is four sums at once, as
// long as no sum spills into its neighbour. Half of the lanes are masked out of each sum, which gives a sum 32 bits: room for mostRows rows.
type Space struct {
	SpaceHeader
	// Scale turns a column's integer sums back into scores.
	Scale, Bias []float32
	// words is the length of a row. Weight c is lane c%4 of word c/4.
	words int
	// rows lie 2^stride words apart, so that as few as can be lie across two lines of the processor's memory.
	stride int
	rows   []uint64
}

const (
	lanes      = 4
	weightBias = 1 << 15
	evenLanes  = 0x0000ffff_0000ffff
	// mostRows rows can be added up before a lane overflows; a text has far fewer features of one view, and a word far fewer n-grams.
	mostRows = 1 << 16
)

// NewSpace returns a space of that shape with every weight 0.
func NewSpace(h SpaceHeader) Space {
	t := Space{SpaceHeader: h, Scale: make([]float32, h.Columns), Bias: make([]float32, h.Columns), words: (h.Columns + lanes - 1) / lanes}
	t.stride = bits.Len(uint(t.words - 1))
	t.rows = make([]uint64, 1<<(h.Bits+t.stride))
	for i := range t.rows {
		t.rows[i] = weightBias * 0x0001_0001_0001_0001
	}
	return t
}

// lane is the word that holds a weight, and the place of its lowest bit there.
func (t *Space) lane(row, column int) (*uint64, int) {
	return &t.rows[row<<t.stride+column/lanes], 16 * (column % lanes)
}

// Weight returns the weight of a column in a row.
func (t *Space) Weight(row, column int) int16 {
	word, shift := t.lane(row, column)
	return int16(int32(uint16(*word>>shift)) - weightBias)
}

// SetWeight sets the weight of a column in a row.
func (t *Space) SetWeight(row, column int, w int16) {
	word, shift := t.lane(row, column)
	*word = *word&^(0xffff<<shift) | uint64(uint16(int32(w)+weightBias))<<shift
}

// sumSize is the length of a packed sum of rows.
func (t *Space) sumSize() int { return 2 * t.words }

// add adds the rows of some features to sum, sumSize words: first the even lanes of each word of a row, then the odd ones. It takes four rows at a time, so that
// the processor waits for their memory together.
func (t *Space) add(sum []uint64, features []uint32) {
	shift, n := 32-t.Bits, t.words
	if n == 1 {
		t.addNarrow(sum, features)
		return
	}
	even, odd := sum[:n], sum[n:2*n]
	row := func(h uint32) []uint64 {
		at := int(h>>shift) << t.stride
		return t.rows[at : at+n]
	}
	for ; len(features) >= 4; features = features[4:] {
		r0, r1, r2, r3 := row(features[0])[:n], row(features[1])[:n], row(features[2])[:n], row(features[3])[:n]
		for k := range n {
			a, b, c, d := r0[k], r1[k], r2[k], r3[k]
			even[k] += a&evenLanes + b&evenLanes + c&evenLanes + d&evenLanes
			odd[k] += a>>16&evenLanes + b>>16&evenLanes + c>>16&evenLanes + d>>16&evenLanes
		}
	}
	for _, h := range features {
		for k, a := range row(h)[:n] {
			even[k] += a & evenLanes
			odd[k] += a >> 16 & evenLanes
		}
	}
}

// addNarrow is add where a row is one word.
func (t *Space) addNarrow(sum []uint64, features []uint32) {
	shift := 32 - t.Bits
	var even, odd uint64
	for _, h := range features {
		a := t.rows[h>>shift]
		even += a & evenLanes
		odd += a >> 16 & evenLanes
	}
	sum[0] += even
	sum[1] += odd
}

// unpack writes the sum of each column over n rows into out, Columns of them.
func (t *Space) unpack(sum []uint64, n int, out []int32) {
	out = out[:t.Columns]
	for c := range out {
		word := sum[c/lanes]
		if c%2 == 1 {
			word = sum[t.words+c/lanes]
		}
		if c%lanes >= 2 {
			word >>= 32
		}
		out[c] = int32(uint32(word) - uint32(n)*weightBias)
	}
}
