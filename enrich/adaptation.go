package enrich

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"

	"github.com/dwiarah/dwiarah/enrich/internal/adapt"
	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/label"
	"github.com/dwiarah/dwiarah/enrich/internal/model"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
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
			into[first+i] = scale * (logit(x.P) - logit(model.LeastReported))
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

// adaptableHead is a head that corrections exist for: its labels in their order, its log-probabilities, its own label, and how a corrected answer is written.
type adaptableHead struct {
	labels []string
	base   func(into []float64, r *Result) []float64
	own    func(r *Result) int
	answer func(r *Result, p []float64, decided int)
}

var adaptableHeads = map[string]adaptableHead{
	label.Sentiment: {
		labels: []string{corpus.Negative, corpus.Neutral, corpus.Positive},
		base: func(into []float64, r *Result) []float64 {
			return append(into, logP(r.PNegative), logP(r.PNeutral), logP(r.PPositive))
		},
		// Where the classifier abstains, what is likeliest.
		own: func(r *Result) int {
			return adapt.Decide([]float64{float64(r.PNegative), float64(r.PNeutral), float64(r.PPositive)}, nil)
		},
		answer: func(r *Result, p []float64, decided int) {
			r.PNegative, r.PNeutral, r.PPositive = float32(p[0]), float32(p[1]), float32(p[2])
			r.Sentiment = []string{corpus.Negative, corpus.Neutral, corpus.Positive}[decided]
		},
	},
	label.NeedsReply: {
		labels: yesNo,
		base: func(into []float64, r *Result) []float64 {
			return append(into, logP(1-r.PNeedsReply), logP(r.PNeedsReply))
		},
		own:    func(r *Result) int { return place(r.NeedsReply) },
		answer: func(r *Result, p []float64, decided int) { r.PNeedsReply, r.NeedsReply = float32(p[1]), decided == 1 },
	},
}

var yesNo = []string{label.No, label.Yes}

