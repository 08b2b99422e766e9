package model

import (
	"encoding/binary"
	"math/bits"
)

// wordKey is a word with its length, if it is short enough to be kept; none is 0.
type wordKey [3]uint64

// longestKept is the length in bytes from which on a word is not kept.
const longestKept = 24

func keyOf(word []byte) (wordKey, bool) {
	if len(word) >= longestKept {
		return wordKey{}, false
	}
	var b [longestKept]byte
	b[0] = byte(len(word))
	copy(b[1:], word)
	le := binary.LittleEndian
	return wordKey{le.Uint64(b[:8]), le.Uint64(b[8:16]), le.Uint64(b[16:])}, true
}

// set spreads words over 2^n sets. It goes by the word itself: by its canonical form, all spellings of the most frequent words would meet in one set.
func (k wordKey) set(n int) int {
	h := k[0]*0x9e3779b97f4a7c15 ^ bits.RotateLeft64(k[1]*0xc2b2ae3d27d4eb4f, 31) ^ bits.RotateLeft64(k[2]*0x165667b19e3779f9, 17)
	return int(h * 0x9e3779b97f4a7c15 >> (64 - n))
}

// metWords says in which slot what a word gives is kept: two slots a set, of which the one used longer ago is given up for a new word.
type metWords struct {
	bits   int
	keys   []wordKey
	recent []uint8
}

// newMetWords returns 2^bits slots.
func newMetWords(bits int) metWords {
	return metWords{bits: bits - 1, keys: make([]wordKey, 1<<bits), recent: make([]uint8, 1<<(bits-1))}
}

// find returns the slot of a word, and whether it is there already. If not, the slot is empty: the caller fills it, and then says keep.
func (m *metWords) find(k wordKey) (slot int, met bool) {
	set := k.set(m.bits)
	slot = 2 * set
	if m.keys[slot] == k {
		m.recent[set] = 0
		return slot, true
	}
	if m.keys[slot+1] == k {
		m.recent[set] = 1
		return slot + 1, true
	}
	other := 1 - m.recent[set]
	m.recent[set] = other
	slot += int(other)
	m.keys[slot] = wordKey{}
	return slot, false
}

// keep says that the slot has been filled for the word.
func (m *metWords) keep(slot int, k wordKey) { m.keys[slot] = k }
