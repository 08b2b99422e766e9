package enrich

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/dwiarah/dwiarah/enrich/codebook"
	"github.com/dwiarah/dwiarah/enrich/internal/adapt"
	"github.com/dwiarah/dwiarah/enrich/internal/model"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
	"github.com/dwiarah/dwiarah/enrich/internal/text"
	"github.com/dwiarah/dwiarah/enrich/internal/train"
	"github.com/dwiarah/dwiarah/enrich/models"
)

// Labels of a Result that are not a class of a head.
const (
	// UnknownSentiment is the sentiment of a message that the classifier could not answer, or that it abstained from.
	UnknownSentiment = "unknown"
	// UndeterminedLanguage is BCP 47's code for a language that nobody knows.
	UndeterminedLanguage = "und"
)

// TagProbability is the calibrated probability of one risk tag.
type TagProbability struct {
	Tag string
	P   float32
}

// TagProbabilities are in order of precedence, a parent last; tags under 0.01 are left out.
type TagProbabilities []TagProbability

// MarshalJSON writes an object from tag to probability.
func (t TagProbabilities) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, p := range t {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Quote(p.Tag))
		b.WriteByte(':')
		b.WriteString(strconv.FormatFloat(float64(p.P), 'g', -1, 32))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads what MarshalJSON wrote; the order is that of the text.
func (t *TagProbabilities) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("reading tag probabilities: %w", err)
	}
	*t = TagProbabilities{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return fmt.Errorf("reading tag probabilities: %w", err)
		}
		p := TagProbability{Tag: fmt.Sprint(name)}
		if err := d.Decode(&p.P); err != nil {
			return fmt.Errorf("reading the probability of %q: %w", p.Tag, err)
		}
		*t = append(*t, p)
	}
	return nil
}

// Result is what the classifier says about one text. Its JSON names are those of `enrich classify`.
type Result struct {
	// Lang is a BCP 47 code, "und" when the classifier abstains and the platform claimed nothing.
	Lang string `json:"lang"`
	// Sentiment is negative, neutral or positive; unknown when the classifier abstains, because the words are in a script that it never learnt, or
	// no class is likely enough. The three probabilities sum to 1 either way, so a sum of them leaves no message out.
	Sentiment string  `json:"sentiment"`
	PNegative float32 `json:"p_negative"`
	PNeutral  float32 `json:"p_neutral"`
	PPositive float32 `json:"p_positive"`
	// RiskTag is the first of RiskTags, or none. A tag of which only the group is sure is reported as its parent, in upper case.
	RiskTag  string   `json:"risk_tag"`
	RiskTags []string `json:"risk_tags"`
	// RiskSeverity is 0 to 5.
	RiskSeverity int              `json:"risk_severity"`
	RiskP        TagProbabilities `json:"risk_p"`
	// Escalation is none, threatens_ombudsman_media_legal or viral_call.
	Escalation string `json:"escalation"`
	// Evidence is claim, media or document; Target is institution, officer, policy, other_institution or unclear. Both are empty without a risk tag.
	Evidence string `json:"evidence"`
	Target   string `json:"target"`
	// Sarcasm says that the text means the opposite of its words.
	Sarcasm bool `json:"sarcasm"`
	// Toxicity is the probability that the text abuses somebody; it is apart from risk.
	Toxicity float32 `json:"toxicity"`
	// ContentFunction is informative, educative, entertaining, mixed or other for the institution's own texts, empty for others.
	ContentFunction string `json:"content_function"`
	// IsAuto says of the institution's own text that its words show an automatic reply.
	IsAuto      bool    `json:"is_auto"`
	NeedsReply  bool    `json:"needs_reply"`
	PNeedsReply float32 `json:"p_needs_reply"`
	// ModelVersion names the artefact, the rules and, unless it is the best, the tier.
	ModelVersion string `json:"model_version"`
}

// Tier is how much a classifier spends on a text.
type Tier string

