package label

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/dwiarah/dwiarah/schemas/shares"
)

// truth is a message of a stream that is made up: what it is, and what the classifier answers.
type truth struct {
	gold string
	Candidate
}

// stream draws n messages, of which negative are; the classifier finds four fifths of these, and calls a tenth of the others so. Where it errs it is mostly unsure.
func stream(random *rand.Rand, n int, negative float64) []truth {
	out := make([]truth, n)
	for i := range out {
		gold, right := "negative", 0.8
		if random.Float64() >= negative {
			gold, right = "neutral", 0.9
		}
		out[i] = truth{gold, Candidate{Predicted: gold, P: 0.9}}
		sure := 0.9
		if random.Float64() >= right {
			out[i].Predicted = map[string]string{"negative": "neutral", "neutral": "negative"}[gold]
			sure = 0.2
		}
		if random.Float64() >= sure {
			out[i].P = 0.6
		}
	}
	return out
}

// labels draws n of the messages as the queue does, in rounds, and weighs them.
func labels(of []truth, n int, seed uint64) []Text {
	var out []Text
	of = append([]truth(nil), of...)
	for round := uint64(0); len(out) < n; round++ {
		candidates := make([]Candidate, len(of))
		for i := range of {
			candidates[i] = of[i].Candidate
		}
		sampler := NewSampler(candidates, seed+round<<32)
		for range min(50, n-len(out)) {
			d, ok := sampler.Next()
			if !ok {
				break
			}
			x := &of[d.Place]
			if x.Labelled {
				panic("drawn twice")
			}
			x.Labelled = true
			out = append(out, Text{MessageID: fmt.Sprint(d.Place), Label: x.gold, ModelVersion: "1", Stratum: x.Stratum(), Weight: d.Weight})
		}
	}
	Weigh(out)
	return out
}

// A rare stratum is labelled to its end; the labels still say how much of the stream it is.
func TestWeighOfStrataThatEnd(t *testing.T) {
	of := stream(rand.New(rand.NewPCG(1, 1)), 600, 0.1)
	want, got := map[string]float64{}, map[string]float64{}
	for i := range of {
		want[of[i].Stratum()]++
	}
	drawn, total := labels(of, 300, 1), 0.0
	ended := 0
	for _, x := range drawn {
		got[x.Stratum] += x.Weight
		total += x.Weight
	}
	for name, size := range want {
		n := 0.0
		for _, x := range drawn {
			if x.Stratum == name {
				n++
			}
		}
		if n == size {
			ended++
		}
		if share := size / float64(len(of)); math.Abs(got[name]/total-share) > 1e-9 {
			t.Errorf("%s is %.3f of the stream, and %.3f of the labels' weight", name, share, got[name]/total)
		}
	}
	if ended == 0 || math.Abs(total-float64(len(drawn))) > 1e-9 {
		t.Errorf("%d strata were labelled to their end; the labels count %.3f, and are %d", ended, total, len(drawn))
	}
}

func TestWeighLeavesLabelsFromElsewhere(t *testing.T) {
	texts := []Text{
		{Weight: 3},
		{ModelVersion: "1", Stratum: "a", Weight: weightOf(0.5)}, {ModelVersion: "1", Stratum: "b", Weight: weightOf(1.5)}, {ModelVersion: "1", Stratum: "b", Weight: weightOf(1.5)},
		{ModelVersion: "2", Stratum: "a", Weight: weightOf(1)},
		{Stratum: "a", Weight: 1 / AuditShare},
	}
	Weigh(texts)
	for i, want := range []float64{3, 0.75, 1.125, 1.125, 1, 1 / AuditShare} {
		if math.Abs(texts[i].Weight-want) > 1e-12 {
			t.Errorf("label %d counts %v, want %v", i, texts[i].Weight, want)
		}
	}
}

// What labels of the queue are for: shares of other messages of the stream, whose true share has moved since, come out right, and as often within the interval as it says.
func TestCorrectedSharesOfLabelsFromTheQueue(t *testing.T) {
	const streams, messages = 300, 500
	counting, correcting, within := 0.0, 0.0, 0
	for seed := range uint64(streams) {
		random := rand.New(rand.NewPCG(seed, 5))
		c := &shares.Confusion{}
		of := stream(random, 600, 0.1)
		for _, x := range labels(of, 250, seed) {
			place, _ := strconv.Atoi(x.MessageID)
			c.Add(x.Label, of[place].Predicted, x.Weight)
		}
		later := stream(random, messages, 0.1*math.Pow(3, 2*random.Float64()-1))
		counts, negative := make([]float64, 2), 0.0
		for _, x := range later {
			counts[map[string]int{"negative": 0, "neutral": 1}[x.Predicted]]++
			if x.gold == "negative" {
				negative += 1. / messages
			}
		}
		a := shares.Adjust([]shares.Counted{{Counts: counts, Matrix: c.Against("negative")}})
		counting += math.Abs(counts[0]/messages-negative) / streams
		correcting += math.Abs(a.Shares[0]-negative) / streams
		if lo, hi := a.Interval(func(share []float64) float64 { return share[0] }); lo <= negative && negative <= hi {
			within++
		}
	}
	t.Logf("counting errs by %.4f, correcting by %.4f; %d of %d within the interval", counting, correcting, within, streams)
	if correcting > counting/2 || float64(within) < 0.92*streams {
		t.Errorf("counting errs by %.4f, correcting by %.4f; %d of %d are within the interval of 95 %%", counting, correcting, within, streams)
	}
}
