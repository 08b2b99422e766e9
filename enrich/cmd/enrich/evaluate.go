package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/enrich/codebook"
	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/label"
	"github.com/dwiarah/dwiarah/enrich/internal/measure"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

type evaluateCommand struct {
	File        string `help:"A CSV file with a header, or JSON objects a line (.jsonl, .ndjson)." type:"existingfile" xor:"what" required:""`
	Head        string `help:"With --file: what its labels are of: sentiment (negative, neutral, positive), risk_tag (the primary one, or none), needs_reply (yes, no), content_function (of the institution's own texts)." enum:"sentiment,risk_tag,needs_reply,content_function" default:"sentiment"`
	TextColumn  string `help:"Column, or key, of the text." default:"text"`
	LabelColumn string `help:"Column, or key, of the label." default:"label"`
	All         bool   `help:"Measure every set of the data folder and the held-out families of the code book." xor:"what" required:""`
	Data        string `help:"The data folder, with --all." type:"existingdir"`
	Model       string `help:"A model artefact in place of the released one." type:"existingfile"`
	Tier        string `help:"fast or best: how much to spend on a text. With --all, sentiment is measured at both." enum:"fast,best" default:"best"`
	Card        string `help:"With --all: write the figures into this model card too, between its marks." type:"existingfile"`
	Seed        uint64 `help:"Seed of the bootstrap." default:"1"`
	Adapt       int    `help:"With --file, and any head that is adapted: what so many labels of this stream are worth. Adapts from labels drawn as the labelling queue draws them, answers a part of the file that was held out, and corrects shares."`
	Draws       int    `help:"With --adapt: how often that is done." default:"10"`
	Details     bool   `help:"With --all: every set's classes and confusion, too."`
}

func (c *evaluateCommand) Run(s *streams) error {
	classifier, err := loadClassifier(c.Model, c.Tier)
	if err != nil {
		return err
	}
	if c.All {
		if c.Data == "" {
			return errors.New("--all wants --data, the folder with the data sets")
		}
		return c.all(classifier, s.out)
	}
	if c.Card != "" {
		return errors.New("--card wants --all: a card has the figures of every set")
	}
	book, err := enrich.Labels()
	if err != nil {
		return err
	}
	if c.Adapt < 0 || c.Draws < 1 {
		return fmt.Errorf("--adapt is %d and --draws %d; allowed are numbers from 0 and from 1 on", c.Adapt, c.Draws)
	}
	if c.Adapt > 0 {
		return c.adaptation(s, classifier, book)
	}
	texts, err := fileLabels(c.File, c.TextColumn, c.LabelColumn, book[c.Head])
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "model %s, %s, on %s\n%s", classifier.ModelVersion(), c.Head, c.File, measure.Evaluate(predict(classifier, c.Head, texts), c.Seed))
	return nil
}

// predict answers texts under a head.
func predict(c *enrich.Classifier, head string, texts []label.Text) []measure.Prediction {
	predictions := make([]measure.Prediction, len(texts))
	for i, t := range texts {
		r := c.Classify(t.Text, "", head == label.ContentFunction)
		predictions[i] = measure.Prediction{Gold: t.Label, Predicted: r.Answer(head), P: answerP(head, &r)}
	}
	return predictions
}

// answerP is the probability of the answer under a head, 0 where it has none.
func answerP(head string, r *enrich.Result) float64 {
	switch head {
	case label.Sentiment:
		return answered("", *r).P
	case label.NeedsReply:
		if r.NeedsReply {
			return float64(r.PNeedsReply)
		}
		return 1 - float64(r.PNeedsReply)
	case label.RiskTag:
		return primaryP(r)
	}
	return 0
}

// primaryP is the probability that the named tag, or none, is the primary one: it is there, and those that go before it are not. Tags stand in that order.
func primaryP(r *enrich.Result) float64 {
	rest := 1.0
	for _, x := range r.RiskP {
		if x.Tag == r.RiskTag {
			if strings.ToUpper(x.Tag) == x.Tag { // a group's own probability is that of all its tags together
				return float64(x.P)
			}
			return rest * float64(x.P)
		}
		rest *= 1 - float64(x.P)
	}
	return rest
}

