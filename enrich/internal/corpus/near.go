package corpus

import (
	"slices"
	"sort"
	"strings"
	"unicode"
)

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// squash is a text as copies share it: lower-case letters and digits alone, so that spacing, punctuation, case, URLs and mentions, which
// every preparation of a data set treats in its own way, cannot hide a copy.
func squash(s string) []rune {
	var out []rune
	for _, f := range strings.Fields(strings.ToLower(s)) {
		if strings.HasPrefix(f, "@") || strings.HasPrefix(f, "http") {
			continue
		}
		for _, r := range f {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				out = append(out, r)
			}
		}
	}
	return out
}

const (
	// minRunes: shorter texts ("terima kasih min") are everybody's and are not compared.
	minRunes = 24
	// shingleRunes is the length of the runs of letters that are compared.
	shingleRunes = 8
	// copyShare is the share of shingles in common, of those of the shorter text, from which two texts are copies. A translation into another
	// language stays far below it, a text with another spelling of a few words stays above.
	copyShare = 0.35
)

// NearCopies finds texts that a second set shares with a first: equal after squashing, or alike in their shingles. It is not safe for
// concurrent use.
type NearCopies struct {
	shingles map[uint64][]int32
	sizes    []int32
	// common counts the shingles that the text asked about has in common with each indexed one; touched are those with any.
	common, touched []int32
}

// NewNearCopies indexes texts.
func NewNearCopies(texts []string) *NearCopies {
	n := &NearCopies{shingles: map[uint64][]int32{}}
	for _, t := range texts {
		s := shingles(squash(t))
		if len(s) == 0 {
			continue
		}
		id := int32(len(n.sizes))
		n.sizes = append(n.sizes, int32(len(s)))
		for _, h := range s {
			n.shingles[h] = append(n.shingles[h], id)
		}
	}
	n.common = make([]int32, len(n.sizes))
	return n
}

// Copied reports whether the text is a near-copy of an indexed one.
func (n *NearCopies) Copied(t string) bool {
	s := shingles(squash(t))
	for _, id := range n.touched {
		n.common[id] = 0
	}
	n.touched = n.touched[:0]
	for _, h := range s {
		for _, id := range n.shingles[h] {
			if n.common[id] == 0 {
				n.touched = append(n.touched, id)
			}
			n.common[id]++
			if float64(n.common[id]) >= copyShare*float64(min(int32(len(s)), n.sizes[id])) {
				return true
			}
		}
	}
	return false
}

// shingles are the distinct hashes of runs of letters; none for a text that is too short to be compared.
func shingles(runes []rune) []uint64 {
	if len(runes) < minRunes {
		return nil
	}
	var out []uint64
	for i := 0; i+shingleRunes <= len(runes); i++ {
		h := uint64(14695981039346656037)
		for _, r := range runes[i : i+shingleRunes] {
			h = (h ^ uint64(r)) * 1099511628211
		}
		out = append(out, h)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
