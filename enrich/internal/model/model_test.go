package model

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

func tiny() *Model {
	m := &Model{Header: Header{Version: "1-test", Seq: 1, Features: text.Version, Spaces: []SpaceHeader{{Name: "a", Bits: 8, Columns: 3, ConceptScale: 0.5}, {Name: "b", Bits: 10, Columns: 2, WordScale: 1, ConceptScale: 1}}}}
	r := rand.New(rand.NewPCG(1, 2))
	for _, h := range m.Spaces {
		t := NewSpace(h)
		for i := range t.Scale {
			t.Scale[i], t.Bias[i] = r.Float32()/1000, r.Float32()
		}
		for row := range 1 << h.Bits {
			for c := range h.Columns {
				t.SetWeight(row, c, int16(r.IntN(65536)-32768))
			}
		}
		m.Tables = append(m.Tables, t)
	}
	net := NewNetwork(NetworkHeader{Bits: 6, Dims: 8, Filters: 12, Labels: 3, Top: 2})
	for i := range net.Rows {
		net.Rows[i] = byte(r.IntN(256))
	}
	net.RowScale = 0.01
	for _, part := range net.floats() {
		for i := range part {
			part[i] = r.Float32() - 0.5
		}
	}
	m.Nets, m.Networks = []*Network{net, net}, []NetworkHeader{net.NetworkHeader, net.NetworkHeader}
	m.Heads = []Head{
		{Name: "x", Kind: Softmax, Space: 0, First: 0, Labels: []string{"p", "q", "r"}, Slope: []float64{1, 1, 1}, Offset: []float64{0, 1, 0}, Threshold: []float64{0, 0, 0}},
		{Name: "deep", Kind: Softmax, Space: 0, First: 0, Labels: []string{"p", "q", "r"}, Networks: 0.5, Slope: []float64{1, 1, 1}, Offset: []float64{0, 1, 0}, Threshold: []float64{0, 0, 0}},
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
	if !slices.Equal(encode(t, got), b) || fmt.Sprint(got.Header) != fmt.Sprint(m.Header) || fmt.Sprint(got.Tables) != fmt.Sprint(m.Tables) || fmt.Sprint(*got.Nets[1]) != fmt.Sprint(*m.Nets[1]) {
		t.Error("the artefact changed on its way")
	}
}

// A space is as large in the artefact as what is in it, and a bit for each row.
func TestEmptyRowsTakeNoRoom(t *testing.T) {
	m := tiny()
	h := SpaceHeader{Name: "wide", Bits: 12, Columns: 3}
	wide := NewSpace(h)
	m.Spaces, m.Tables = append(m.Spaces, h), append(m.Tables, wide)
	empty := encode(t, m)
	for _, row := range []int{0, 7, 8, 4095} {
		wide.SetWeight(row, row%3, int16(row-5))
	}
	b := encode(t, m)
	if got, want := len(b)-len(empty), 4*3*2; got != want {
		t.Errorf("four rows of three weights took %d bytes, want %d", got, want)
	}
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got.Tables) != fmt.Sprint(m.Tables) {
		t.Error("the weights changed on their way")
	}
	// Without networks and the other spaces nothing follows the rows that could stand in for those that are missing.
	alone := &Model{Header: Header{Features: m.Features, Spaces: []SpaceHeader{h}}, Tables: []Space{wide}}
	whole := encode(t, alone)
	cut := whole[:len(whole)-sha256.Size-1]
	sum := sha256.Sum256(cut)
	if _, err := Decode(append(slices.Clone(cut), sum[:]...)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a row too few: %v", err)
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
	for _, second := range [][]float64{{1}, {0, 1}, {-1, 0}} {
		falling := tiny()
		falling.Heads[0].Reported = second
		f("second calibration that does not grow", encode(t, falling), ErrDamaged)
	}
	shapeless := tiny()
	shapeless.Networks[0].Filters = 13
	f("network of another shape", encode(t, shapeless), ErrDamaged)
	fewer := tiny()
	fewer.Networks[0].Bits = 7
	f("network cut short", encode(t, fewer), ErrDamaged)
	none := tiny()
	none.Networks, none.Nets = nil, nil
	f("head without its networks", encode(t, none), ErrDamaged)
	short := tiny()
	short.Tables = short.Tables[:1]
	f("missing space", encode(t, short), ErrDamaged)
}

// What is reported grows with the probability, and leads back to it.
func TestReport(t *testing.T) {
	plain, second := &Head{}, &Head{Reported: []float64{1.3, 0.4}}
	last := 0.0
	for p := 0.001; p < 0.999; p += 0.01 {
		if plain.Report(p) != p || plain.Unreport(p) != p {
			t.Errorf("without a second calibration %v is reported as %v", p, plain.Report(p))
		}
		r := second.Report(p)
		if r <= last || r >= 1 || math.Abs(second.Unreport(r)-p) > 1e-9 {
			t.Errorf("%v is reported as %v, after %v; back %v", p, r, last, second.Unreport(r))
		}
		last = r
	}
}

// TestScoresAreTheirDefinition compares the packed sums with a plain reading of the definition, weight by weight.
func TestScoresAreTheirDefinition(t *testing.T) {
	m := tiny()
	a, err := text.NewAnalyzer()
	if err != nil {
		t.Fatal(err)
	}
	plain := func(space *Space, features []uint32, column int) float64 {
		sum := 0
		for _, h := range features {
			sum += int(space.Weight(int(h>>(32-space.Bits)), column))
		}
		return float64(sum)
	}
	scorer := NewScorer(m)
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"tidak", "baik", "petugasnya", "buruk", "?", "👍", "antre", "kata-yang-terlalu-panjang-untuk-disimpan", rapid.String().Draw(t, "word")}), 0, 60).Draw(t, "words"), " ")
		s = strings.Repeat(s+" ", rapid.SampledFrom([]int{1, 3, 20}).Draw(t, "times"))
		d := &text.Doc{}
		a.Analyze(d, s)
		var grams []uint32
		for _, tok := range d.Tokens {
			grams = d.Grams(tok, grams)
		}
		scorer.Score(d)
		for i := range m.Tables {
			space := &m.Tables[i]
			for c := range space.Columns {
				want := float64(space.Bias[c]) + float64(space.Scale[c])*(space.WordScale*ViewScale(len(d.Words))*plain(space, d.Words, c)+
					space.ConceptScale*ViewScale(len(d.Concepts))*plain(space, d.Concepts, c)+ViewScale(len(grams))*plain(space, grams, c))
				if got := scorer.scores[i][c]; got != want {
					t.Fatalf("%q: column %d of space %s scores %v, want %v", s, c, space.Name, got, want)
				}
			}
		}
	})
}

