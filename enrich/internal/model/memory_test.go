package model

import "testing"

// TestTablesAreEmpty: a table has the length asked for, whether or not it is large enough for large pages, and none overlaps another.
func TestTablesAreEmpty(t *testing.T) {
	var all [][]uint64
	for _, n := range []int{0, 1, 4096, hugePage/8 - 1, hugePage / 8, hugePage/8 + 3, hugePage} {
		words := table(n)
		if len(words) != n {
			t.Fatalf("a table of %d words has %d", n, len(words))
		}
		for i, v := range words {
			if v != 0 {
				t.Fatalf("word %d of a table of %d is %x", i, n, v)
			}
			words[i] = uint64(n)
		}
		all = append(all, words)
	}
	for _, words := range all {
		for i, v := range words {
			if v != uint64(len(words)) {
				t.Fatalf("word %d of a table of %d was written over with %d", i, len(words), v)
			}
		}
	}
}
