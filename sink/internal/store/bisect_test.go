package store

import (
	"errors"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestBisectFindsExactlyTheGuilty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 3000).Draw(t, "entries")
		guilty := map[int]bool{}
		if n > 0 {
			for _, g := range rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 12).Draw(t, "guilty") {
				guilty[g] = true
			}
		}
		errRefused := errors.New("refused")
		in, writes := make([]bool, n), 0
		refusals, err := bisect(0, n, func(from, to int) error {
			writes++
			for i := from; i < to; i++ {
				if guilty[i] {
					return errRefused
				}
			}
			for i := from; i < to; i++ {
				in[i] = true
			}
			return nil
		}, func(err error) bool { return errors.Is(err, errRefused) })
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range refusals {
			if !guilty[r.Index] || !errors.Is(r.Err, errRefused) {
				t.Fatalf("%d was refused: %v", r.Index, r.Err)
			}
		}
		if len(refusals) != len(guilty) || !slices.IsSortedFunc(refusals, func(a, b Refusal) int { return a.Index - b.Index }) {
			t.Fatalf("%d refusals of %d guilty: %v", len(refusals), len(guilty), refusals)
		}
		for i, stored := range in {
			if stored == guilty[i] {
				t.Fatalf("entry %d: stored %v, guilty %v", i, stored, guilty[i])
			}
		}
		if most := 1 + 2*len(guilty)*bits.Len(uint(n)); writes > most {
			t.Fatalf("%d writes for %d guilty of %d, at most %d are needed", writes, len(guilty), n, most)
		}
	})
}

func TestBisectEndsAtAnotherError(t *testing.T) {
	errBroken := errors.New("broken")
	writes := 0
	_, err := bisect(0, 1000, func(from, to int) error {
		if writes++; to-from > 100 {
			return errors.New("refused")
		}
		return errBroken
	}, func(err error) bool { return !errors.Is(err, errBroken) })
	if !errors.Is(err, errBroken) || writes != 5 {
		t.Errorf("%v after %d writes, want %v after 5", err, writes, errBroken)
	}
}
