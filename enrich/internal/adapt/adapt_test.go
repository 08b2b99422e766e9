package adapt

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// stream makes examples of a stream whose classes are 80 % the second label, for which the head's own answer is biased towards the first; with word, one word tells
// the third label where the head knows nothing.
func stream(n int, seed uint64, word bool) []Example {
	random := rand.New(rand.NewPCG(seed, 1))
	out := make([]Example, n)
	for i := range out {
		gold := 1
		if u := random.Float64(); u < 0.1 {
			gold = 0
		} else if u < 0.2 {
			gold = 2
		}
		base := []float64{1.5 + random.NormFloat64(), random.NormFloat64(), random.NormFloat64()}
		words := []uint32{random.Uint32N(50) << 25, random.Uint32N(50) << 25}
		if gold == 2 && word {
			words = append(words, 77<<20)
		}
		if gold != 2 || !word {
			base[gold] += 2
		}
		softmax(base)
		own := Decide(base, nil)
		for k := range base {
			base[k] = math.Log(base[k])
		}
		out[i] = Example{Features: Features{Base: base, Signals: []float64{random.NormFloat64()}, Words: words}, Gold: gold, Own: own, Weight: 1, Group: random.Uint64()}
	}
	return out
}

func TestAdaptsWhereThereIsSomethingToLearn(t *testing.T) {
	o := Adapt(stream(300, 1, true), 3, 1)
	if !o.Accepted || o.GainLow <= 0 || o.After.MacroF1 <= o.Before.MacroF1 {
		t.Fatalf("not accepted: %+v", o)
	}
	// The figures are cross-validated: on a stream that it has never seen the correction is as good as they say.
	p, right := make([]float64, 3), 0
	fresh := stream(4000, 2, true)
	for i := range fresh {
		o.Correction.Apply(fresh[i].Features, p)
		if Decide(p, o.Boost) == fresh[i].Gold {
			right++
		}
	}
	if got := float64(right) / float64(len(fresh)); math.Abs(got-o.After.Accuracy) > 0.06 {
		t.Errorf("accuracy of new messages %.3f; cross-validation promised %.3f", got, o.After.Accuracy)
	}
	if o.Correction.Words == nil {
		t.Error("the word that tells a class was not learnt")
	}
}

func TestRefusesWhereThereIsNothingToLearn(t *testing.T) {
	// The head is right about the stream: its probabilities are the true ones.
	random := rand.New(rand.NewPCG(9, 9))
	examples := stream(300, 3, false)
	for i := range examples {
		p := make([]float64, 3)
		for k, l := range examples[i].Base {
			p[k] = math.Exp(l)
		}
		u := random.Float64()
		examples[i].Gold = 2
		if u < p[0] {
			examples[i].Gold = 0
		} else if u < p[0]+p[1] {
			examples[i].Gold = 1
		}
	}
	if o := Adapt(examples, 3, 1); o.Accepted || o.Reason == "" {
		t.Errorf("accepted: %+v", o)
	}
	if o := Adapt(examples[:99], 3, 1); o.Accepted || o.Correction != nil {
		t.Error("99 labels were enough")
	}
	for i := range examples {
		examples[i].Gold = i % 2
	}
	if o := Adapt(examples, 3, 1); o.Correction != nil || !strings.Contains(o.Reason, "class") {
		t.Errorf("a class without labels: %q", o.Reason)
	}
}

// Probabilities are much better in both cases. Of a rare class that one text less is found of says nothing; that none of it is found any more does.
func TestOnlyAFallBeyondChanceRefuses(t *testing.T) {
	const texts = 200
	compared := func(rare, foundBefore, foundAfter int) gain {
		examples := make([]Example, texts)
		var before, after answered
		for i := range examples {
			examples[i] = Example{Weight: 1, Group: uint64(i)}
			was, is := 0, 0
			if i < rare {
				examples[i].Gold = 1
				was, is = place(i < foundBefore), place(i < foundAfter)
			}
			sure := []float64{0.9, 0.1}
			if examples[i].Gold == 1 {
				slices.Reverse(sure)
			}
			before.p, after.p = append(before.p, []float64{0.5, 0.5}), append(after.p, sure)
			before.labels, after.labels = append(before.labels, was), append(after.labels, is)
		}
		return gains(examples, before, after, 2, 1)
	}
	chance := compared(6, 4, 3)
	if chance.f1.mean >= 0 || chance.f1.high < 0 {
		t.Fatalf("one of six texts: %+v", chance.f1)
	}
	if reason := chance.reasonAgainst(); reason != "" {
		t.Errorf("one of six texts refused: %s", reason)
	}
	if loss := compared(40, 30, 5); !strings.Contains(loss.reasonAgainst(), "macro-F1") {
		t.Errorf("25 of 40 texts were lost: %q, %+v", loss.reasonAgainst(), loss.f1)
	}
}

