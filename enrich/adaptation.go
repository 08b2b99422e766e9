package enrich

import (
	"fmt"
	"log/slog"
	"math"
	"slices"

	"github.com/dwiarah/dwiarah/enrich/internal/adapt"
	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/label"
	"github.com/dwiarah/dwiarah/enrich/internal/template"
	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

// leastP bounds probabilities before their logarithm is taken.
const leastP = 1e-4

func logit(p float32) float64 {
	x := min(max(float64(p), leastP), 1-leastP)
	return math.Log(x / (1 - x))
}

func logP(p float32) float64 { return math.Log(max(float64(p), leastP)) }

// signals are what a correction of one head sees of the others: their log-odds, on a scale of about one, and a few marks of the text.
func (c *Classifier) signals(into []float64, r *Result, d *text.Doc) []float64 {
	const scale = 0.25
	into = append(into, scale*(logP(r.PNegative)-logP(r.PNeutral)), scale*(logP(r.PPositive)-logP(r.PNeutral)), scale*logit(r.PNeedsReply), scale*logit(r.Toxicity))
	first := len(into)
	for range c.table.Tags {
		into = append(into, 0)
	}
	for _, x := range r.RiskP {
		if i := c.table.Index(x.Tag); i >= 0 {
			into[first+i] = scale * (logit(x.P) - logit(reportedP))
		}
	}
	for _, mark := range []bool{d.Shape.Questions > 0, d.Shape.Exclamations > 0, d.Shape.URLs > 0, d.Shape.Hashtags > 0, d.Shape.Mentions > 1} {
		if mark {
			into = append(into, 1)
		} else {
			into = append(into, 0)
		}
	}
	return append(into, 0.3*math.Log1p(float64(d.Shape.Words)))
}

// adaptableHead is a head that corrections exist for: its labels in their order, its log-probabilities, and how a corrected answer is written.
type adaptableHead struct {
	labels []string
	base   func(into []float64, r *Result) []float64
	answer func(r *Result, p []float64, decided int)
}

var adaptableHeads = map[string]adaptableHead{
	label.Sentiment: {
		labels: []string{corpus.Negative, corpus.Neutral, corpus.Positive},
		base: func(into []float64, r *Result) []float64 {
			return append(into, logP(r.PNegative), logP(r.PNeutral), logP(r.PPositive))
		},
		answer: func(r *Result, p []float64, decided int) {
			r.PNegative, r.PNeutral, r.PPositive = float32(p[0]), float32(p[1]), float32(p[2])
			r.Sentiment = []string{corpus.Negative, corpus.Neutral, corpus.Positive}[decided]
		},
	},
	label.NeedsReply: {
		labels: []string{label.No, label.Yes},
		base: func(into []float64, r *Result) []float64 {
			return append(into, logP(1-r.PNeedsReply), logP(r.PNeedsReply))
		},
		answer: func(r *Result, p []float64, decided int) { r.PNeedsReply, r.NeedsReply = float32(p[1]), decided == 1 },
	},
}

// AdaptableHeads are the heads that can be adapted to a stream, in a fixed order.
func AdaptableHeads() []string { return []string{label.Sentiment, label.NeedsReply} }

// AdaptableLabels are the labels of an adaptable head, in the order of a correction's.
func AdaptableLabels(head string) []string { return adaptableHeads[head].labels }

// Features returns the classifier's answer to an inbound text, and what a correction of the head may look at. c is the model itself, not an adapted one.
func (c *Classifier) Features(head, s string) (Result, adapt.Features) {
	w := c.scratch.get()
	defer c.scratch.put(w)
	r := Result{RiskTags: []string{}, RiskP: TagProbabilities{}}
	c.classify(w, &r, s, "", false)
	f := c.features(head, w, &r)
	return r, adapt.Features{Base: slices.Clone(f.Base), Signals: slices.Clone(f.Signals), Words: slices.Clone(f.Words)}
}

// features are valid until w is used again.
func (c *Classifier) features(head string, w *scratch, r *Result) adapt.Features {
	w.base = adaptableHeads[head].base(w.base[:0], r)
	w.signals = c.signals(w.signals[:0], r, &w.doc)
	w.words = append(append(w.words[:0], w.doc.Words...), w.doc.Concepts...)
	return adapt.Features{Base: w.base, Signals: w.signals, Words: w.words}
}

// adapted is the institution's corrections, ready to use.
type adapted struct{ heads []adapt.Head }

func (a *adapted) correct(c *Classifier, w *scratch, r *Result) {
	// Every correction sees the model's own answers, as it did when it was fitted.
	own := *r
	_, foreign := scripts(&w.doc)
	for i := range a.heads {
		h := &a.heads[i]
		// A script that the model does not read stays beyond it; other doubts are what the labels have settled.
		if foreign && h.Head == label.Sentiment {
			continue
		}
		p := w.p[:len(h.Labels)]
		h.Correction.Apply(c.features(h.Head, w, &own), p)
		adaptableHeads[h.Head].answer(r, p, adapt.Decide(p, h.Boost))
	}
}

// Adapted returns the classifier with an institution's corrections. Its version and number tell them: an adaptation wins over the model that it corrects, and a later
// revision over an earlier one, one that reverts included.
func (c *Classifier) Adapted(a *adapt.Adaptation) (*Classifier, error) {
	if err := a.Check(); err != nil {
		return nil, fmt.Errorf("adapting the classifier: %w", err)
	}
	if c.adapted != nil || a.Base != c.version {
		return nil, fmt.Errorf("adapting the classifier: the adaptation corrects model %s, this is %s", a.Base, c.version)
	}
	for _, h := range a.Heads {
		known, ok := adaptableHeads[h.Head]
		if !ok || !slices.Equal(known.labels, h.Labels) {
			return nil, fmt.Errorf("adapting the classifier: no head %q with the labels %v", h.Head, h.Labels)
		}
		if s := h.Correction.Signals; s != nil && len(s[0]) != len(c.signals(nil, &Result{}, &text.Doc{})) {
			return nil, fmt.Errorf("adapting the classifier: head %q was fitted to other signals", h.Head)
		}
	}
	out := *c
	out.adapted = &adapted{heads: a.Heads}
	out.seq = c.seq + uint32(a.Revision)
	out.version = fmt.Sprintf("%s+%s.r%d", c.version, a.Institution, a.Revision)
	return &out, nil
}

// Classifiers are the model, its adaptations by institution, and the templates of the accounts.
type Classifiers struct {
	model     *Classifier
	of        map[string]*Classifier
	templates *template.Set
}

// LoadAdaptations reads the newest adaptation of each institution from a folder; an empty path means none. Those of another model are left alone, and said so: they
// have to be learnt again from the labels.
func LoadAdaptations(c *Classifier, folder string, log *slog.Logger) (*Classifiers, error) {
	out := &Classifiers{model: c, of: map[string]*Classifier{}, templates: &template.Set{}}
	if folder == "" {
		return out, nil
	}
	institutions, err := adapt.Folder(folder).Institutions()
	if err != nil {
		return nil, err
	}
	for _, institution := range institutions {
		revisions, err := adapt.Folder(folder).Revisions(institution, c.version)
		if err != nil {
			return nil, err
		}
		if len(revisions) == 0 {
			log.Warn("adaptations are of other models; adapt again", "institution", institution, "model", c.version)
			continue
		}
		if out.of[institution], err = c.Adapted(revisions[len(revisions)-1]); err != nil {
			return nil, fmt.Errorf("loading the adaptation of %s: %w", institution, err)
		}
	}
	return out, nil
}

// For returns the classifier of an institution: adapted if it has an adaptation, else the model.
func (c *Classifiers) For(institution string) *Classifier {
	if a := c.of[institution]; a != nil {
		return a
	}
	return c.model
}