func place(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// tagHead is the adaptable head of one risk tag: does the text have it? Its answers are written together with those of the other tags.
func tagHead(tag string) adaptableHead {
	return adaptableHead{
		labels: yesNo,
		base: func(into []float64, r *Result) []float64 {
			p := float32(model.LeastReported / 2)
			for _, x := range r.RiskP {
				if x.Tag == tag {
					p = x.P
				}
			}
			return append(into, logP(1-p), logP(p))
		},
		own: func(r *Result) int { return place(slices.Contains(r.RiskTags, tag)) },
	}
}

// tagOf returns the risk tag of an adaptable head that is one tag's.
func tagOf(head string) (tag string, ok bool) { return strings.CutPrefix(head, label.RiskTag+"/") }

func (c *Classifier) adaptableHead(name string) (adaptableHead, bool) {
	if tag, ok := tagOf(name); ok {
		return tagHead(tag), c.table.Index(tag) >= 0
	}
	h, ok := adaptableHeads[name]
	return h, ok
}

// AdaptableParts are what a head is adapted in: itself, or risk_tag/TAG for each tag, since a message may have several.
func (c *Classifier) AdaptableParts(head string) []string {
	if head != label.RiskTag {
		return []string{head}
	}
	var parts []string
	for _, tag := range c.risk.Labels {
		parts = append(parts, head+"/"+tag)
	}
	return parts
}

// AdaptableLabels are the labels of a part, in the order of a correction's.
func AdaptableLabels(part string) []string {
	if _, ok := tagOf(part); ok {
		return yesNo
	}
	return adaptableHeads[part].labels
}

// Gold is the place among a part's labels of what a person said under its head; ok is false where that says nothing of the part: a primary tag leaves open whether one
// that it goes before is there, too. A label that the head does not have is at -1.
func (c *Classifier) Gold(part, said string) (at int, ok bool) {
	tag, isTag := tagOf(part)
	if !isTag {
		return slices.Index(AdaptableLabels(part), said), true
	}
	primary := c.table.Index(said)
	switch {
	case said == tag:
		return 1, true
	case said == risk.None || primary > c.table.Index(tag):
		return 0, true
	}
	return -1, primary < 0
}

// Example returns the classifier's answer to an inbound text, and what a correction of the part may look at, with the label that the classifier itself gives it. c is the
// model itself, not an adapted one.
func (c *Classifier) Example(part, s string) (Result, adapt.Example) {
	w := c.scratch.get()
	defer c.scratch.put(w)
	r := Result{RiskTags: []string{}, RiskP: TagProbabilities{}}
	c.classify(w, &r, s, "", false)
	h, _ := c.adaptableHead(part)
	f := c.features(h, w, &r)
	return r, adapt.Example{Features: adapt.Features{Base: slices.Clone(f.Base), Signals: slices.Clone(f.Signals), Words: slices.Clone(f.Words)}, Own: h.own(&r)}
}

// features are valid until w is used again.
func (c *Classifier) features(h adaptableHead, w *scratch, r *Result) adapt.Features {
	w.base = h.base(w.base[:0], r)
	w.signals = c.signals(w.signals[:0], r, &w.doc)
	w.words = append(append(w.words[:0], w.doc.Words...), w.doc.Concepts...)
	return adapt.Features{Base: w.base, Signals: w.signals, Words: w.words}
}

// adapted is the institution's corrections, ready to use.
type adapted struct {
	heads []correction
	// tags tells that some of them are of risk tags.
	tags bool
}

type correction struct {
	adapt.Head
	adaptableHead
	// tag is the place of a risk tag, else -1.
	tag int
}

// correct puts the corrected answers into r. Decided, unless nil, tells what a correction is to decide,
// and be sure of, in place of its own decision.
func (a *adapted) correct(c *Classifier, w *scratch, r *Result, decided func(*adapt.Head) (int, bool)) {
	// Every correction sees the model's own answers, as it did when it was fitted.
	own := *r
	_, foreign := scripts(&w.doc)
	w.corrected = append(w.corrected[:0], make([]tagAnswer, len(c.risk.Labels))...)
	for i := range a.heads {
		h := &a.heads[i]
		// A script that the model does not read stays beyond it; other doubts are what the labels have settled. Where there is no word there is no risk.
		if foreign && h.Head.Head == label.Sentiment || h.tag >= 0 && wordless(&w.doc) {
			continue
		}
		p := w.p[:len(h.Labels)]
		h.Correction.Apply(c.features(h.adaptableHead, w, &own), p)
		k := adapt.Decide(p, h.Boost)
		if decided != nil {
			if other, ok := decided(&h.Head); ok {
				k = other
				for i := range p {
					p[i] = float64(place(i == k))
				}
			}
		}
		if h.tag >= 0 {
			w.corrected[h.tag] = tagAnswer{true, k == 1, p[1]}
			continue
		}
		h.answer(r, p, k)
	}
	if a.tags && !wordless(&w.doc) {
		c.renameRisk(w, r)
	}
}

// tagAnswer is what a correction says of a risk tag.
type tagAnswer struct {
	corrected, named bool
	p                float64
}

// renameRisk names the tags anew, the corrected ones as their corrections decided.
func (c *Classifier) renameRisk(w *scratch, r *Result) {
	p, named := w.p[:len(c.risk.Labels)], w.named[:len(c.risk.Labels)]
	clear(p)
	modifiers := c.table.Apply(&w.doc, p)
	clear(p)
	for _, x := range r.RiskP {
		if i := c.table.Index(x.Tag); i >= 0 {
			p[i] = c.risk.Unreport(float64(x.P))
		}
	}
	for i, tag := range c.risk.Labels {
		named[i] = slices.Contains(r.RiskTags, tag)
		if a := &w.corrected[i]; a.corrected {
			p[i], named[i] = a.p, a.named
		}
	}
	r.RiskTag, r.RiskTags, r.RiskP, r.RiskSeverity, r.Evidence, r.Target = risk.None, r.RiskTags[:0], r.RiskP[:0], 0, "", ""
	c.nameRisk(w, r, p, named, modifiers)
	c.reportRisk(r, func(tag int) bool { return w.corrected[tag].corrected })
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
	corrections := &adapted{}
	for _, h := range a.Heads {
		known, ok := c.adaptableHead(h.Head)
		if !ok || !slices.Equal(known.labels, h.Labels) {
			return nil, fmt.Errorf("adapting the classifier: no head %q with the labels %v", h.Head, h.Labels)
		}
		if s := h.Correction.Signals; s != nil && len(s[0]) != len(c.signals(nil, &Result{}, &text.Doc{})) {
			return nil, fmt.Errorf("adapting the classifier: head %q was fitted to other signals", h.Head)
		}
		tag, isTag := tagOf(h.Head)
		at := -1
		if isTag {
			at, corrections.tags = c.table.Index(tag), true
		}
		corrections.heads = append(corrections.heads, correction{h, known, at})
	}
	out := *c
	out.adapted = corrections
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
