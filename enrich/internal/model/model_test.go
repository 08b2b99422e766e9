package model

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

func tiny() *Model {
	m := &Model{Header: Header{Version: "1-test", Seq: 1, Features: text.Version, Spaces: []SpaceHeader{{Name: "a", Bits: 8, Columns: 3, ConceptScale: 0.5}, {Name: "b", Bits: 10, Columns: 2, ConceptScale: 1}}}}
	r := rand.New(rand.NewPCG(1, 2))
	for _, h := range m.Spaces {
		t := Space{SpaceHeader: h, Scale: make([]float32, h.Columns), Bias: make([]float32, h.Columns), Weights: make([]int16, h.Columns<<h.Bits)}
		for i := range t.Scale {
			t.Scale[i], t.Bias[i] = r.Float32()/1000, r.Float32()
		}
		for i := range t.Weights {
			t.Weights[i] = int16(r.IntN(65536) - 32768)
		}
		m.Tables = append(m.Tables, t)
	}
	m.Heads = []Head{
		{Name: "x", Kind: Softmax, Space: 0, First: 0, Labels: []string{"p", "q", "r"}, Slope: []float64{1, 1, 1}, Offset: []float64{0, 1, 0}, Threshold: []float64{0, 0, 0}},
		{Name: "y", Kind: Sigmoid, Space: 1, First: 1, Labels: []string{"z"}, Slope: []float64{2}, Offset: []float64{-1}, Threshold: []float64{0.5}},
	}
	return m
}

func encode(t testing.TB, m *Model) []byte {
	t.Helper()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestArtefactSurvives(t *testing.T) {
	m := tiny()
	b := encode(t, m)
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(*got) != fmt.Sprint(*m) || !slices.Equal(encode(t, got), b) {
		t.Error("the artefact changed on its way")
	}
}

func TestBadArtefactsAreRefused(t *testing.T) {
	b := encode(t, tiny())
	f := func(name string, b []byte, want error) {
		t.Helper()
		if _, err := Decode(b); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	f("empty", nil, ErrNotAModel)
	f("other file", []byte("GIF89a and much more that is certainly not a model of any kind at all"), ErrNotAModel)
	f("cut", b[:len(b)-1], ErrDamaged)
	flipped := slices.Clone(b)
	flipped[len(b)/2] ^= 1
	f("one bit", flipped, ErrDamaged)
	other := tiny()
	other.Features++
	f("other features", encode(t, other), ErrVersion)
	crooked := tiny()
	crooked.Heads[0].First = 2
	f("head beyond its space", encode(t, crooked), ErrDamaged)
	short := tiny()
	short.Tables = short.Tables[:1]
	f("missing space", encode(t, short), ErrDamaged)
}

// TestCacheChangesNothing compares a scorer that met other words before with one that did not.
func TestCacheChangesNothing(t *testing.T) {
	m := tiny()
	a, err := text.NewAnalyzer()
	if err != nil {
		t.Fatal(err)
	}
	used := NewScorer(m)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		d := &text.Doc{}
		a.Analyze(d, s)
		fresh := NewScorer(m)
		used.Score(d)
		fresh.Score(d)
		for i := range m.Heads {
			h := &m.Heads[i]
			p, q := make([]float64, len(h.Labels)), make([]float64, len(h.Labels))
			used.Probabilities(h, p)
			fresh.Probabilities(h, q)
			total := 0.0
			for c := range p {
				if p[c] != q[c] || math.IsNaN(p[c]) || p[c] < 0 || p[c] > 1 {
					t.Fatalf("%q: head %s: %v and %v", s, h.Name, p, q)
				}
				total += p[c]
			}
			if h.Kind == Softmax && math.Abs(total-1) > 1e-9 {
				t.Fatalf("%q: probabilities sum to %v", s, total)
			}
		}
	})
}