// TestSumsHaveRoom adds up as many rows as a text can have, all of the largest or smallest weight.
func TestSumsHaveRoom(t *testing.T) {
	extremes := []int16{math.MaxInt16, math.MinInt16, 0, math.MinInt16, math.MaxInt16}
	for _, columns := range []int{3, 5, 16} {
		space := NewSpace(SpaceHeader{Bits: 1, Columns: columns})
		for row := range 2 {
			for c := range columns {
				space.SetWeight(row, c, extremes[c%len(extremes)])
			}
		}
		features := make([]uint32, mostRows)
		sum, out := make([]uint64, space.sumSize()), make([]int32, space.Columns)
		space.add(sum, features)
		space.unpack(sum, len(features), out)
		for c, got := range out {
			if want := int32(extremes[c%len(extremes)]) * int32(len(features)); got != want {
				t.Errorf("column %d of %d sums to %d, want %d", c, columns, got, want)
			}
		}
	}
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
			if h.Kind != Softmax {
				used.Reportable(h, q)
				for c := range p {
					if q[c] != p[c] && (q[c] != 0 || p[c] >= LeastReported) {
						t.Fatalf("%q: head %s: %v is to report as %v", s, h.Name, p, q)
					}
				}
				continue
			}
			if math.Abs(total-1) > 1e-9 {
				t.Fatalf("%q: probabilities sum to %v", s, total)
			}
			for _, least := range []float64{0.35, 0.5, 0.99} {
				best, likely := used.Likeliest(h, least, q)
				if p[best] != slices.Max(p) || likely != (p[best] >= least) {
					t.Fatalf("%q: head %s: label %d, likelier than %v: %v; the probabilities are %v", s, h.Name, best, least, likely, p)
				}
			}
		}
	})
}

// hashesOf are hashes that tell the tokens of one text apart.
func hashesOf(d *text.Doc) []uint64 {
	var out []uint64
	for h, i := newWordHasher(), 0; i < len(d.Tokens); i++ {
		out = append(out, h.of(d.Text(d.Tokens[i])))
	}
	return out
}

// TestMetWordsForgetOldOnesFirst: a set keeps its words, whichever it is asked for, until a fifth comes; that never takes the place of the word used last.
func TestMetWordsForgetOldOnesFirst(t *testing.T) {
	const slots = 1 << waysBits
	rapid.Check(t, func(t *rapid.T) {
		m := newMetWords(waysBits + 3)
		set := rapid.Uint64Range(0, 7).Draw(t, "set") << 61
		slotOf := map[uint64]int{}
		for _, w := range rapid.Permutation([]uint64{1, 2, 3, 4}).Draw(t, "words") {
			slot, met := m.find(set | w)
			if met || slot>>waysBits != int(set>>61) {
				t.Fatalf("word %d: slot %d, met %v", w, slot, met)
			}
			m.keep(slot, set|w)
			slotOf[w] = slot
		}
		if len(slotOf) != slots {
			t.Fatalf("%d words took the slots %v", slots, slotOf)
		}
		last := uint64(0)
		for _, w := range rapid.SliceOfN(rapid.Uint64Range(1, 4), 1, 20).Draw(t, "asked") {
			if slot, met := m.find(set | w); !met || slot != slotOf[w] {
				t.Fatalf("word %d: slot %d, met %v; it is in %d", w, slot, met, slotOf[w])
			}
			last = w
		}
		slot, met := m.find(set | 5)
		if met || slot == slotOf[last] {
			t.Fatalf("the fifth word takes slot %d, met %v; the last one used is in %d", slot, met, slotOf[last])
		}
		// Until it is filled, nothing is in the slot.
		for w, of := range slotOf {
			if of == slot {
				if _, met := m.find(set | w); met {
					t.Fatalf("word %d is still found in a slot given up", w)
				}
			}
		}
	})
}