// sentiment predicts; an answer that is withheld counts as wrong and has no probability. Where the set has no neutral class, the answer is the likelier of the other two.
func sentiment(c *enrich.Classifier, examples []corpus.Example) []measure.Prediction {
	out := make([]measure.Prediction, len(examples))
	for i := range examples {
		e := &examples[i]
		r := c.Classify(e.Text, "", e.Outbound)
		p := answered(e.Sentiment, r)
		if e.NoNeutral {
			negative, positive := float64(r.PNegative), float64(r.PPositive)
			p.Predicted, p.P = corpus.Negative, negative/(negative+positive)
			if positive > negative {
				p.Predicted, p.P = corpus.Positive, positive/(negative+positive)
			}
		}
		out[i] = p
	}
	return out
}

func answered(gold string, r enrich.Result) measure.Prediction {
	p := measure.Prediction{Gold: gold, Predicted: r.Sentiment}
	if r.Sentiment != enrich.UnknownSentiment {
		p.P = float64(max(r.PNegative, r.PNeutral, r.PPositive))
	}
	return p
}

type table struct {
	out     io.Writer
	seed    uint64
	details bool
}

func (t *table) row(name string, p []measure.Prediction) measure.Report {
	r := measure.Evaluate(p, t.seed)
	fmt.Fprintf(t.out, "%-52s %6d  %.3f  %.3f-%.3f  %.3f  %s\n", name, r.N, r.MacroF1, r.MacroF1Interval.Low, r.MacroF1Interval.High, r.Accuracy, r.ECEText())
	if t.details {
		fmt.Fprintf(t.out, "%s\n", r)
	}
	return r
}

// yes prints the F1 of the yes of a report: what is asked for, where macro-F1 weighs the rest as much.
func (t *table) yes(r measure.Report) {
	for _, c := range r.Classes {
		if c.Label == yes {
			fmt.Fprintf(t.out, "%-52s %6d  %.3f\n", "  F1 of yes", c.Support, c.F1)
		}
	}
}

// share prints a figure that is no F1: how many of n had a property.
func (t *table) share(name string, n, of int) {
	fmt.Fprintf(t.out, "%-52s %6d  %.3f\n", name, of, float64(n)/math.Max(1, float64(of)))
}

func (t *table) heading(title, columns string) {
	fmt.Fprintf(t.out, "\n%-52s %6s  %s\n", title, "n", columns)
}

const (
	scores = "macroF1  95 %  accuracy  ECE"
	yes    = "yes"
	no     = "no"
)

func (c *evaluateCommand) all(classifier *enrich.Classifier, out io.Writer) error {
	var figures bytes.Buffer
	t := &table{out: io.MultiWriter(out, &figures), seed: c.Seed, details: c.Details}
	fmt.Fprintf(t.out, "model %s\n", classifier.ModelVersion())
	for _, tier := range []enrich.Tier{enrich.Best, enrich.Fast} {
		at, err := classifier.At(tier)
		if err != nil {
			return err
		}
		if err := t.sentiment(at, tier, c.Data); err != nil {
			return err
		}
	}
	if err := t.language(classifier, c.Data); err != nil {
		return err
	}
	if err := t.foreignHeads(classifier, c.Data); err != nil {
		return err
	}
	if err := t.codeBook(classifier, c.Seed); err != nil {
		return err
	}
	if c.Card == "" {
		return nil
	}
	return writeCard(c.Card, figures.String())
}

