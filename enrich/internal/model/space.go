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
	// A row is in 2^copyBits lines.
	copyBits int
	place    rowPlace
	rows     []uint64
}

// rowPlace says where the row of a hash begins. A line of 2^stride words has, from offset on, those rows that begin with the same bits; so as few rows as
// can be lie across two lines of the processor's memory.
type rowPlace struct {
	// The hash moved right by line, under lineMask, is where its line begins; moved right by row, under rowMask, it is the row's number in the line.
	line, row         uint8
	lineMask, rowMask uint32
	offset, words     uint32
}

// of is the place of the row of a hash.
func (p *rowPlace) of(h uint32) uint32 {
	return h>>(p.line&31)&p.lineMask + p.offset + h>>(p.row&31)&p.rowMask*p.words
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
	t := newSpace(h)
	t.allot()
	return t
}

// newSpace returns a space that has no rows yet.
func newSpace(h SpaceHeader) Space {
	return Space{SpaceHeader: h, Scale: make([]float32, h.Columns), Bias: make([]float32, h.Columns), words: (h.Columns + lanes - 1) / lanes}
}

// allot gives the space rows of its own.
func (t *Space) allot() {
	stride := bits.Len(uint(t.words - 1))
	t.lieIn(unweighted(1<<(t.Bits+stride)), t.Bits, stride, 0)
}

// lieIn gives the space rows in 2^lines lines of 2^stride words, from offset on in each. If there are more lines than rows, each row is in several.
func (t *Space) lieIn(rows []uint64, lines, stride, offset int) {
	t.rows, t.copyBits = rows, max(0, lines-t.Bits)
	t.place = rowPlace{line: uint8(32 - lines - stride), lineMask: 1<<(lines+stride) - 1<<stride, row: uint8(32 - t.Bits), rowMask: 1<<max(0, t.Bits-lines) - 1,
		offset: uint32(offset), words: uint32(t.words)}
}

// unweighted returns words of weights that are all 0.
func unweighted(n int) []uint64 {
	rows := table(n)
	for i := range rows {
		rows[i] = weightBias * 0x0001_0001_0001_0001
	}
	return rows
}

// lane is the word that holds a weight in the nth line with its row, and the place of its lowest bit there.
func (t *Space) lane(row, nth, column int) (*uint64, int) {
	h := (uint32(row)<<t.copyBits | uint32(nth)) << (32 - t.Bits - t.copyBits)
	return &t.rows[int(t.place.of(h))+column/lanes], 16 * (column % lanes)
}

// Weight returns the weight of a column in a row.
func (t *Space) Weight(row, column int) int16 {
	word, shift := t.lane(row, 0, column)
	return int16(int32(uint16(*word>>shift)) - weightBias)
}

// SetWeight sets the weight of a column in a row.
func (t *Space) SetWeight(row, column int, w int16) {
	for nth := range 1 << t.copyBits {
		word, shift := t.lane(row, nth, column)
		*word = *word&^(0xffff<<shift) | uint64(uint16(int32(w)+weightBias))<<shift
	}
}

// sumSize is the length of a packed sum of rows.
func (t *Space) sumSize() int { return 2 * t.words }

// add adds the rows of some features to sum, sumSize words: first the even lanes of each word of a row, then the odd ones.
func (t *Space) add(sum []uint64, features []uint32) {
	switch t.words {
	case 1:
		t.addOne(sum, features)
	case 4:
		addFour(sum, t.rows, &t.place, features)
	default:
		t.addAny(sum, features)
	}
}

// addAny is add for rows of any length.
func (t *Space) addAny(sum []uint64, features []uint32) {
	n := t.words
	even, odd := sum[:n], sum[n:2*n]
	for _, h := range features {
		for k, a := range t.rows[t.place.of(h):][:n] {
			even[k] += a & evenLanes
			odd[k] += a >> 16 & evenLanes
		}
	}
}

// addOne is add where a row is one word.
func (t *Space) addOne(sum []uint64, features []uint32) {
	rows, place := t.rows, t.place
	var even, odd uint64
	for _, h := range features {
		a := rows[place.of(h)]
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