// The tiers. Best adds to the sentiment of Fast what a small network makes of the order of the words; the other
// heads are the same in both, but that a risk is weighed with the tone.
const (
	Fast Tier = "fast"
	Best Tier = "best"
)

// Tiers are the tiers that there are.
var Tiers = []Tier{Fast, Best}

// Classifier answers every head for a text. It is read-only and safe for concurrent use.
type Classifier struct {
	release  string
	version  string
	seq      uint32
	analyzer *text.Analyzer
	// model has the heads of every text; outbound has that of the institution's own texts alone.
	model, outbound *model.Model
	table           *risk.Table
	lexicon         *risk.Lexicon

	sentiment, language, risk, reply, toxic, function, sarcasm *model.Head

	// leastNamed is the least probability at which each tag is named.
	leastNamed []float64
	parentOf   []int
	parents    []string
	scratch    *scratches

	// adapted is nil for the model itself.
	adapted *adapted
}

// NewClassifier loads the released model, at its best tier.
func NewClassifier() (*Classifier, error) { return NewClassifierFrom(models.Classifier) }

// NewClassifierFrom loads a model artefact, as `enrich train` writes it, at its best tier.
func NewClassifierFrom(artefact []byte) (*Classifier, error) {
	whole, err := model.Decode(artefact)
	if err != nil {
		return nil, fmt.Errorf("loading the classifier: %w", err)
	}
	m, err := whole.Only(train.HeadSentiment, train.HeadBest, train.HeadLanguage, train.HeadRisk, train.HeadReply, train.HeadToxic, train.HeadSarcasm)
	if err != nil {
		return nil, fmt.Errorf("loading the classifier: %w", err)
	}
	outbound, err := whole.Only(train.HeadFunction)
	if err != nil {
		return nil, fmt.Errorf("loading the classifier: %w", err)
	}
	c := &Classifier{model: m, outbound: outbound, seq: m.Seq * seqStep, function: &outbound.Heads[0]}
	if m.Seq > MostReleases {
		return nil, fmt.Errorf("loading the classifier: model %s is release %d; at most %d are allowed", m.Version, m.Seq, MostReleases)
	}
	if c.analyzer, err = text.NewAnalyzer(); err != nil {
		return nil, fmt.Errorf("loading the classifier: %w", err)
	}
	if c.table, err = risk.Read(codebook.Files, c.analyzer); err != nil {
		return nil, fmt.Errorf("loading the classifier: %w", err)
	}
	if c.lexicon, err = risk.ReadLexicon(codebook.Files, c.analyzer); err != nil {
		return nil, fmt.Errorf("loading the classifier: %w", err)
	}
	c.release = fmt.Sprintf("%s/rules-%d", m.Version, c.table.RulesVersion)
	for name, into := range map[string]**model.Head{train.HeadLanguage: &c.language, train.HeadRisk: &c.risk,
		train.HeadReply: &c.reply, train.HeadToxic: &c.toxic, train.HeadSarcasm: &c.sarcasm} {
		if *into, err = m.Head(name); err != nil {
			return nil, fmt.Errorf("loading the classifier: %w", err)
		}
	}
	if got, want := strings.Join(c.risk.Labels, " "), strings.Join(c.table.Names(), " "); got != want {
		return nil, fmt.Errorf("loading the classifier: model %s knows the risk tags %s, the code book has %s", m.Version, got, want)
	}
	for _, tag := range c.table.Tags {
		least := namedP
		if tag.Severity <= everydaySeverity {
			least = everydayP
		}
		c.leastNamed = append(c.leastNamed, least)
	}
	c.parentOf, c.parents = c.table.Parents()
	widest := len(c.parents)
	for _, h := range whole.Heads {
		widest = max(widest, len(h.Labels))
	}
	c.scratch = newScratches(m, outbound, widest)
	return c.At(Best)
}