func place(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func TestOrderOfExamplesDoesNotMatter(t *testing.T) {
	examples := stream(120, 4, true)
	a := Adapt(examples, 3, 1)
	turned := slices.Clone(examples)
	slices.Reverse(turned)
	b := Adapt(turned, 3, 1)
	slices.Reverse(b.OutOfFold)
	if d := cmp.Diff(a, b); d != "" {
		t.Error(d)
	}
}

func TestCopiesStayTogether(t *testing.T) {
	examples := stream(200, 5, false)
	for i := range examples {
		examples[i].Group = uint64(i / 4)
	}
	sorted, _ := ordered(examples)
	foldOf := assign(sorted, 1)
	of := map[uint64]int{}
	for i := range sorted {
		if f, ok := of[sorted[i].Group]; ok && f != foldOf[i] {
			t.Fatalf("group %d is in folds %d and %d", sorted[i].Group, f, foldOf[i])
		}
		of[sorted[i].Group] = foldOf[i]
	}
}

func TestCorrectionsGiveProbabilities(t *testing.T) {
	c := fit(stream(150, 6, true), 3, strength{1, 0.3})
	rapid.Check(t, func(t *rapid.T) {
		f := Features{
			Base:    rapid.SliceOfN(rapid.Float64Range(-10, 0), 3, 3).Draw(t, "base"),
			Signals: rapid.SliceOfN(rapid.Float64Range(-5, 5), 1, 1).Draw(t, "signals"), Words: rapid.SliceOf(rapid.Uint32()).Draw(t, "words"),
		}
		p := make([]float64, 3)
		c.Apply(f, p)
		sum := 0.0
		for _, x := range p {
			if !(x >= 0 && x <= 1) {
				t.Fatalf("%v", p)
			}
			sum += x
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Fatalf("%v", p)
		}
	})
}

func TestFolderKeepsEveryRevision(t *testing.T) {
	folder := Folder(t.TempDir())
	back := 1
	first := &Adaptation{Institution: "kota-contoh", Revision: 1, Base: "1-ab/rules-1", MadeAt: time.Unix(1e9, 0).UTC(), Heads: []Head{{
		Head: "sentiment", Labels: []string{"a", "b", "c"}, Examples: 120, Correction: fit(stream(120, 7, true), 3, strength{1, 1}), Boost: []float64{1, 2, 0.5}, OutOfFold: map[uint64]int{7: 2},
	}}}
	second := &Adaptation{Institution: "kota-contoh", Revision: 2, Base: "1-ab/rules-1", MadeAt: time.Unix(2e9, 0).UTC(), RevertedTo: &back}
	other := &Adaptation{Institution: "kota-contoh", Revision: 1, Base: "2-cd/rules-1"}
	for _, a := range []*Adaptation{second, first, other} {
		if _, err := folder.Add(a); err != nil {
			t.Fatal(err)
		}
	}
	got, err := folder.Revisions("kota-contoh", "1-ab/rules-1")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]*Adaptation{first, second}, got); d != "" {
		t.Error(d)
	}
	if _, err := folder.Add(first); err == nil {
		t.Error("a revision was replaced")
	}
	if _, err := folder.Revisions("../elsewhere", "1"); err == nil {
		t.Error("an institution led out of the folder")
	}
	if names, err := folder.Institutions(); err != nil || !slices.Equal(names, []string{"kota-contoh"}) {
		t.Errorf("%v, %v", names, err)
	}
}

func FuzzAdaptation(f *testing.F) {
	seed, err := json.Marshal(&Adaptation{Institution: "i", Revision: 1, Base: "b", Heads: []Head{{Head: "sentiment", Labels: []string{"a", "b"}, Correction: &Correction{Slope: 1, Bias: []float64{0, 0}}, Boost: []float64{1, 1}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		a := &Adaptation{}
		if json.Unmarshal(b, a) != nil || a.Check() != nil {
			return
		}
		for _, h := range a.Heads {
			dims := 0
			if len(h.Correction.Signals) > 0 {
				dims = len(h.Correction.Signals[0])
			}
			p := make([]float64, len(h.Labels))
			h.Correction.Apply(Features{Base: make([]float64, len(h.Labels)), Signals: make([]float64, dims), Words: []uint32{1, 1 << 31}}, p)
			if k := Decide(p, h.Boost); k < 0 || k >= len(p) {
				t.Fatal(k)
			}
		}
	})
}
