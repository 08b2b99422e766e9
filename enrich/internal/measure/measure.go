// Package measure says how good predictions are: macro-F1 with a bootstrap interval, per class, accuracy, calibration, confusion.
package measure

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"strings"
)

// Prediction is one labelled document with the classifier's answer. P is the probability given to the predicted label, 0 where none was given.
type Prediction struct {
	Gold, Predicted string
	P               float64
}

// Interval is a 95 % interval.
type Interval struct{ Low, High float64 }

// Class holds the figures of one label. A figure that is not defined (no such document, none predicted) is 0, and Support or Predicted say so.
type Class struct {
	Label                 string
	Support, Predicted    int
	Precision, Recall, F1 float64
}

// PrevalenceError is by how much counting predictions misses the label's share of n documents.
func (c Class) PrevalenceError(n int) float64 {
	return ratio(float64(c.Predicted-c.Support), float64(n))
}

// bins of probability, of equal width.
const bins = 10

// Bin is what became of the predictions with a probability of one tenth: how many they are, the sum of their probabilities, and how many were right.
type Bin struct {
	N, Right int
	P        float64
}

// Report holds the figures of one set.
type Report struct {
	N               int
	MacroF1         float64
	MacroF1Interval Interval
	Accuracy        float64
	// ECE is the expected calibration error over ten bins of equal width, of the predictions that have a probability; HasECE tells whether any has.
	ECE    float64
	HasECE bool
	// Reliability holds these bins.
	Reliability [bins]Bin
	Classes     []Class
	// Labels name the rows (gold) and columns (predicted) of Confusion.
	Labels    []string
	Confusion [][]int
}

const bootstrapRounds = 500

// Evaluate computes the report. Macro-F1 is the mean over the labels that occur in the gold. The bootstrap is seeded, so figures repeat.
func Evaluate(predictions []Prediction, seed uint64) Report {
	index := map[string]int{}
	var labels []string
	for _, p := range predictions {
		for _, l := range []string{p.Gold, p.Predicted} {
			if _, ok := index[l]; !ok {
				index[l] = 0
				labels = append(labels, l)
			}
		}
	}
	sort.Strings(labels)
	for i, l := range labels {
		index[l] = i
	}
	k := len(labels)
	gold, predicted := make([]int, len(predictions)), make([]int, len(predictions))
	for i, p := range predictions {
		gold[i], predicted[i] = index[p.Gold], index[p.Predicted]
	}
	r := Report{N: len(predictions), Labels: labels, Confusion: make([][]int, k)}
	for i := range r.Confusion {
		r.Confusion[i] = make([]int, k)
	}
	right := 0
	for i := range gold {
		r.Confusion[gold[i]][predicted[i]]++
		if gold[i] == predicted[i] {
			right++
		}
	}
	if r.N == 0 {
		return r
	}
	r.Accuracy = float64(right) / float64(r.N)
	r.Classes = classes(r.Confusion, labels)
	r.MacroF1 = macro(r.Confusion)
	r.Reliability = reliability(predictions)
	r.ECE, r.HasECE = ece(r.Reliability)
	r.MacroF1Interval = bootstrap(gold, predicted, k, seed)
	return r
}