// At returns a classifier of the same model at another tier; the two share what they have loaded.
func (c *Classifier) At(t Tier) (*Classifier, error) {
	at := *c
	name := train.HeadBest
	at.version = c.release
	switch t {
	case Best:
	case Fast:
		name = train.HeadSentiment
		at.version += "/" + string(Fast)
	default:
		return nil, fmt.Errorf("choosing the tier %q; allowed are fast and best", t)
	}
	var err error
	if at.sentiment, err = c.model.Head(name); err != nil {
		return nil, fmt.Errorf("choosing the tier %s: %w", t, err)
	}
	return &at, nil
}

// ModelVersion names the artefact, the rules and, unless it is the best, the tier; every Result carries it.
func (c *Classifier) ModelVersion() string { return c.version }

// seqStep is how far apart the numbers of two releases are: between them is room for the revisions of an institution's adaptation.
const seqStep = adapt.MostRevisions + 1

// MostReleases is the largest number of a release that the store's row versions have room for.
const MostReleases = 1023 / seqStep

// EnrichmentSeq is 16 x the number of the release + the revision of the institution's adaptation (0: none): of two enrichments of one message the one
// with the larger number wins. At most 1023.
func (c *Classifier) EnrichmentSeq() uint32 { return c.seq }

// Classify answers for one text. Lang is what the platform claims, or empty. Outbound says that the text is the institution's own: then it has a
// content function, and neither a risk tag nor a need of reply. The same arguments always give the same result; any bytes are accepted, and
// the time is bounded whatever the length.
func (c *Classifier) Classify(s, lang string, outbound bool) Result {
	r := Result{RiskTags: []string{}, RiskP: TagProbabilities{}}
	c.ClassifyInto(&r, s, lang, outbound)
	return r
}

// ClassifyInto is Classify into a result that is used again: its slices are overwritten, and nothing is allocated once they have grown.
func (c *Classifier) ClassifyInto(r *Result, s, lang string, outbound bool) {
	w := c.scratch.get()
	defer c.scratch.put(w)
	c.classify(w, r, s, lang, outbound)
}

func (c *Classifier) classify(w *scratch, r *Result, s, lang string, outbound bool) {
	c.analyzer.Analyze(&w.doc, s)
	w.scorer.Score(&w.doc)
	*r = Result{ModelVersion: c.version, RiskTag: risk.None, RiskTags: r.RiskTags[:0], RiskP: r.RiskP[:0], Escalation: risk.EscalationNone}
	c.setSentiment(w, r)
	r.Lang = c.languageOf(w, lang)
	r.Toxicity = c.toxicity(w)
	if outbound {
		r.ContentFunction = c.functionOf(w)
		r.IsAuto = c.table.Automatic(&w.doc)
		return
	}
	c.setRisk(w, r)
	c.setNeedsReply(w, r)
	c.setSarcasm(w, r)
	c.reportRisk(r, func(int) bool { return false })
	if c.adapted != nil {
		c.adapted.correct(c, w, r, nil)
	}
}

// wordless holds for a text of nothing but mentions, links, emoji and punctuation: there is nothing to answer or to judge in it.
func wordless(d *text.Doc) bool { return d.Shape.Words == 0 && d.Shape.Numbers == 0 }

func (c *Classifier) setSentiment(w *scratch, r *Result) {
	p := w.p[:len(c.sentiment.Labels)]
	w.scorer.Probabilities(c.sentiment, p)
	r.PNegative, r.PNeutral, r.PPositive = float32(p[0]), float32(p[1]), float32(p[2])
	best := largest(p)
	r.Sentiment = c.sentiment.Labels[best]
	if _, other := scripts(&w.doc); p[best] < c.sentiment.Threshold[best] || other {
		r.Sentiment = UnknownSentiment
	}
}

func largest(p []float64) int {
	best := 0
	for i := range p {
		if p[i] > p[best] {
			best = i
		}
	}
	return best
}

// fewestWords is how many words language identification wants before it contradicts what the platform claims.
const fewestWords = 2

