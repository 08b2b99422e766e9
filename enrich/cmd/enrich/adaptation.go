package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/enrich/internal/adapt"
	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/label"
	"github.com/dwiarah/dwiarah/enrich/internal/measure"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
	"github.com/dwiarah/dwiarah/schemas/shares"
)

const (
	// testShare of a file is held for the test; labels are drawn from the rest as the labelling queue draws them.
	testShare = 0.3
	// sampleMessages is how many messages a share is estimated over, samples how many such estimates a draw makes of each label.
	sampleMessages = 500
	samples        = 40
	// fewestOfWatched is how many messages of a risk tag the test part has to have for its share to be estimated.
	fewestOfWatched = 10
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

// ratio writes one mean by another, which may be 0.
func ratio(of, by series) string {
	if by.mean() == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", of.mean()/by.mean())
}

// judged is one way to answer: its predictions of the test parts of all draws, its figures by draw, and its errors of shares: of counting labels, of
// correcting the counts, and of counting where correcting was possible.
type judged struct {
	accuracy, macroF1             series
	all                           []measure.Prediction
	counting, correcting, counted series
}

// adaptation measures what n labels of a stream are worth: each draw holds a test part, draws labels from the rest, adapts as enrich adapt does, and answers the test part.
func (c *evaluateCommand) adaptation(s *streams, classifier *enrich.Classifier, book enrich.LabelBook) error {
	if c.Head == label.ContentFunction {
		return fmt.Errorf("evaluating --adapt: %s is not adapted; sentiment, needs_reply and risk_tag are", c.Head)
	}
	texts, err := fileLabels(c.File, c.TextColumn, c.LabelColumn, book[c.Head])
	if err != nil {
		return err
	}
	if pool := len(texts) - int(testShare*float64(len(texts))); pool < c.Adapt {
		return fmt.Errorf("evaluating %s: of its %d texts %d are left to draw labels from; --adapt %d is more", c.File, len(texts), pool, c.Adapt)
	}
	for i := range texts {
		texts[i].MessageID = strconv.Itoa(i)
	}
	own := predict(classifier, c.Head, texts)
	before, after := &judged{}, &judged{}
	accepted := 0
	for draw := range c.Draws {
		seed := c.Seed + uint64(draw)
		order := rand.New(rand.NewPCG(seed, 2)).Perm(len(texts))
		cut := int(testShare * float64(len(texts)))
		test, learnt := order[:cut], drawLabels(texts, own, order[cut:], c.Adapt, seed)
		adapted, corrections, err := adaptedTo(classifier, c.Head, learnt, seed)
		if err != nil {
			return err
		}
		if corrections > 0 {
			accepted++
		}
		answers := []measure.Prediction{}
		held := make([]label.Text, cut)
		for n, i := range test {
			answers, held[n] = append(answers, own[i]), texts[i]
		}
		random := rand.New(rand.NewPCG(seed, 4))
		watched := watch(c.Head, held)
		drifts := make([][][]int, len(watched))
		for n, w := range watched {
			for range samples {
				drifts[n] = append(drifts[n], drifted(random, held, w.label))
			}
		}
		before.judge(answers, watched, drifts, classifier.Confusion(book, "", c.Head, learnt))
		after.judge(predict(adapted, c.Head, held), watched, drifts, adapted.Confusion(book, "", c.Head, learnt))
	}
	fmt.Fprintf(s.out, "model %s, %s, on %s: %d draws of %d labels, %d adaptations accepted; mean (least to greatest)\n\n", classifier.ModelVersion(), c.Head, c.File, c.Draws, c.Adapt, accepted)
	printJudged(s.out, c.Head, c.Seed, before, after)
	return nil
}

// drawLabels draws n of the texts at the places of the pool as the labelling queue does, with what each counts.
func drawLabels(texts []label.Text, own []measure.Prediction, pool []int, n int, seed uint64) []label.Text {
	var candidates []label.Candidate
	var places []int
	for _, at := range pool {
		if own[at].Predicted != enrich.UnknownSentiment {
			candidates, places = append(candidates, label.Candidate{Predicted: own[at].Predicted, P: float32(own[at].P)}), append(places, at)
		}
	}
	var out []label.Text
	sampler := label.NewSampler(candidates, seed)
	for range n {
		d, ok := sampler.Next()
		if !ok {
			break
		}
		t := texts[places[d.Place]]
		t.Stratum, t.Weight = candidates[d.Place].Stratum(), d.Weight
		out = append(out, t)
	}
	label.Weigh(out)
	return out
}

// adaptedTo adapts c to labels of a head, as enrich adapt does, and tells how many corrections were accepted; without one it is c itself.
func adaptedTo(c *enrich.Classifier, head string, texts []label.Text, seed uint64) (*enrich.Classifier, int, error) {
	a := &adapt.Adaptation{Institution: "stream", Revision: 1, Base: c.ModelVersion()}
	for _, part := range c.AdaptableParts(head) {
		h, accepted, err := adaptPart(io.Discard, c, part, texts, seed)
		if err != nil {
			return nil, 0, err
		}
		if accepted {
			a.Heads = append(a.Heads, *h)
		}
	}
	if len(a.Heads) == 0 {
		return c, 0, nil
	}
	adapted, err := c.Adapted(a)
	return adapted, len(a.Heads), err
}

// watchedLabel is a label whose share is estimated, with the classes that it is one of, itself the first.
type watchedLabel struct {
	label   string
	classOf func(string) int
	classes int
	matrix  func(*shares.Confusion) *shares.Matrix
}

// watch returns the labels whose shares are estimated, counted and corrected as the views do it: negative among the classes of sentiment, yes and each risk tag that
// the texts have against all else.
func watch(head string, texts []label.Text) []watchedLabel {
	if head == label.Sentiment {
		labels := []string{corpus.Negative, corpus.Neutral, corpus.Positive}
		return []watchedLabel{{corpus.Negative, func(l string) int { return slices.Index(labels, l) }, 3, func(c *shares.Confusion) *shares.Matrix { return c.Among(labels...) }}}
	}
	count := map[string]int{}
	for _, t := range texts {
		count[t.Label]++
	}
	var out []watchedLabel
	for l, n := range count {
		if head == label.NeedsReply && l == yes || head == label.RiskTag && l != risk.None && n >= fewestOfWatched {
			out = append(out, watchedLabel{l, func(other string) int {
				if other == l {
					return 0
				}
				return 1
			}, 2, func(c *shares.Confusion) *shares.Matrix { return c.Against(l) }})
		}
	}
	slices.SortFunc(out, func(a, b watchedLabel) int { return strings.Compare(a.label, b.label) })
	return out
}

// drifted draws places of texts with replacement such that the share of a label is anywhere between a third and three times what it is among them.
func drifted(random *rand.Rand, texts []label.Text, of string) []int {
	var with, without []int
	for i, t := range texts {
		if t.Label == of {
			with = append(with, i)
		} else {
			without = append(without, i)
		}
	}
	const most = 0.9
	share := min(most, float64(len(with))/float64(len(texts))*math.Pow(3, 2*random.Float64()-1))
	sample := make([]int, sampleMessages)
	for n := range sample {
		from := without
		if len(without) == 0 || random.Float64() < share && len(with) > 0 {
			from = with
		}
		sample[n] = from[random.IntN(len(from))]
	}
	return sample
}

// judge appends the figures of answers to the texts of a test part, and the errors of shares over samples of them.
func (j *judged) judge(answers []measure.Prediction, watched []watchedLabel, drifts [][][]int, confusion *shares.Confusion) {
	r := measure.Evaluate(answers, 1)
	j.accuracy, j.macroF1, j.all = append(j.accuracy, r.Accuracy), append(j.macroF1, r.MacroF1), append(j.all, answers...)
	for n, w := range watched {
		matrix := w.matrix(confusion)
		for _, sample := range drifts[n] {
			j.share(answers, sample, w, matrix)
		}
	}
}

// share appends the errors of a label's share over a sample. What is withheld is not counted, as the views do not count it.
func (j *judged) share(answers []measure.Prediction, sample []int, w watchedLabel, matrix *shares.Matrix) {
	counts := make([]float64, w.classes)
	truth, n := 0.0, 0.0
	for _, i := range sample {
		if k := w.classOf(answers[i].Predicted); k >= 0 {
			counts[k]++
			n++
		}
		if answers[i].Gold == w.label {
			truth++
		}
	}
	if n == 0 {
		return
	}
	truth /= float64(len(sample))
	off := math.Abs(counts[0]/n - truth)
	j.counting = append(j.counting, off)
	if matrix.Usable() {
		j.counted = append(j.counted, off)
		corrected := shares.Adjust([]shares.Counted{{Counts: counts, Matrix: matrix}})
		j.correcting = append(j.correcting, math.Abs(corrected.Shares[0]-truth))
	}
}

func printJudged(out io.Writer, head string, seed uint64, before, after *judged) {
	rows := []struct {
		name string
		*judged
	}{{"before", before}, {"after", after}}
	fmt.Fprintf(out, "%-16s %-24s %-24s %s\n", "", "accuracy", "macro-F1", "ECE (all draws together)")
	for _, r := range rows {
		fmt.Fprintf(out, "%-16s %-24s %-24s %s\n", r.name, r.accuracy, r.macroF1, measure.Evaluate(r.all, seed).ECEText())
	}
	if len(before.counting) == 0 {
		return
	}
	what := map[string]string{label.Sentiment: "the negative share", label.NeedsReply: "the share that needs a reply", label.RiskTag: "a risk tag's share"}[head]
	fmt.Fprintf(out, "\nerror of %s over %d messages, its true value drifting between a third and three times the stream's\n", what, sampleMessages)
	fmt.Fprintf(out, "%-16s %-24s %-24s %-8s %s\n", "", "counting", "corrected", "ratio", "to counting before")
	for _, r := range rows {
		if len(r.correcting) == 0 {
			fmt.Fprintf(out, "%-16s %-24s not corrected: it takes %d labels, %d of each class, and answers that depend on the truth\n", r.name, r.counting, shares.FewestLabels, shares.FewestOfClass)
			continue
		}
		// The ratio is over the draws that could be corrected.
		fmt.Fprintf(out, "%-16s %-24s %-24s %-8s %s\n", r.name, r.counting, r.correcting, ratio(r.correcting, r.counted), ratio(r.correcting, before.counting))
	}
}