func classes(confusion [][]int, labels []string) []Class {
	out := make([]Class, len(labels))
	for c := range labels {
		support, predicted := 0, 0
		for o := range labels {
			support += confusion[c][o]
			predicted += confusion[o][c]
		}
		hit := float64(confusion[c][c])
		out[c] = Class{Label: labels[c], Support: support, Predicted: predicted,
			Precision: ratio(hit, float64(predicted)), Recall: ratio(hit, float64(support)), F1: ratio(2*hit, float64(support+predicted))}
	}
	return out
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func macro(confusion [][]int) float64 {
	total, n := 0.0, 0
	for c := range confusion {
		support, predicted := 0, 0
		for o := range confusion {
			support += confusion[c][o]
			predicted += confusion[o][c]
		}
		if support == 0 {
			continue
		}
		n++
		total += 2 * float64(confusion[c][c]) / float64(support+predicted)
	}
	return ratio(total, float64(n))
}

// reliability sorts the predictions that have a probability into bins.
func reliability(predictions []Prediction) (out [bins]Bin) {
	for _, x := range predictions {
		if x.P == 0 {
			continue
		}
		b := &out[min(max(int(x.P*bins), 0), bins-1)]
		b.N++
		b.P += x.P
		if x.Gold == x.Predicted {
			b.Right++
		}
	}
	return out
}

func ece(in [bins]Bin) (value float64, any bool) {
	total, count := 0.0, 0
	for _, b := range in {
		total += math.Abs(float64(b.Right) - b.P)
		count += b.N
	}
	return ratio(total, float64(count)), count > 0
}

func bootstrap(gold, predicted []int, k int, seed uint64) Interval {
	random := rand.New(rand.NewPCG(seed, 1))
	values := make([]float64, bootstrapRounds)
	confusion := make([][]int, k)
	for i := range confusion {
		confusion[i] = make([]int, k)
	}
	for round := range values {
		for i := range confusion {
			clear(confusion[i])
		}
		for range gold {
			i := random.IntN(len(gold))
			confusion[gold[i]][predicted[i]]++
		}
		values[round] = macro(confusion)
	}
	sort.Float64s(values)
	return Interval{values[bootstrapRounds*25/1000], values[bootstrapRounds*975/1000]}
}

// ECEText is the calibration error for a table; a dash where no prediction has a probability.
func (r Report) ECEText() string {
	if !r.HasECE {
		return "-"
	}
	return fmt.Sprintf("%.3f", r.ECE)
}

// String prints the whole report for a person.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "n %d   macro-F1 %.3f (95 %% interval %.3f to %.3f)   accuracy %.3f   ECE %s\n\n", r.N, r.MacroF1, r.MacroF1Interval.Low, r.MacroF1Interval.High, r.Accuracy, r.ECEText())
	fmt.Fprintf(&b, "%-26s %9s %9s %9s %9s %9s %9s\n", "class", "precision", "recall", "F1", "support", "predicted", "share off")
	for _, c := range r.Classes {
		fmt.Fprintf(&b, "%-26s %9.3f %9.3f %9.3f %9d %9d %+9.3f\n", c.Label, c.Precision, c.Recall, c.F1, c.Support, c.Predicted, c.PrevalenceError(r.N))
	}
	b.WriteByte('\n')
	b.WriteString(r.ConfusionText())
	if r.HasECE {
		b.WriteByte('\n')
		b.WriteString(r.ReliabilityText())
	}
	return b.String()
}

// ReliabilityText draws how often predictions of each tenth of probability are right: a bar as long as the share that was, with a | where the mean probability stands. A
// calibrated classifier's bars end at their marks.
func (r Report) ReliabilityText() string {
	const width = 50
	var b strings.Builder
	fmt.Fprintf(&b, "%-26s %9s %9s %9s\n", "reliability", "n", "mean p", "right")
	for i, bin := range r.Reliability {
		if bin.N == 0 {
			continue
		}
		p, right := bin.P/float64(bin.N), float64(bin.Right)/float64(bin.N)
		bar := []byte(strings.Repeat("#", int(math.Round(width*right))) + strings.Repeat(" ", width+1-int(math.Round(width*right))))
		bar[int(math.Round(width*p))] = '|'
		fmt.Fprintf(&b, "p from %.1f                 %9d %9.3f %9.3f  %s\n", float64(i)/bins, bin.N, p, right, strings.TrimRight(string(bar), " "))
	}
	return b.String()
}

// ConfusionText prints the confusion matrix for a person.
func (r Report) ConfusionText() string {
	var b strings.Builder
	b.WriteString("confusion (rows: gold, columns: predicted)\n")
	fmt.Fprintf(&b, "%-26s", "")
	for _, l := range r.Labels {
		fmt.Fprintf(&b, " %10.10s", l)
	}
	b.WriteByte('\n')
	for i, l := range r.Labels {
		fmt.Fprintf(&b, "%-26s", l)
		for _, n := range r.Confusion[i] {
			fmt.Fprintf(&b, " %10d", n)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
