package model

import "hash/maphash"

// waysBits is the binary logarithm of how many slots a set has.
const waysBits = 2

// wordHasher tells words apart by 64 bits that nobody outside can foresee, so that no text is kept and no text can be made to be taken for another.
type wordHasher struct{ seed maphash.Seed }

func newWordHasher() wordHasher { return wordHasher{maphash.MakeSeed()} }

// of is never 0, which is the hash of an empty slot.
func (h wordHasher) of(word []byte) uint64 { return max(1, maphash.Bytes(h.seed, word)) }

// metWords says in which slot what a word gives is kept: four slots a set, of which one that was not used lately is given up for a new word.
type metWords struct {
	bits   int
	hashes [][1 << waysBits]uint64
	// older has three bits a set: which half was used longer ago, and in each half which slot.
	older []uint8
}

// newMetWords returns 2^bits slots.
func newMetWords(bits int) metWords {
	bits -= waysBits
	return metWords{bits: bits, hashes: make([][1 << waysBits]uint64, 1<<bits), older: make([]uint8, 1<<bits)}
}

// find returns the slot of a word, and whether it is there already. If not, the slot is empty: the caller fills it, and then says keep.
func (m *metWords) find(hash uint64) (slot int, met bool) {
	set := int(hash >> (64 - m.bits))
	hashes := &m.hashes[set]
	for way := range hashes {
		if hashes[way] == hash {
			m.use(set, uint8(way))
			return set<<waysBits + way, true
		}
	}
	half := m.older[set] & 1
	way := half<<1 | m.older[set]>>(1+half)&1
	hashes[way] = 0
	m.use(set, way)
	return set<<waysBits + int(way), false
}

// touch has the sets of some words fetched before they are looked for.
func (m *metWords) touch(hashes []uint64) { touchSets(m.hashes, 64-m.bits, hashes) }

// use notes that a slot is the one used last.
func (m *metWords) use(set int, way uint8) {
	half := way >> 1
	m.older[set] = m.older[set]&^(1|2<<half) | 1 ^ half | (1^way&1)<<(1+half)
}

// keep says that the slot has been filled for the word.
func (m *metWords) keep(slot int, hash uint64) {
	m.hashes[slot>>waysBits][slot&(1<<waysBits-1)] = hash
}