func (t *table) sentiment(c *enrich.Classifier, tier enrich.Tier, dir string) error {
	t.heading("sentiment, "+string(tier)+" tier", scores)
	mean, sets := 0.0, 0
	var local []measure.Prediction
	var closer []string
	for _, s := range corpus.ValidationSets() {
		examples, err := s.Read(dir)
		if err != nil {
			return err
		}
		p := sentiment(c, examples)
		r := t.row(s.Name, p)
		switch {
		case strings.HasPrefix(s.Name, "sentiment/nusax/"):
			mean += r.MacroF1
			sets++
			local = append(local, p...)
		case !s.NoNeutral:
			closer = append(closer, fmt.Sprintf("%s, %s tier\n%s", s.Name, tier, r.ConfusionText()))
		}
	}
	fmt.Fprintf(t.out, "%-52s %6d  %.3f\n", "mean of NusaX", sets, mean/float64(max(sets, 1)))
	if tier != enrich.Best || t.details {
		return nil
	}
	r := measure.Evaluate(local, t.seed)
	closer = append(closer, fmt.Sprintf("NusaX, all 12 languages (ECE %s), %s tier\n%s", r.ECEText(), tier, r.ConfusionText()))
	for _, s := range closer {
		fmt.Fprintf(t.out, "\n%s", s)
	}
	return nil
}

func (t *table) language(c *enrich.Classifier, dir string) error {
	var languages []measure.Prediction
	for _, s := range corpus.ValidationSets() {
		if s.Lang == "" || s.Name == "sentiment/smsa_valid.csv" {
			continue
		}
		examples, err := s.Read(dir)
		if err != nil {
			return err
		}
		for i := range examples {
			languages = append(languages, measure.Prediction{Gold: s.Lang, Predicted: c.Classify(examples[i].Text, "", false).Lang})
		}
	}
	t.heading("language", scores)
	t.row("NusaX and NusaKalimat, 13 languages", languages)
	return nil
}

// questionTopics are the topics of the railway's help account that ask or report something; the others are chatter and experience.
var questionTopics = map[string]bool{"syarat": true, "jadwalrute": true, "ticketing": true, "aturan": true, "fasilitas": true, "pelayanan": true}

func (t *table) foreignHeads(c *enrich.Classifier, dir string) error {
	rows, err := corpus.Table(filepath.Join(dir, filepath.FromSlash(corpus.HateSet)))
	if err != nil {
		return err
	}
	var toxic []measure.Prediction
	for _, row := range rows {
		p := float64(c.Classify(row["Tweet"], "", false).Toxicity)
		toxic = append(toxic, binary(row["Abusive"] == "1", p, 0.5))
	}
	t.heading("toxicity", scores)
	t.row(corpus.HateSet+" (abusive)", toxic)

	rows, err = corpus.Table(filepath.Join(dir, "mentions", "kai121_until_2021-11-14.csv"))
	if err != nil {
		return err
	}
	var reply []measure.Prediction
	tagged, alerts := 0, 0
	for _, row := range rows {
		r := c.Classify(row["text"], "", false)
		reply = append(reply, binary(questionTopics[row["topic"]], float64(r.PNeedsReply), 0.5))
		if r.RiskTag != risk.None {
			tagged++
		}
		if r.RiskSeverity >= alertSeverity {
			alerts++
		}
	}
	t.heading("needs reply", scores)
	t.yes(t.row("kai121, topics read as questions", reply))
	t.heading("false alarms of risk on kai121 (95 % neutral)", "share")
	t.share("any risk tag", tagged, len(rows))
	t.share("severity 4 or 5", alerts, len(rows))
	return nil
}

// alertSeverity is the severity from which on a message may alarm.
const alertSeverity = 4

func yesNo(b bool) string {
	if b {
		return yes
	}
	return no
}

func binary(gold bool, p, threshold float64) measure.Prediction {
	x := measure.Prediction{Gold: yesNo(gold), Predicted: no, P: 1 - p}
	if p >= threshold {
		x.Predicted, x.P = yes, p
	}
	return x
}