func (c *Classifier) languageOf(w *scratch, claimed string) string {
	best, likely := w.scorer.Likeliest(c.language, c.language.Threshold[0], w.p[:len(c.language.Labels)])
	latin, _ := scripts(&w.doc)
	if w.doc.Shape.Words >= fewestWords && likely && latin {
		return c.language.Labels[best]
	}
	claimed, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(claimed)), "-")
	switch {
	case claimed == "in":
		return "id"
	case claimed == "jw":
		return "jv"
	case len(claimed) < 2 || len(claimed) > 3 || strings.ContainsFunc(claimed, func(r rune) bool { return r < 'a' || r > 'z' }):
		return UndeterminedLanguage
	}
	return claimed
}

// scripts says whether the words of a text are mostly in Latin letters, or mostly in others; neither holds for a text without words. The
// languages of the model are written in Latin letters, any other script is beyond it.
func scripts(d *text.Doc) (latin, other bool) {
	return d.Shape.Latin > d.Shape.OtherScript, d.Shape.Latin < d.Shape.OtherScript
}

// abusiveP is the least toxicity of a text with a word that is abuse wherever it stands.
const abusiveP = 0.9

func (c *Classifier) toxicity(w *scratch) float32 {
	p := w.p[:1]
	w.scorer.Probabilities(c.toxic, p)
	if c.lexicon.Abusive(&w.doc) {
		return float32(max(p[0], abusiveP))
	}
	return float32(p[0])
}

func (c *Classifier) functionOf(w *scratch) string {
	p := w.p[:len(c.function.Labels)]
	w.outbound.Score(&w.doc)
	w.outbound.Probabilities(c.function, p)
	best := largest(p)
	if p[best] < c.function.Threshold[best] {
		return "other"
	}
	return c.function.Labels[best]
}

const (
	// namedP is the least probability at which a tag is named. Its own threshold, chosen for precision, is what it needs to alarm.
	namedP = 0.25
	// everydayP is that of the tags of base severity everydaySeverity and less: their words are the ones that questions have, too, and nearly all false
	// alarms on a help account's stream are theirs.
	everydayP        = 0.45
	everydaySeverity = 2
	// besideP is the least share of the likeliest tag's probability at which another is named beside it.
	besideP = 0.7
	// parentP is how sure a group of tags must be to be reported where none of them is likely enough to be named.
	parentP = 0.4
	// unsureSeverity caps what is not sure enough to alarm: a group, and a tag under its threshold.
	unsureSeverity = 3
)

func (c *Classifier) setRisk(w *scratch, r *Result) {
	if wordless(&w.doc) {
		return
	}
	p, named := w.p[:len(c.risk.Labels)], w.named[:len(c.risk.Labels)]
	w.scorer.Reportable(c.risk, p)
	modifiers := c.weighRisk(w, r, p)
	beside := besideP * p[largest(p)]
	oneNamed := false
	for i := range p {
		named[i] = p[i] >= max(c.leastNamed[i], beside)
		oneNamed = oneNamed || named[i]
	}
	if !oneNamed && mayNameGroup(p) {
		// To a group even what is not worth reporting of its tags adds up.
		w.scorer.Probabilities(c.risk, p)
		modifiers = c.weighRisk(w, r, p)
	}
	r.Escalation = modifiers.Escalation()
	c.nameRisk(w, r, p, named, modifiers)
}

// weighRisk weighs the tags' probabilities with the tone and by the rules, and returns the modifiers of the text. Rules stand above the tone, because what they ask for is a risk
// whatever it is.
func (c *Classifier) weighRisk(w *scratch, r *Result, p []float64) risk.Modifiers {
	tone := risk.Tone(float64(r.PNegative))
	for i := range p {
		p[i] *= tone
	}
	return c.table.Apply(&w.doc, p)
}

