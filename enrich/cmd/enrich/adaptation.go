package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/enrich/internal/adapt"
	"github.com/dwiarah/dwiarah/enrich/internal/label"
	"github.com/dwiarah/dwiarah/enrich/internal/measure"
	"github.com/dwiarah/dwiarah/schemas/shares"
)

const (
	// testShare of a file is held for the test; labels are drawn from the rest as the labelling queue draws them.
	testShare = 0.3
	// sampleMessages is how many messages a share is estimated over, samples how many such estimates a draw makes.
	sampleMessages = 500
	samples        = 40
)

// series is one figure over the draws.
type series []float64

func (s series) mean() float64 {
	sum := 0.0
	for _, x := range s {
		sum += x
	}
	return sum / float64(len(s))
}

func (s series) String() string {
	return fmt.Sprintf("%.3f (%.3f to %.3f)", s.mean(), slices.Min(s), slices.Max(s))
}

// judged is one way to answer: its predictions of the test parts of all draws, its figures by draw, and its errors of the negative share: of counting labels, of
// correcting the counts, and of counting where correcting was possible.
type judged struct {
	accuracy, macroF1             series
	all                           []measure.Prediction
	counting, correcting, counted series
}

// adaptation measures what n labels of a stream are worth: each draw holds a test part, draws labels from the rest, adapts, and answers the test part.
func (c *evaluateCommand) adaptation(s *streams, classifier *enrich.Classifier) error {
	labels := enrich.AdaptableLabels(label.Sentiment)
	texts, err := fileLabels(c.File, c.TextColumn, c.LabelColumn, labels)
	if err != nil {
		return err
	}
	if pool := len(texts) - int(testShare*float64(len(texts))); pool < c.Adapt {
		return fmt.Errorf("evaluating %s: of its %d texts %d are left to draw labels from; --adapt %d is more", c.File, len(texts), pool, c.Adapt)
	}
	results, examples := make([]enrich.Result, len(texts)), make([]adapt.Example, len(texts))
	for i, l := range texts {
		results[i], examples[i], _ = example(classifier, label.Sentiment, l)
	}
	before, after := &judged{}, &judged{}
	accepted := 0
	for draw := range c.Draws {
		seed := c.Seed + uint64(draw)
		order := rand.New(rand.NewPCG(seed, 2)).Perm(len(texts))
		cut := int(testShare * float64(len(texts)))
		test, pool := order[:cut], order[cut:]
		candidates := make([]label.Candidate, len(pool))
		for i, at := range pool {
			k, p := likeliest(&results[at])
			candidates[i] = label.Candidate{Predicted: labels[k], P: float32(p)}
		}
		sampler := label.NewSampler(candidates, seed)
		var learnt []adapt.Example
		var from []int
		for range c.Adapt {
			d, ok := sampler.Next()
			if !ok {
				break
			}
			e := examples[pool[d.Place]]
			e.Weight = d.Weight
			learnt, from = append(learnt, e), append(from, pool[d.Place])
		}
		o := adapt.Adapt(learnt, len(labels), seed)
		own := func(i int) (int, float64) { return likeliest(&results[i]) }
		adapted := own
		if o.Accepted {
			accepted++
			p := make([]float64, len(labels))
			adapted = func(i int) (int, float64) {
				o.Correction.Apply(examples[i].Features, p)
				k := adapt.Decide(p, o.Boost)
				return k, p[k]
			}
		}
		before.judge(examples, test, labels, own)
		after.judge(examples, test, labels, adapted)
		mine, theirs := shares.Confusion{}, shares.Confusion{}
		for n, i := range from {
			k, _ := own(i)
			mine.Add(labels[examples[i].Gold], labels[k], learnt[n].Weight)
			if o.Accepted {
				k = o.OutOfFold[n]
			}
			theirs.Add(labels[examples[i].Gold], labels[k], learnt[n].Weight)
		}
		random := rand.New(rand.NewPCG(seed, 4))
		for range samples {
			sample := drifted(random, examples, test)
			before.share(examples, sample, own, mine.Among(labels...))
			after.share(examples, sample, adapted, theirs.Among(labels...))
		}
	}
	fmt.Fprintf(s.out, "model %s on %s: %d draws of %d labels, %d adaptations accepted; mean (least to greatest)\n\n", classifier.ModelVersion(), c.File, c.Draws, c.Adapt, accepted)
	fmt.Fprintf(s.out, "%-16s %-24s %-24s %s\n", "", "accuracy", "macro-F1", "ECE (all draws together)")
	for _, r := range []struct {
		name string
		*judged
	}{{"before", before}, {"after", after}} {
		fmt.Fprintf(s.out, "%-16s %-24s %-24s %s\n", r.name, r.accuracy, r.macroF1, measure.Evaluate(r.all, c.Seed).ECEText())
	}
	fmt.Fprintf(s.out, "\nerror of the negative share over %d messages, its true value drifting between a third and three times the stream's\n", sampleMessages)
	fmt.Fprintf(s.out, "%-16s %-24s %-24s %-8s %s\n", "", "counting", "corrected", "ratio", "to counting before")
	for _, r := range []struct {
		name string
		*judged
	}{{"before", before}, {"after", after}} {
		if len(r.correcting) == 0 {
			fmt.Fprintf(s.out, "%-16s %-24s not corrected: it takes %d labels, %d of each class, and answers that depend on the truth\n", r.name, r.counting, shares.FewestLabels, shares.FewestOfClass)
			continue
		}
		// The ratio is over the draws that could be corrected.
		fmt.Fprintf(s.out, "%-16s %-24s %-24s %-8.2f %.2f\n", r.name, r.counting, r.correcting, r.correcting.mean()/r.counted.mean(), r.correcting.mean()/before.counting.mean())
	}
	return nil
}

