package train

import (
	"fmt"
	"math"
	"slices"

	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/model"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
)

// calibrateReported fits what the tags' probabilities are finally reported as. Each tag's own calibration knows nothing of the tone, by which it is multiplied before it is
// reported, so what is left is too small on the whole. It is fitted on texts that neither head's columns had seen, over all tags together: the tone is the same to each.
func calibrateReported(m *model.Model, sentiment, tags *unseenScores) error {
	feeling, err := m.Head(HeadSentiment)
	if err != nil {
		return err
	}
	head, err := m.Head(HeadRisk)
	if err != nil {
		return err
	}
	scores, p := make([]float64, len(feeling.Labels)), make([]float64, max(len(feeling.Labels), len(head.Labels)))
	negative := map[*corpus.Example]float64{}
	for i, e := range sentiment.examples {
		for l := range scores {
			scores[l] = sentiment.columns[l][i]
		}
		feeling.Calibrate(scores, p[:len(scores)])
		negative[e] = p[0]
	}
	scores = make([]float64, len(head.Labels))
	var points []point
	for i, e := range tags.examples {
		feels, known := negative[e]
		if !known || !e.HasRisk {
			continue
		}
		for l := range scores {
			scores[l] = tags.columns[head.First+l][i]
		}
		head.Calibrate(scores, p[:len(scores)])
		for l, tag := range head.Labels {
			if toned := p[l] * risk.Tone(feels); toned >= model.LeastReported {
				points = append(points, point{score: model.LogOdds(toned), weight: e.Weight, yes: slices.Contains(e.Risk, tag)})
			}
		}
	}
	slope, offset, ok := platt(points)
	if !ok {
		return nil // a part of the code book without a risk, or of nothing else: there is nothing to learn
	}
	if math.IsNaN(slope+offset) || slope <= 0 {
		return fmt.Errorf("calibrating what is reported of risk: slope %v, offset %v", slope, offset)
	}
	head.Reported = []float64{slope, offset}
	return nil
}
