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
	// F1Gain is by how much macro-F1 rises, with its interval over the same draws of texts: of rare classes a handful of texts decides it.
	F1Gain, F1GainLow, F1GainHigh float64
	// Accepted is true if the whole interval of Gain is above 0, and that of F1Gain not below it; else Reason says why not.
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

	fits := &fits{examples, foldOf, labels, map[fitted]*Correction{}}
	chosen := fits.choose(-1)
	o.Correction = fit(examples, labels, chosen)
	p := fits.held(func(int) strength { return chosen })
	o.Boost = match(examples, p, labels, all)

	// The figures choose anew within each fold, so that they owe nothing to the texts that they are about.
	inner := make([]strength, folds)
	for f := range folds {
		inner[f] = fits.choose(f)
	}
	p = fits.held(func(f int) strength { return inner[f] })
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
	o.Before, o.After = figures(examples, answered{before, base}, labels), figures(examples, answered{p, answers}, labels)
	g := gains(examples, answered{before, base}, answered{p, answers}, labels, seed)
	o.Gain, o.GainLow, o.GainHigh = g.loss.mean, g.loss.low, g.loss.high
	o.F1Gain, o.F1GainLow, o.F1GainHigh = g.f1.mean, g.f1.low, g.f1.high
	o.Reason = g.reasonAgainst()
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

// fits are the corrections of the folds, each fitted once: what two folds leave over is the same whichever of the two is asked about.
type fits struct {
	examples []Example
	foldOf   []int
	labels   int
	known    map[fitted]*Correction
}

// fitted names a correction by the two folds (the same one twice, if it is one) that it has not seen, the smaller first, and how much it may learn.
type fitted struct {
	first, second int
	strength      strength
}

// without is the correction that has seen neither fold.
func (c *fits) without(f, g int, s strength) *Correction {
	key := fitted{min(f, g), max(f, g), s}
	if c.known[key] == nil {
		c.known[key] = fit(subset(c.examples, func(i int) bool { return c.foldOf[i] != f && c.foldOf[i] != g }), c.labels, s)
	}
	return c.known[key]
}

// choose returns the strength with the least log loss over the folds but one (-1: all); of equals the most cautious.
func (c *fits) choose(without int) strength {
	best, least := strengths[0], math.Inf(1)
	p := make([]float64, c.labels)
	for _, s := range strengths {
		loss := 0.0
		for f := range folds {
			if f == without {
				continue
			}
			other := f
			if without >= 0 {
				other = without
			}
			held := c.without(f, other, s)
			for i := range c.examples {
				if c.foldOf[i] == f {
					held.Apply(c.examples[i].Features, p)
					loss -= c.examples[i].Weight * math.Log(max(p[c.examples[i].Gold], 1e-9))
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
func (c *fits) held(s func(fold int) strength) [][]float64 {
	out := make([][]float64, len(c.examples))
	for f := range folds {
		held := c.without(f, f, s(f))
		for i := range c.examples {
			if c.foldOf[i] == f {
				out[i] = make([]float64, c.labels)
				held.Apply(c.examples[i].Features, out[i])
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

// answered is one way to answer examples: the probabilities and the label of each.
type answered struct {
	p      [][]float64
	labels []int
}

func figures(examples []Example, a answered, labels int) Figures {
	var f Figures
	total := 0.0
	t := newTally(labels)
	for i := range examples {
		e := &examples[i]
		total += e.Weight
		f.LogLoss -= e.Weight * math.Log(max(a.p[i][e.Gold], 1e-9))
		t.add(e.Gold, a.labels[i], e.Weight)
		if a.labels[i] == e.Gold {
			f.Accuracy += e.Weight
		}
	}
	f.MacroF1 = t.macroF1()
	f.LogLoss /= total
	f.Accuracy /= total
	return f
}

// tally counts by label, with weights, what answers macro-F1.
type tally struct{ hit, gold, got []float64 }

func newTally(labels int) *tally {
	return &tally{make([]float64, labels), make([]float64, labels), make([]float64, labels)}
}

func (t *tally) clear() {
	clear(t.hit)
	clear(t.gold)
	clear(t.got)
}

func (t *tally) add(gold, answer int, weight float64) {
	t.gold[gold] += weight
	t.got[answer] += weight
	if answer == gold {
		t.hit[gold] += weight
	}
}

func (t *tally) macroF1() float64 {
	f1 := 0.0
	for k := range t.hit {
		if t.gold[k]+t.got[k] > 0 {
			f1 += 2 * t.hit[k] / (t.gold[k] + t.got[k]) / float64(len(t.hit))
		}
	}
	return f1
}

// interval is a figure with its 95 % bootstrap interval.
type interval struct{ mean, low, high float64 }

// gain is by how much the mean log loss falls, and macro-F1 rises.
type gain struct{ loss, f1 interval }

// reasonAgainst is why what gained so little is not accepted, or empty.
func (g gain) reasonAgainst() string {
	switch {
	case g.loss.low <= 0:
		return "cross-validated, the log loss does not fall beyond its interval"
	case g.f1.high < 0:
		return "cross-validated, macro-F1 falls beyond its interval"
	}
	return ""
}

// gains compares two ways to answer, over draws of groups of examples.
func gains(examples []Example, before, after answered, labels int, seed uint64) gain {
	at := map[uint64]int{}
	var groups [][]int
	for i := range examples {
		n, ok := at[examples[i].Group]
		if !ok {
			n = len(groups)
			at[examples[i].Group] = n
			groups = append(groups, nil)
		}
		groups[n] = append(groups[n], i)
	}
	was, is := newTally(labels), newTally(labels)
	compare := func(group func(n int) int) (loss, f1 float64) {
		was.clear()
		is.clear()
		weight := 0.0
		for n := range groups {
			for _, i := range groups[group(n)] {
				e := &examples[i]
				weight += e.Weight
				loss += e.Weight * (math.Log(max(after.p[i][e.Gold], 1e-9)) - math.Log(max(before.p[i][e.Gold], 1e-9)))
				was.add(e.Gold, before.labels[i], e.Weight)
				is.add(e.Gold, after.labels[i], e.Weight)
			}
		}
		return loss / weight, is.macroF1() - was.macroF1()
	}
	random := rand.New(rand.NewPCG(seed, 6))
	losses, f1s := make([]float64, bootstrapRounds), make([]float64, bootstrapRounds)
	for r := range losses {
		losses[r], f1s[r] = compare(func(int) int { return random.IntN(len(groups)) })
	}
	loss, f1 := compare(func(n int) int { return n })
	return gain{between(loss, losses), between(f1, f1s)}
}

// between sorts what the draws gave.
func between(mean float64, draws []float64) interval {
	slices.Sort(draws)
	return interval{mean, draws[len(draws)*25/1000], draws[len(draws)*975/1000]}
}