// likeliest is the answer without abstention: its place among the labels, and its probability.
func likeliest(r *enrich.Result) (int, float64) {
	p := []float64{float64(r.PNegative), float64(r.PNeutral), float64(r.PPositive)}
	k := adapt.Decide(p, nil)
	return k, p[k]
}

func (j *judged) judge(examples []adapt.Example, test []int, labels []string, answer func(int) (int, float64)) {
	var predictions []measure.Prediction
	for _, i := range test {
		k, p := answer(i)
		predictions = append(predictions, measure.Prediction{Gold: labels[examples[i].Gold], Predicted: labels[k], P: p})
	}
	r := measure.Evaluate(predictions, 1)
	j.accuracy, j.macroF1 = append(j.accuracy, r.Accuracy), append(j.macroF1, r.MacroF1)
	j.all = append(j.all, predictions...)
}

// drifted draws messages with replacement such that the share of negative ones is anywhere between a third and three times that of the test part.
func drifted(random *rand.Rand, examples []adapt.Example, test []int) []int {
	var negative, other []int
	for _, i := range test {
		if examples[i].Gold == 0 {
			negative = append(negative, i)
		} else {
			other = append(other, i)
		}
	}
	const most = 0.9
	share := min(most, float64(len(negative))/float64(len(test))*math.Pow(3, 2*random.Float64()-1))
	sample := make([]int, sampleMessages)
	for n := range sample {
		from := other
		if random.Float64() < share && len(negative) > 0 {
			from = negative
		}
		sample[n] = from[random.IntN(len(from))]
	}
	return sample
}

// share appends the errors of the negative share over a sample.
func (j *judged) share(examples []adapt.Example, sample []int, answer func(int) (int, float64), matrix *shares.Matrix) {
	counts := make([]float64, 3)
	truth := 0.0
	for _, i := range sample {
		k, _ := answer(i)
		counts[k]++
		if examples[i].Gold == 0 {
			truth++
		}
	}
	n := float64(len(sample))
	off := math.Abs(counts[0]-truth) / n
	j.counting = append(j.counting, off)
	if matrix.Usable() {
		j.counted = append(j.counted, off)
		corrected := shares.Adjust([]shares.Counted{{Counts: counts, Matrix: matrix}})
		j.correcting = append(j.correcting, math.Abs(corrected.Shares[0]-truth/n))
	}
}
