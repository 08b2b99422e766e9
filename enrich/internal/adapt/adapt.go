package adapt

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

const (
	// Fewest and Most are how many labels a head is adapted from.
	Fewest = 100
	Most   = 5_000
	// fewestOfLabel is how many examples of a label it takes before anything is learnt about it.
	fewestOfLabel = 3

	folds           = 5
	bootstrapRounds = 1_000
)

// Figures say how good answers are on the stream, each example with its weight.
type Figures struct {
	LogLoss  float64 `json:"log_loss"`
	MacroF1  float64 `json:"macro_f1"`
	Accuracy float64 `json:"accuracy"`
}

// Outcome is what adapting one head came to. Its figures are cross-validated: every answer comes from a correction that saw neither the text nor a copy of it, the
// choice of how much may be learnt included.
type Outcome struct {
	Correction *Correction
	// Boost is what each probability is multiplied by before the largest is taken. It makes the labels' shares those of the stream, which the most probable label of
	// each message alone does not: where most is neutral, little else would ever be largest.
	Boost         []float64
	Before, After Figures
	// Gain is by how much the log loss falls, with a 95 % bootstrap interval over texts.
	Gain, GainLow, GainHigh float64
	// Accepted is true if the whole interval of Gain is above 0 and macro-F1 does not fall; else Reason says why not.
	Accepted bool
	Reason   string
	// OutOfFold is each example's label as a correction that had not seen it gives it.
	OutOfFold []int
}

// Adapt fits a correction to examples. The same examples in any order, and seed, give the same outcome.
func Adapt(examples []Example, labels int, seed uint64) Outcome {
	o := Outcome{Reason: reasonAgainst(examples, labels)}
	if o.Reason != "" {
		return o
	}
	examples, place := ordered(examples)
	foldOf := assign(examples, seed)
	all := func(int) bool { return true }

	chosen := choose(examples, foldOf, labels, -1)
	o.Correction = fit(examples, labels, chosen)
	p := held(examples, foldOf, labels, func(int) strength { return chosen })
	o.Boost = match(examples, p, labels, all)

	// The figures choose anew within each fold, so that they owe nothing to the texts that they are about.
	inner := make([]strength, folds)
	for f := range folds {
		inner[f] = choose(examples, foldOf, labels, f)
	}
	p = held(examples, foldOf, labels, func(f int) strength { return inner[f] })
	answers := make([]int, len(examples))
	for f := range folds {
		boost := match(examples, p, labels, func(i int) bool { return foldOf[i] != f })
		for i := range examples {
			if foldOf[i] == f {
				answers[i] = Decide(p[i], boost)
			}
		}
	}
	before, base := make([][]float64, len(examples)), make([]int, len(examples))
	for i := range examples {
		before[i] = make([]float64, labels)
		for k, l := range examples[i].Base {
			before[i][k] = math.Exp(l)
		}
		base[i] = examples[i].Own
	}
	o.Before, o.After = figures(examples, before, base, labels), figures(examples, p, answers, labels)
	o.Gain, o.GainLow, o.GainHigh = gain(examples, before, p, seed)
	switch {
	case o.GainLow <= 0:
		o.Reason = "cross-validated, the log loss does not fall beyond its interval"
	case o.After.MacroF1 < o.Before.MacroF1:
		o.Reason = "cross-validated, macro-F1 falls"
	}
	o.Accepted = o.Reason == ""
	o.OutOfFold = make([]int, len(examples))
	for i, at := range place {
		o.OutOfFold[at] = answers[i]
	}
	return o
}

// Decide returns the label of probabilities p; a nil boost decides for the largest.
func Decide(p, boost []float64) int {
	best, top := 0, -1.0
	for k, v := range p {
		if boost != nil {
			v *= boost[k]
		}
		if v > top {
			best, top = k, v
		}
	}
	return best
}

func reasonAgainst(examples []Example, labels int) string {
	count := make([]int, labels)
	for i := range examples {
		count[examples[i].Gold]++
	}
	switch {
	case len(examples) < Fewest:
		return "too few labels"
	case len(examples) > Most:
		return "too many labels: train a model on them"
	case slices.Min(count) < fewestOfLabel:
		return "a class has hardly any label"
	}
	return ""
}

// ordered puts examples into an order that does not depend on theirs; place is where each came from.
func ordered(examples []Example) (out []Example, place []int) {
	place = make([]int, len(examples))
	for i := range place {
		place[i] = i
	}
	slices.SortStableFunc(place, func(a, b int) int {
		x, y := &examples[a], &examples[b]
		return cmp.Or(cmp.Compare(x.Gold, y.Gold), cmp.Compare(x.Group, y.Group), cmp.Compare(x.Weight, y.Weight), cmp.Compare(x.Own, y.Own))
	})
	out = make([]Example, len(examples))
	for i, at := range place {
		out[i] = examples[at]
	}
	return out, place
}

