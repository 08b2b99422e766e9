package model

import (
	"math/bits"
	"slices"
)

// Only returns a model that has some of the heads and answers them alike. It keeps their columns alone, and lays the spaces that read words or
// concepts side by side: all that a feature weighs in any of them is then on one line of the processor's memory, where it fits.
func (m *Model) Only(names ...string) (*Model, error) {
	out := &Model{Header: m.Header}
	out.Spaces, out.Heads, out.Networks = nil, nil, nil
	columns := make([][]int, len(m.Tables))
	for _, name := range names {
		h, err := m.Head(name)
		if err != nil {
			return nil, err
		}
		out.Heads = append(out.Heads, *h)
		for c := range h.Labels {
			columns[h.Space] = append(columns[h.Space], h.First+c)
		}
		if h.Networks != 0 {
			out.Networks, out.Nets = m.Networks, m.Nets
		}
	}
	spaceOf := make([]int, len(m.Tables))
	for i, of := range columns {
		if len(of) == 0 {
			continue
		}
		// Heads may share columns.
		slices.Sort(of)
		columns[i] = slices.Compact(of)
		header := m.Spaces[i]
		header.Columns = len(columns[i])
		spaceOf[i] = len(out.Spaces)
		out.Spaces = append(out.Spaces, header)
	}
	out.Tables = newSpaces(out.Spaces)
	for i, of := range columns {
		if len(of) > 0 {
			out.Tables[spaceOf[i]].take(&m.Tables[i], of)
		}
	}
	for i := range out.Heads {
		h := &out.Heads[i]
		h.First, h.Space = slices.Index(columns[h.Space], h.First), spaceOf[h.Space]
	}
	return out, nil
}

// newSpaces returns spaces of those shapes, every weight 0, those that read words or concepts side by side.
func newSpaces(headers []SpaceHeader) []Space {
	out := make([]Space, len(headers))
	fewest, most := maxBits, 0
	for i, h := range headers {
		out[i] = newSpace(h)
		if out[i].readsWords() {
			fewest, most = min(fewest, h.Bits), max(most, h.Bits)
		}
	}
	// A line has the rows of one space that begin with the same bits, then those of the next. If so it becomes one of the processor's memory, the rows of small spaces
	// are in several.
	lines := fewest
	for more := fewest; more <= most; more++ {
		if lineWords(out, more) <= memoryLine {
			lines = more
			break
		}
	}
	size := lineWords(out, lines)
	stride := bits.Len(uint(max(size, 1) - 1))
	var shared []uint64
	if size > 0 {
		shared = unweighted(1 << (lines + stride))
	}
	offset := 0
	for i := range out {
		t := &out[i]
		if !t.readsWords() {
			t.allot()
			continue
		}
		t.lieIn(shared, lines, stride, offset)
		offset += t.wordsIn(lines)
	}
	return out
}

// memoryLine is how many words a line of the processor's memory has.
const memoryLine = 8

// lineWords is how long each of 2^lines lines is that have all rows of the spaces that read words or concepts.
func lineWords(spaces []Space, lines int) int {
	size := 0
	for i := range spaces {
		if t := &spaces[i]; t.readsWords() {
			size += t.wordsIn(lines)
		}
	}
	return size
}

// wordsIn is how much of each of 2^lines lines the space takes.
func (t *Space) wordsIn(lines int) int { return t.words << max(0, t.Bits-lines) }

// readsWords says that the space reads more than characters.
func (t *Space) readsWords() bool { return t.WordScale != 0 || t.ConceptScale != 0 }

// take copies some columns of another space.
func (t *Space) take(from *Space, columns []int) {
	for c, of := range columns {
		t.Scale[c], t.Bias[c] = from.Scale[of], from.Bias[of]
		for row := range 1 << t.Bits {
			t.SetWeight(row, c, from.Weight(row, of))
		}
	}
}
