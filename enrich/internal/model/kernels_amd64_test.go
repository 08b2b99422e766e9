package model

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// words draws n machine words of any bits.
func words(t *rapid.T, n int, name string) []uint64 {
	return rapid.SliceOfN(rapid.Uint64(), n, n).Draw(t, name)
}

// TestKernelsGiveTheBitsOfTheirTwins compares each kernel in assembly with its twin in Go.
func TestKernelsGiveTheBitsOfTheirTwins(t *testing.T) {
	if !vectors {
		t.Skip("the processor has no AVX2 or no BMI2, so the kernels are not used")
	}
	rapid.Check(t, func(t *rapid.T) {
		space := NewSpace(SpaceHeader{Bits: rapid.IntRange(1, 8).Draw(t, "bits"), Columns: 4 * lanes})
		// The space may share its lines with others: before its rows, and several rows to a line.
		several, before := rapid.IntRange(0, min(2, space.Bits-1)).Draw(t, "several"), rapid.IntRange(0, 4).Draw(t, "before")
		lines, stride := space.Bits-several, 5
		space.lieIn(words(t, 1<<(lines+stride), "rows"), lines, stride, before)
		features := rapid.SliceOf(rapid.Uint32()).Draw(t, "features")
		sum := make([]uint64, space.sumSize())
		want := slices.Clone(sum)
		addFour(sum, space.rows, &space.place, features)
		addFourGo(want, space.rows, &space.place, features)
		if !slices.Equal(sum, want) {
			t.Fatalf("the rows of %d features sum to %x, want %x", len(features), sum, want)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		const slots = 5
		size := sumWords * rapid.IntRange(1, 4).Draw(t, "size")
		total, sums := words(t, size, "total"), words(t, slots*size, "sums")
		// Two sums share a word; neither spills into the other.
		for _, some := range [][]uint64{total, sums} {
			for i := range some {
				some[i] &= 0x00ffffff_00ffffff
			}
		}
		found := rapid.SliceOfN(rapid.IntRange(0, slots-1), 0, 200).Draw(t, "found")
		want := slices.Clone(total)
		addSums(total, sums, found)
		addSumsGo(want, sums, found)
		if !slices.Equal(total, want) {
			t.Fatalf("the sums in %v are %x, want %x", found, total, want)
		}
	})
}
