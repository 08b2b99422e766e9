package enrich

import (
	"math"
	"slices"
	"testing"

	"github.com/dwiarah/dwiarah/enrich/internal/adapt"
	"github.com/dwiarah/dwiarah/enrich/internal/label"
	"github.com/dwiarah/dwiarah/enrich/internal/model"
	"github.com/dwiarah/dwiarah/enrich/internal/train"
	"github.com/dwiarah/dwiarah/enrich/models"
)

// The second calibration changes what is reported, and nothing that is decided: neither by the model, nor beside corrections of other tags.
func TestReportedRiskDecidesNothing(t *testing.T) {
	reporting := func(second []float64) (*Classifier, *model.Head) {
		m, err := model.Decode(models.Classifier)
		if err != nil {
			t.Fatal(err)
		}
		h, err := m.Head(train.HeadRisk)
		if err != nil {
			t.Fatal(err)
		}
		h.Reported = second
		artefact, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		c, err := NewClassifierFrom(artefact)
		if err != nil {
			t.Fatal(err)
		}
		return c, h
	}
	plain, _ := reporting(nil)
	second, h := reporting([]float64{1.2, 0.7})
	adapted := func(c *Classifier) *Classifier {
		a, err := c.Adapted(&adapt.Adaptation{Institution: "x", Revision: 1, Base: c.ModelVersion(), Heads: []adapt.Head{{
			Head: label.RiskTag + "/policy_criticism", Labels: yesNo, Correction: &adapt.Correction{Slope: 0, Bias: []float64{2, 0}}, Boost: []float64{1, 1},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	reported := 0
	for _, pair := range [][2]*Classifier{{plain, second}, {adapted(plain), adapted(second)}} {
		for _, s := range []string{
			"KTP dua minggu belum jadi, sistem error terus", "Lapor 3x ga pernah dibales min", "Pungli 50 ribu di loket, tanpa kuitansi", "Petugasnya bentak-bentak ibu saya",
			"Jembatan retak, anak sekolah masih lewat", "Buka jam berapa, min?", "Kebijakan ini memberatkan rakyat kecil", "Terima kasih, petugasnya ramah", "NIK warga kelihatan di unggahan ini", "😀",
		} {
			a, b := pair[0].Classify(s, "", false), pair[1].Classify(s, "", false)
			if a.RiskTag != b.RiskTag || !slices.Equal(a.RiskTags, b.RiskTags) || a.RiskSeverity != b.RiskSeverity || a.NeedsReply != b.NeedsReply || a.PNeedsReply != b.PNeedsReply || len(a.RiskP) != len(b.RiskP) {
				t.Errorf("%q: %+v became %+v", s, a, b)
				continue
			}
			for i, x := range a.RiskP {
				want := h.Report(float64(x.P))
				if pair[0].adapted != nil && x.Tag == "policy_criticism" {
					want = float64(x.P) // a correction's own, fitted to the stream
				}
				if math.Abs(float64(b.RiskP[i].P)-want) > 1e-6 {
					t.Errorf("%q: %s is %v, want %v", s, x.Tag, b.RiskP[i].P, want)
				}
				reported++
			}
		}
	}
	if reported < 20 {
		t.Errorf("%d probabilities were compared", reported)
	}
}