// assign gives each group of examples a fold, such that every fold has its share of every label.
func assign(examples []Example, seed uint64) []int {
	random := rand.New(rand.NewPCG(seed, 5))
	of := map[uint64]int{}
	out := make([]int, len(examples))
	for from := 0; from < len(examples); {
		to := from
		var groups []uint64
		for ; to < len(examples) && examples[to].Gold == examples[from].Gold; to++ {
			g := examples[to].Group
			if _, ok := of[g]; !ok {
				of[g] = 0
				groups = append(groups, g)
			}
		}
		start := random.IntN(folds)
		for n, at := range random.Perm(len(groups)) {
			of[groups[at]] = (start + n) % folds
		}
		from = to
	}
	for i := range examples {
		out[i] = of[examples[i].Group]
	}
	return out
}

// choose returns the strength with the least log loss over the folds but one (-1: all); of equals the most cautious.
func choose(examples []Example, foldOf []int, labels, without int) strength {
	best, least := strengths[0], math.Inf(1)
	for _, s := range strengths {
		loss := 0.0
		p := make([]float64, labels)
		for f := range folds {
			if f == without {
				continue
			}
			c := fit(subset(examples, func(i int) bool { return foldOf[i] != f && foldOf[i] != without }), labels, s)
			for i := range examples {
				if foldOf[i] == f {
					c.Apply(examples[i].Features, p)
					loss -= examples[i].Weight * math.Log(max(p[examples[i].Gold], 1e-9))
				}
			}
		}
		if loss < least*(1-1e-9) {
			best, least = s, loss
		}
	}
	return best
}

// held returns for each example the probabilities by a correction fitted without its fold.
func held(examples []Example, foldOf []int, labels int, s func(fold int) strength) [][]float64 {
	out := make([][]float64, len(examples))
	for f := range folds {
		c := fit(subset(examples, func(i int) bool { return foldOf[i] != f }), labels, s(f))
		for i := range examples {
			if foldOf[i] == f {
				out[i] = make([]float64, labels)
				c.Apply(examples[i].Features, out[i])
			}
		}
	}
	return out
}

func subset(examples []Example, keep func(int) bool) []Example {
	var out []Example
	for i := range examples {
		if keep(i) {
			out = append(out, examples[i])
		}
	}
	return out
}

// match finds the boost with which the answers' shares are the labels' shares, over the examples that count.
func match(examples []Example, p [][]float64, labels int, counts func(int) bool) []float64 {
	const steps, furthest, smooth = 60, 4.0, 1.0
	boost := make([]float64, labels)
	for k := range boost {
		boost[k] = 1
	}
	gold, got := make([]float64, labels), make([]float64, labels)
	for step := range steps {
		for k := range labels {
			gold[k], got[k] = smooth, smooth
		}
		for i := range examples {
			if counts(i) {
				gold[examples[i].Gold] += examples[i].Weight
				got[Decide(p[i], boost)] += examples[i].Weight
			}
		}
		for k := range labels {
			// A step that shrinks comes to rest between two shares that no boost parts.
			boost[k] *= math.Pow(gold[k]/got[k], 0.5/(1+0.1*float64(step)))
			boost[k] = min(max(boost[k], 1/furthest), furthest)
		}
	}
	return boost
}

func figures(examples []Example, p [][]float64, answers []int, labels int) Figures {
	var f Figures
	total := 0.0
	hit, gold, got := make([]float64, labels), make([]float64, labels), make([]float64, labels)
	for i := range examples {
		e := &examples[i]
		total += e.Weight
		f.LogLoss -= e.Weight * math.Log(max(p[i][e.Gold], 1e-9))
		gold[e.Gold] += e.Weight
		got[answers[i]] += e.Weight
		if answers[i] == e.Gold {
			hit[e.Gold] += e.Weight
			f.Accuracy += e.Weight
		}
	}
	for k := range labels {
		if gold[k]+got[k] > 0 {
			f.MacroF1 += 2 * hit[k] / (gold[k] + got[k]) / float64(labels)
		}
	}
	f.LogLoss /= total
	f.Accuracy /= total
	return f
}

// gain is the mean fall of the log loss, with a bootstrap interval over groups.
func gain(examples []Example, before, after [][]float64, seed uint64) (mean, low, high float64) {
	type sum struct{ fall, weight float64 }
	at := map[uint64]int{}
	var groups []sum
	for i := range examples {
		e := &examples[i]
		n, ok := at[e.Group]
		if !ok {
			n = len(groups)
			at[e.Group] = n
			groups = append(groups, sum{})
		}
		groups[n].fall += e.Weight * (math.Log(max(after[i][e.Gold], 1e-9)) - math.Log(max(before[i][e.Gold], 1e-9)))
		groups[n].weight += e.Weight
	}
	random := rand.New(rand.NewPCG(seed, 6))
	values := make([]float64, bootstrapRounds)
	for r := range values {
		var s sum
		for range groups {
			g := groups[random.IntN(len(groups))]
			s.fall += g.fall
			s.weight += g.weight
		}
		values[r] = s.fall / s.weight
	}
	slices.Sort(values)
	var s sum
	for _, g := range groups {
		s.fall += g.fall
		s.weight += g.weight
	}
	return s.fall / s.weight, values[bootstrapRounds*25/1000], values[bootstrapRounds*975/1000]
}
