package model

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// appendRows writes the weights as the artefact has them: a bit for each row, the first row lowest, that says whether any of its weights is not 0, then those rows alone.
// Two in three rows of a space that is wide enough for hashes to seldom meet are empty.
func (t *Space) appendRows(into []byte) []byte {
	le := binary.LittleEndian
	present := make([]byte, presentBytes(t.Bits))
	var rows []byte
	for row := range 1 << t.Bits {
		empty := true
		for c := range t.Columns {
			empty = empty && t.Weight(row, c) == 0
		}
		if empty {
			continue
		}
		present[row/8] |= 1 << (row % 8)
		for c := range t.Columns {
			rows = le.AppendUint16(rows, uint16(t.Weight(row, c)))
		}
	}
	return append(append(into, present...), rows...)
}

// decodeRows reads what appendRows wrote and returns what follows it; b holds the bits of the rows at least.
func (t *Space) decodeRows(b []byte) (rest []byte, err error) {
	present, b := b[:presentBytes(t.Bits)], b[presentBytes(t.Bits):]
	rows := 0
	for _, p := range present {
		rows += bits.OnesCount8(p)
	}
	if len(b) < 2*t.Columns*rows {
		return nil, fmt.Errorf("space %q is cut short: %w", t.Name, ErrDamaged)
	}
	for row := range 1 << t.Bits {
		if present[row/8]>>(row%8)&1 == 0 {
			continue
		}
		for c := range t.Columns {
			t.SetWeight(row, c, int16(binary.LittleEndian.Uint16(b)))
			b = b[2:]
		}
	}
	return b, nil
}

// presentBytes is how many bytes the bits of the rows take.
func presentBytes(width int) int { return (1<<width + 7) / 8 }
