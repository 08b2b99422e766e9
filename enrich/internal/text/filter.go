package text

import "math/bits"

// Filter answers for most hashes that they are no member of a set, without a look at the set: it may call a stranger a member, never a member a
// stranger (Bloom 1970, with one hash).
type Filter struct {
	shift int
	words []uint64
}

// NewFilter returns a filter of the hashes, which are taken to be spread evenly.
func NewFilter(members []uint32) Filter {
	// Eight bits a member or more: one stranger in eight is taken for a member at most.
	size := max(6, bits.Len(uint(8*len(members))))
	f := Filter{shift: 32 - size, words: make([]uint64, 1<<size/64)}
	for _, h := range members {
		h >>= f.shift
		f.words[h/64] |= 1 << (h % 64)
	}
	return f
}

// May reports whether h can be a member.
func (f *Filter) May(h uint32) bool {
	h >>= f.shift
	return f.words[h/64]&(1<<(h%64)) != 0
}
