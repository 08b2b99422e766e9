package enrich

import (
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/dwiarah/dwiarah/enrich/internal/adapt"
	"github.com/dwiarah/dwiarah/enrich/internal/label"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
)

func TestAdaptedClassifier(t *testing.T) {
	c, err := NewClassifier()
	if err != nil {
		t.Fatal(err)
	}
	// A correction that says nothing leaves every answer as it is; this one calls everything positive.
	nothing := &adapt.Correction{Slope: 1, Bias: []float64{0, 0, 0}}
	positive := &adapt.Correction{Slope: 0, Bias: []float64{0, 0, 3}}
	head := func(c *adapt.Correction) []adapt.Head {
		return []adapt.Head{{Head: label.Sentiment, Labels: AdaptableLabels(label.Sentiment), Correction: c, Boost: []float64{1, 1, 1}}}
	}
	folder := adapt.Folder(t.TempDir())
	for _, a := range []*adapt.Adaptation{
		{Institution: "kota-contoh", Revision: 1, Base: c.ModelVersion(), Heads: head(nothing)},
		{Institution: "kota-contoh", Revision: 2, Base: c.ModelVersion(), Heads: head(positive)},
		{Institution: "dinas-lama", Revision: 1, Base: "0-of-long-ago/rules-1", Heads: head(positive)},
	} {
		if _, err := folder.Add(a); err != nil {
			t.Fatal(err)
		}
	}
	var log strings.Builder
	all, err := LoadAdaptations(c, string(folder), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "dinas-lama") || all.For("dinas-lama") != c || all.For("nobody") != c {
		t.Errorf("an adaptation of another model: log %q", log.String())
	}
	text := "Pelayanan buruk, kecewa sekali, antri tiga jam"
	m := &event.Message{Institution: "kota-contoh", Text: text, Direction: schemas.Inbound}
	own, adapted := c.Enrich(m), all.Enrich(m)
	if own.Sentiment != schemas.Negative || adapted.Sentiment != schemas.Positive || math.Abs(float64(adapted.PPositive)-math.Exp(3)/(2+math.Exp(3))) > 1e-6 {
		t.Errorf("own %v, adapted %v", own, adapted)
	}
	if adapted.ModelSeq != own.ModelSeq+2 || adapted.ModelVersion != own.ModelVersion+"+kota-contoh.r2" {
		t.Errorf("numbers %d and %d, version %q", own.ModelSeq, adapted.ModelSeq, adapted.ModelVersion)
	}
	if adapted.ModelSeq >= (c.model.Seq+1)*seqStep {
		t.Error("an adaptation wins over the next release")
	}
	if adapted.RiskTag != own.RiskTag || adapted.NeedsReply != own.NeedsReply {
		t.Error("heads that were not adapted have changed")
	}
	// The institution's own posts are another stream than the one that was labelled.
	m.Direction = schemas.Outbound
	if own, adapted = c.Enrich(m), all.Enrich(m); own.Sentiment != adapted.Sentiment {
		t.Error("an outbound message was adapted")
	}
	first, err := c.Adapted(&adapt.Adaptation{Institution: "x", Revision: 1, Base: c.ModelVersion(), Heads: head(nothing)})
	if err != nil {
		t.Fatal(err)
	}
	a, b := c.Classify(text, "", false), first.Classify(text, "", false)
	if a.Sentiment != b.Sentiment || math.Abs(float64(a.PNegative-b.PNegative)) > 1e-3 {
		t.Errorf("a correction that says nothing: %v became %v", a, b)
	}
	if _, err := c.Adapted(&adapt.Adaptation{Institution: "x", Revision: 1, Base: "another"}); err == nil {
		t.Error("an adaptation of another model was taken")
	}
	if _, err := LoadAdaptations(c, "", slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
		t.Error(err)
	}
}

func TestGoldOfATag(t *testing.T) {
	c, err := NewClassifier()
	if err != nil {
		t.Fatal(err)
	}
	const part = "risk_tag/non_response"
	for said, want := range map[string]int{"non_response": 1, "service_failure": 0, "policy_criticism": 0, "none": 0, "no such tag": -1} {
		if at, ok := c.Gold(part, said); at != want || !ok {
			t.Errorf("%s says %d of non_response (%v), want %d", said, at, ok, want)
		}
	}
	// It goes before non_response: whether that is there, too, nobody was asked.
	if at, ok := c.Gold(part, "public_safety"); ok {
		t.Errorf("public_safety says %d of non_response", at)
	}
	if at, ok := c.Gold(label.Sentiment, schemas.Positive); at != 2 || !ok {
		t.Errorf("positive is at %d", at)
	}
}

// A correction of a tag that says nothing leaves every answer as it is; one that always says yes names its tag, and says what it did not learn from otherwise.
func TestAdaptedTags(t *testing.T) {
	c, err := NewClassifier()
	if err != nil {
		t.Fatal(err)
	}
	of := func(slope float64, bias ...float64) *Classifier {
		t.Helper()
		var heads []adapt.Head
		for _, part := range c.AdaptableParts(label.RiskTag) {
			heads = append(heads, adapt.Head{Head: part, Labels: AdaptableLabels(part), Correction: &adapt.Correction{Slope: slope, Bias: bias}, Boost: []float64{1, 1},
				OutOfFold: map[uint64]int{MessageHash("x", "learnt"): 0}})
		}
		out, err := c.Adapted(&adapt.Adaptation{Institution: "x", Revision: 1, Base: c.ModelVersion(), Heads: heads})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	always, never := of(0, 0, 3), of(0, 3, 0)
	for _, text := range []string{"Pungli 50 ribu di loket, tanpa kuitansi", "Jembatan retak, anak sekolah masih lewat", "buka jam berapa min?", "@dinas \U0001f600"} {
		own, all, none := c.Classify(text, "", false), always.Classify(text, "", false), never.Classify(text, "", false)
		if none.RiskTag != "none" || none.RiskSeverity != 0 || none.Escalation != own.Escalation || none.Target != "" {
			t.Errorf("%q without any tag: %+v", text, none)
		}
		if want := len(c.risk.Labels); len(all.RiskTags) != want && own.PNeedsReply > 0 || len(all.RiskTags) > 0 && all.RiskTag != c.risk.Labels[0] {
			t.Errorf("%q with every tag: %+v", text, all)
		}
	}
	t1 := &label.Text{Platform: "x", MessageID: "learnt", Text: "buka jam berapa min?"}
	t2 := &label.Text{Platform: "x", MessageID: "another", Text: "buka jam berapa min?"}
	if a, b := always.answerUnseen(label.RiskTag, t1), always.answerUnseen(label.RiskTag, t2); a != "none" || b != c.risk.Labels[0] {
		t.Errorf("of a message learnt from %s, of another %s", a, b)
	}
}
