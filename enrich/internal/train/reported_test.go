package train

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/model"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
)

// Tags that are as likely as their heads say are reported as that, though the tone has made less of them.
func TestReportedIsCalibrated(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	random := rand.New(rand.NewPCG(1, 2))
	m := &model.Model{Header: model.Header{Heads: []model.Head{
		{Name: HeadSentiment, Kind: model.Softmax, Labels: sentimentLabels, Slope: []float64{1, 1, 1}, Offset: make([]float64, 3), Threshold: make([]float64, 3)},
		{Name: HeadRisk, Kind: model.Sigmoid, First: 1, Labels: []string{"a", "b"}, Slope: []float64{1, 1}, Offset: make([]float64, 2), Threshold: make([]float64, 2)},
	}}}
	sentiment, tags := &unseenScores{columns: make([][]float64, 3)}, &unseenScores{columns: make([][]float64, 3)}
	for range 4000 {
		e := &corpus.Example{HasRisk: true, Weight: 1}
		tags.columns[0] = append(tags.columns[0], 99) // of another head
		for l, tag := range []string{"a", "b"} {
			score := 3 * random.NormFloat64()
			tags.columns[l+1] = append(tags.columns[l+1], score)
			if random.Float64() < sigmoid(score) {
				e.Risk = append(e.Risk, tag)
			}
		}
		for l := range sentiment.columns { // each class as likely as the others
			sentiment.columns[l] = append(sentiment.columns[l], 0)
		}
		sentiment.examples, tags.examples = append(sentiment.examples, e), append(tags.examples, e)
	}
	if err := calibrateReported(m, sentiment, tags); err != nil {
		t.Fatal(err)
	}
	h, tone := &m.Heads[1], risk.Tone(1./3)
	for _, p := range []float64{0.1, 0.3, 0.5, 0.8, 0.95} {
		if got := h.Report(p * tone); math.Abs(got-p) > 0.1 || math.Abs(got-p) > math.Abs(p*tone-p) {
			t.Errorf("%v, after the tone %.3f, is reported as %.3f with %v", p, p*tone, got, h.Reported)
		}
	}
	none := &unseenScores{columns: make([][]float64, 3)}
	h.Reported = nil
	if err := calibrateReported(m, none, none); err != nil || h.Reported != nil {
		t.Errorf("of nothing: %v, %v", h.Reported, err)
	}
}
