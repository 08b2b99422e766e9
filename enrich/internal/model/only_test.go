package model

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

// TestSomeHeadsAnswerAsAllDo compares models of some heads, whose spaces lie side by side, with the one that they are taken from.
func TestSomeHeadsAnswerAsAllDo(t *testing.T) {
	whole := tiny()
	a, err := text.NewAnalyzer()
	if err != nil {
		t.Fatal(err)
	}
	all := NewScorer(whole)
	var some []*Scorer
	for _, names := range [][]string{{"x"}, {"y"}, {"deep", "y"}, {"x", "deep", "y"}, {"y", "x"}} {
		m, err := whole.Only(names...)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Heads) != len(names) || m.Version != whole.Version {
			t.Errorf("%v: %d heads, version %s", names, len(m.Heads), m.Version)
		}
		some = append(some, NewScorer(m))
	}
	rapid.Check(t, func(t *rapid.T) {
		d := &text.Doc{}
		a.Analyze(d, rapid.String().Draw(t, "text")+" "+rapid.StringMatching(`([a-z]{1,8} ){0,90}`).Draw(t, "words"))
		all.Score(d)
		for _, s := range some {
			s.Score(d)
			for i := range s.m.Heads {
				h := &s.m.Heads[i]
				of, err := whole.Head(h.Name)
				if err != nil {
					t.Fatal(err)
				}
				p, want := make([]float64, len(h.Labels)), make([]float64, len(h.Labels))
				s.Probabilities(h, p)
				all.Probabilities(of, want)
				if !slices.Equal(p, want) {
					t.Fatalf("head %s answers %v among %d heads, %v among all", h.Name, p, len(s.m.Heads), want)
				}
			}
		}
	})
	if _, err := whole.Only("x", "none such"); err == nil {
		t.Error("a head that the model lacks was given")
	}
}

// TestSpacesSideBySide: a weight has a place of its own, whatever the sizes of the spaces on one line.
func TestSpacesSideBySide(t *testing.T) {
	headers := []SpaceHeader{{Bits: 5, Columns: 3, WordScale: 1}, {Bits: 4, Columns: 13}, {Bits: 3, Columns: 16, ConceptScale: 1}, {Bits: 6, Columns: 1, WordScale: 1}}
	spaces := newSpaces(headers)
	each := func(f func(s *Space, row, column int, w int16)) {
		w := int16(0)
		for i := range spaces {
			for row := range 1 << spaces[i].Bits {
				for c := range spaces[i].Columns {
					w += 7
					f(&spaces[i], row, c, w)
				}
			}
		}
	}
	each(func(s *Space, row, c int, _ int16) {
		if w := s.Weight(row, c); w != 0 {
			t.Fatalf("row %d of %d bits, column %d weighs %d at first", row, s.Bits, c, w)
		}
	})
	each(func(s *Space, row, c int, w int16) { s.SetWeight(row, c, w) })
	each(func(s *Space, row, c int, want int16) {
		if w := s.Weight(row, c); w != want {
			t.Fatalf("row %d of %d bits, column %d weighs %d, was set to %d", row, s.Bits, c, w, want)
		}
	})
	var features []uint32
	for i := range uint32(50) {
		features = append(features, text.Hash(string('a'+rune(i))))
	}
	for i := range spaces {
		s := &spaces[i]
		sum, out := make([]uint64, s.sumSize()), make([]int32, s.Columns)
		s.add(sum, features)
		s.unpack(sum, len(features), out)
		for c, got := range out {
			want := int32(0)
			for _, h := range features {
				want += int32(s.Weight(int(h>>(32-s.Bits)), c))
			}
			if got != want {
				t.Errorf("column %d of %d sums to %d, want %d", c, s.Columns, got, want)
			}
		}
	}
}