// nameRisk writes the tags with their probabilities p, those that are named, and the severity, into r, which has none.
func (c *Classifier) nameRisk(w *scratch, r *Result, p []float64, named []bool, modifiers risk.Modifiers) {
	for i, tag := range c.risk.Labels {
		if p[i] >= model.LeastReported {
			r.RiskP = append(r.RiskP, TagProbability{tag, float32(p[i])})
		}
		if !named[i] {
			continue
		}
		if len(r.RiskTags) == 0 {
			r.RiskTag, r.RiskSeverity = tag, c.table.Severity(i, modifiers)
			if p[i] < c.risk.Threshold[i] {
				r.RiskSeverity = min(r.RiskSeverity, unsureSeverity)
			}
		}
		r.RiskTags = append(r.RiskTags, tag)
	}
	if len(r.RiskTags) == 0 {
		c.setRiskGroup(p, r)
	}
	if len(r.RiskTags) > 0 {
		r.Evidence, r.Target = modifiers.Evidence(), c.table.Target(&w.doc, r.RiskTag)
	}
}

// reportRisk writes the tags' probabilities as they are reported, those of tags that skip holds excepted. What is decided by them is decided before.
func (c *Classifier) reportRisk(r *Result, skip func(tag int) bool) {
	if c.risk.Reported == nil {
		return
	}
	for i := range r.RiskP {
		x := &r.RiskP[i]
		if at := c.table.Index(x.Tag); at >= 0 && !skip(at) {
			x.P = float32(c.risk.Report(float64(x.P)))
		}
	}
}

// mayNameGroup reports whether a group may be likely enough to be named, where probabilities under model.LeastReported may be left out: nearly always all tags together are not.
func mayNameGroup(p []float64) bool {
	atMost := 0.0
	for _, v := range p {
		atMost += max(v, model.LeastReported)
	}
	return atMost >= parentP
}

// setRiskGroup reports the parent of tags that are likely only together.
func (c *Classifier) setRiskGroup(p []float64, r *Result) {
	if !mayNameGroup(p) {
		return
	}
	best, bestP := -1, parentP
	for parent := range c.parents {
		miss, children := 1.0, 0
		for i, of := range c.parentOf {
			if of == parent {
				miss *= 1 - p[i]
				children++
			}
		}
		if children > 1 && 1-miss >= bestP {
			best, bestP = parent, 1-miss
		}
	}
	if best < 0 {
		return
	}
	r.RiskTag = c.parents[best]
	r.RiskP = append(r.RiskP, TagProbability{r.RiskTag, float32(bestP)})
	r.RiskTags = append(r.RiskTags, r.RiskTag)
	r.RiskSeverity = unsureSeverity
	for i, of := range c.parentOf {
		if of == best {
			r.RiskSeverity = min(r.RiskSeverity, c.table.Tags[i].Severity)
		}
	}
}

func (c *Classifier) setSarcasm(w *scratch, r *Result) {
	p := w.p[:1]
	w.scorer.Probabilities(c.sarcasm, p)
	r.Sarcasm = !wordless(&w.doc) && p[0] >= c.sarcasm.Threshold[0]
}

func (c *Classifier) setNeedsReply(w *scratch, r *Result) {
	if wordless(&w.doc) {
		return
	}
	p := w.p[:1]
	w.scorer.Probabilities(c.reply, p)
	// A view (of a policy, of bought praise, of a post) is written in the words of a complaint but asks for nothing.
	for _, x := range r.RiskP {
		if i := c.table.Index(x.Tag); i >= 0 && !c.table.Tags[i].AsksReply {
			p[0] *= 1 - float64(x.P)
		}
	}
	r.PNeedsReply, r.NeedsReply = float32(p[0]), p[0] >= c.reply.Threshold[0]
	// A complaint wants an answer even where it asks for none.
	for _, tag := range r.RiskTags {
		i := c.table.Index(tag)
		if i < 0 || !c.table.Tags[i].AsksReply {
			continue
		}
		r.NeedsReply = true
		for _, x := range r.RiskP {
			if x.Tag == tag {
				r.PNeedsReply = max(r.PNeedsReply, x.P, float32(c.reply.Threshold[0]))
			}
		}
	}
}
