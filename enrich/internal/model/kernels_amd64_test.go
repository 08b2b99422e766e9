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
	rapid.Check(t, func(t *rapid.T) {
		const rows = 6
		dims := 16 * rapid.IntRange(1, 4).Draw(t, "blocks")
		bytes := rapid.SliceOfN(rapid.Byte(), rows*dims, rows*dims).Draw(t, "bytes")
		places := rapid.SliceOfN(rapid.Uint32Range(0, rows-1), 0, 169).Draw(t, "places")
		sum, want := make([]int16, dims), make([]int16, dims)
		addBytes(sum, bytes, places)
		addBytesGo(want, bytes, places)
		if !slices.Equal(sum, want) {
			t.Fatalf("the bytes of rows %v sum to %v, want %v", places, sum, want)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		dims, groups := 8*rapid.IntRange(1, 4).Draw(t, "blocks"), rapid.IntRange(1, 3).Draw(t, "groups")
		vector := rapid.SliceOfN(rapid.Int16Range(-vectorTop, vectorTop), dims, dims).Draw(t, "vector")
		taps := rapid.SliceOfN(rapid.Int16Range(-tapTop, tapTop), groups*dotAnswers*dims, groups*dotAnswers*dims).Draw(t, "taps")
		dots, want := make([]int32, groups*dotAnswers), make([]int32, groups*dotAnswers)
		dotAll(dots, taps, vector)
		dotAllGo(want, taps, vector)
		if !slices.Equal(dots, want) {
			t.Fatalf("the inner products are %v, want %v", dots, want)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		const slots = 5
		size := 4 * rapid.IntRange(1, 3).Draw(t, "size")
		var state, want [3][]uint64
		for i := range state {
			state[i] = answers(t, size, "state")
			want[i] = slices.Clone(state[i])
		}
		filters := answers(t, slots*NetworkWindow*size, "filters")
		found := rapid.SliceOfN(rapid.IntRange(0, slots-1), 0, 30).Draw(t, "found")
		hearTokens(state[0], state[1], state[2], filters, found)
		hearTokensGo(want[0], want[1], want[2], filters, found)
		for i, of := range []string{"top", "open", "next"} {
			if !slices.Equal(state[i], want[i]) {
				t.Fatalf("after %v, %s is %x, want %x", found, of, state[i], want[i])
			}
		}
	})
}

// answers draws n words of four answers of a filter each.
func answers(t *rapid.T, n int, name string) []uint64 {
	out := words(t, n, name)
	for i := range out {
		out[i] &= (1<<13 - 1) * allLanes
	}
	return out
}