func (t *table) codeBook(c *enrich.Classifier, seed uint64) error {
	analyzer, err := text.NewAnalyzer()
	if err != nil {
		return err
	}
	riskTable, err := risk.Read(codebook.Files, analyzer)
	if err != nil {
		return err
	}
	book, err := corpus.ReadCodeBook(codebook.Files, append(riskTable.Names(), risk.None))
	if err != nil {
		return err
	}
	var tags, feeling, reply, toxic, function, language, sarcasm, escalation, evidence, target, automatic []measure.Prediction
	var each []measure.Prediction // of every tag that a message may have, whether it has
	hits, alerts, secondary, secondaryFound := 0, 0, 0, 0
	for _, e := range book.HeldOut(seed) {
		r := c.Classify(e.Text, "", e.Outbound)
		if e.Sentiment != "" {
			feeling = append(feeling, answered(e.Sentiment, r))
		}
		toxic = append(toxic, binary(e.Toxic == corpus.Yes, float64(r.Toxicity), 0.5))
		if e.Lang == "id" || e.Lang == "en" {
			language = append(language, measure.Prediction{Gold: e.Lang, Predicted: r.Lang})
		}
		if e.Outbound {
			function = append(function, measure.Prediction{Gold: e.Function, Predicted: r.ContentFunction})
			automatic = append(automatic, measure.Prediction{Gold: yesNo(e.Automatic == corpus.Yes), Predicted: yesNo(r.IsAuto)})
			continue
		}
		gold := risk.None
		if len(e.Risk) > 0 {
			gold = e.Risk[0]
		}
		tags = append(tags, measure.Prediction{Gold: gold, Predicted: r.RiskTag, P: primaryP(&r)})
		for _, x := range r.RiskP {
			if riskTable.Index(x.Tag) >= 0 {
				each = append(each, measure.Prediction{Gold: yesNo(slices.Contains(e.Risk, x.Tag)), Predicted: yes, P: float64(x.P)})
			}
		}
		sarcasm = append(sarcasm, measure.Prediction{Gold: yesNo(e.Sarcasm == corpus.Yes), Predicted: yesNo(r.Sarcasm)})
		for _, m := range []struct {
			of              *[]measure.Prediction
			gold, predicted string
		}{{&escalation, e.Escalation, r.Escalation}, {&evidence, e.Evidence, r.Evidence}, {&target, e.Target, r.Target}} {
			// Without a risk there is no evidence and no target to be right about.
			if m.gold != "" && r.RiskTag != risk.None {
				*m.of = append(*m.of, measure.Prediction{Gold: m.gold, Predicted: m.predicted})
			}
		}
		if len(e.Risk) > 1 {
			secondary += len(e.Risk) - 1
			for _, tag := range e.Risk[1:] {
				if slices.Contains(r.RiskTags, tag) {
					secondaryFound++
				}
			}
		}
		if r.RiskSeverity >= alertSeverity {
			alerts++
			if i := riskTable.Index(gold); i >= 0 && riskTable.Tags[i].Severity >= 3 {
				hits++
			}
		}
		if e.Reply != corpus.Unknown {
			reply = append(reply, binary(e.Reply == corpus.Yes, float64(r.PNeedsReply), 0.5))
		}
	}
	t.heading("code book, families that never trained", scores)
	t.row("risk, primary tag", tags)
	fmt.Fprintf(t.out, "%-52s %6d  ECE %s\n", "  probability of each tag, from 0.01 on", len(each), measure.Evaluate(each, seed).ECEText())
	t.yes(t.row("needs reply", reply))
	t.row("sentiment", feeling)
	t.row("toxicity", toxic)
	t.row("content function (outbound)", function)
	t.row("automatic reply (outbound, by its words)", automatic)
	t.row("sarcasm", sarcasm)
	t.row("escalation, where a risk was seen", escalation)
	t.row("evidence, where a risk was seen", evidence)
	t.row("target, where a risk was seen", target)
	t.row("language (Indonesian, English)", language)
	t.heading("tags beside the primary one, on them", "share")
	t.share("found", secondaryFound, secondary)
	t.heading("of the alerts (severity 4 or 5) on them", "share")
	t.share("rightly of base severity 3 or more", hits, alerts)

	sarcastic, negative := 0, 0
	for _, e := range book.Sarcastic(seed) {
		sarcastic++
		if c.Classify(e.Text, "", false).Sentiment == corpus.Negative {
			negative++
		}
	}
	t.heading("sarcastic complaints (held out)", "share")
	t.share("read as negative", negative, sarcastic)
	return nil
}