// TestNetworkReadsTheOrder compares the rolling sums with a plain reading of the definition, and shows that the order of words counts.
func TestNetworkReadsTheOrder(t *testing.T) {
	m := tiny()
	n := m.Nets[0]
	a, err := text.NewAnalyzer()
	if err != nil {
		t.Fatal(err)
	}
	vector := func(d *text.Doc, i int) []float32 {
		v := make([]float32, n.Dims)
		if i < 0 || i >= len(d.Tokens) {
			return v
		}
		rows := NetworkRows(d, d.Tokens[i], n.Bits, nil)
		for _, r := range rows {
			for k := range v {
				v[k] += float32(int8(n.Rows[int(r)*n.Dims+k]))
			}
		}
		for k := range v {
			v[k] *= n.RowScale / float32(len(rows))
		}
		return v
	}
	plain := func(d *text.Doc) []float64 {
		hidden := make([]float64, n.Filters+n.Dims)
		for f := range n.Filters {
			for i := range d.Tokens {
				sum := float64(n.TapBias[f])
				for k := range NetworkWindow {
					for c, v := range vector(d, i+k-1) {
						sum += float64(v) * float64(n.Taps[(f*NetworkWindow+k)*n.Dims+c])
					}
				}
				hidden[f] = max(hidden[f], sum)
			}
		}
		for i := range d.Tokens {
			for c, v := range vector(d, i) {
				hidden[n.Filters+c] += float64(v) / float64(len(d.Tokens))
			}
		}
		scores, mean := make([]float64, n.Labels), 0.0
		for l := range scores {
			scores[l] = float64(n.OutBias[l])
			for k, h := range hidden {
				scores[l] += h * float64(n.Out[l*len(hidden)+k])
			}
			mean += scores[l] / float64(n.Labels)
		}
		for l := range scores {
			scores[l] -= mean
		}
		return scores
	}
	s := newNetworkScorer(n)
	seen := map[string]bool{}
	for _, in := range []string{"tidak baik ini buruk sekali", "baik ini tidak buruk sekali", "satu", "dua kata", "", "👍 !", "kata-yang-terlalu-panjang-untuk-disimpan itu baik kata-yang-terlalu-panjang-untuk-disimpan"} {
		d := &text.Doc{}
		a.Analyze(d, in)
		s.score(d, hashesOf(d))
		for l, want := range plain(d) {
			if math.Abs(s.scores[l]-want) > 0.01 {
				t.Errorf("%q: label %d scores %v, want %v", in, l, s.scores[l], want)
			}
		}
		key := fmt.Sprint(s.scores)
		if seen[key] {
			t.Errorf("%q scores as another text does", in)
		}
		seen[key] = true
	}
}

// TestLargerOfLanes compares lanes with numbers.
func TestLargerOfLanes(t *testing.T) {
	lane := rapid.SliceOfN(rapid.OneOf(rapid.Uint64Range(0, 1<<15-1), rapid.SampledFrom([]uint64{0, 1<<15 - 1})), lanes, lanes)
	rapid.Check(t, func(t *rapid.T) {
		var a, b, want uint64
		x, y := lane.Draw(t, "a"), lane.Draw(t, "b")
		for i := range lanes {
			a, b, want = a|x[i]<<(16*i), b|y[i]<<(16*i), want|max(x[i], y[i])<<(16*i)
		}
		if got := larger(a, b); got != want {
			t.Fatalf("the larger of %x and %x is %x, want %x", a, b, got, want)
		}
	})
}

// TestAnswersBeyondTheTopAreCut: an answer too large for its lane is the largest that there is, and leaves its neighbours alone.
func TestAnswersBeyondTheTopAreCut(t *testing.T) {
	m := tiny()
	a, err := text.NewAnalyzer()
	if err != nil {
		t.Fatal(err)
	}
	d := &text.Doc{}
	a.Analyze(d, "tidak baik ini buruk sekali")
	n := *m.Nets[0]
	n.Top = 1e-3
	s := newNetworkScorer(&n)
	s.score(d, hashesOf(d))
	for f, h := range s.hidden {
		if most := NetworkWindow*n.Top + max(n.TapBias[f], 0); h < 0 || h > most*1.001 {
			t.Errorf("filter %d answers %v, want at most %v", f, h, most)
		}
	}
}
