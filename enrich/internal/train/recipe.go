package train

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/model"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

// Names of the heads in the artefact.
const (
	HeadSentiment = "sentiment"
	// HeadBest is sentiment with the help of the networks.
	HeadBest     = "sentiment_best"
	HeadLanguage = "language"
	HeadRisk     = "risk"
	HeadReply    = "needs_reply"
	HeadToxic    = "toxicity"
	HeadFunction = "content_function"
	HeadSarcasm  = "sarcasm"
)

// Languages are the labels of the language head.
var Languages = []string{"id", "en", "jv", "su", "min", "bew", "ban", "bjn", "ace", "bug", "mad", "nij", "bbc"}

// sentimentLabels are the labels of the heads of sentiment, and of the networks.
var sentimentLabels = []string{corpus.Negative, corpus.Neutral, corpus.Positive}

// Functions are the labels of the content-function head.
var Functions = []string{"informative", "educative", "entertaining", "mixed", "other"}

// Options of a training run.
type Options struct {
	Seed uint64
	// Seq is the number of the release.
	Seq uint32
	// Epochs bounds the passes over the data; Bits, if not 0, replaces the size of every space (tests train tiny models).
	Epochs, Bits int
	Log          *slog.Logger
}

// column is one output: whom it learns from (y = 0: not from this one, else +1 or -1), and how much.
type column struct {
	y func(*corpus.Example) int8
	// weight scales an example's own weight.
	weight func(*corpus.Example) float64
}

type headSpec struct {
	name, kind string
	labels     []string
	columns    []column
	// calibrate says which examples calibration fits on (those with a label of the head); nil: all of them.
	calibrate func(*corpus.Example) bool
	// calibration scales an example's weight there; nil: 1.
	calibration func(*corpus.Example) float64
	// fallback is the label that doubt falls back to, if any.
	fallback string
	// precision is what thresholds are chosen for; 0 sets threshold.
	precision func(label string) float64
	threshold float64
}

type spaceSpec struct {
	name string
	bits int
	c    float64
	// bayes is the share of the fit with naive-Bayes weighting in the blend.
	bayes float64
	// words and concepts are how much these views count beside that by characters.
	words, concepts float64
	heads           []headSpec
}

func one(*corpus.Example) float64 { return 1 }

func yes(b bool) int8 {
	if b {
		return 1
	}
	return -1
}

func tri(t corpus.Tristate) int8 {
	switch t {
	case corpus.Yes:
		return 1
	case corpus.No:
		return -1
	}
	return 0
}

func sentimentColumn(label string) column {
	return column{weight: one, y: func(e *corpus.Example) int8 {
		switch {
		case e.Sentiment == "":
			return 0
		case e.NoNeutral:
			// Without a neutral class "negative" means no more than "not positive": the only thing learnt is what a text is not.
			if label == corpus.Neutral || e.Sentiment == label {
				return 0
			}
			return -1
		}
		return yes(e.Sentiment == label)
	}}
}

// streamWeight makes calibration and the networks believe the texts that are most like a help account's stream, mostly neutral, more than reviews.
func streamWeight(e *corpus.Example) float64 {
	if e.HasRisk {
		return 3
	}
	return 1
}

// languageWeight evens out the sources: SmSA alone would make everything Indonesian.
func languageWeight(e *corpus.Example) float64 {
	if e.Source == "sentiment/smsa_train.csv" {
		return 0.1
	}
	return 1
}

func spaces(table *risk.Table) []spaceSpec {
	// Of three classes none is below a third: under two fifths the head knows next to nothing, and abstains.
	sentiment := headSpec{name: HeadSentiment, kind: model.Softmax, threshold: 0.4, labels: sentimentLabels,
		calibrate: func(e *corpus.Example) bool { return !e.NoNeutral }, calibration: streamWeight, fallback: corpus.Neutral}
	for _, l := range sentiment.labels {
		sentiment.columns = append(sentiment.columns, sentimentColumn(l))
	}
	language := headSpec{name: HeadLanguage, kind: model.Softmax, labels: Languages, threshold: 0.5}
	for _, l := range Languages {
		language.columns = append(language.columns, column{weight: languageWeight, y: func(e *corpus.Example) int8 {
			if e.Lang == "" {
				return 0
			}
			return yes(e.Lang == l)
		}})
	}
	tags := headSpec{name: HeadRisk, kind: model.Sigmoid, labels: table.Names(), calibrate: func(e *corpus.Example) bool { return e.HasRisk },
		precision: func(tag string) float64 {
			if table.Tags[table.Index(tag)].Severity >= 4 {
				return 0.85
			}
			return 0.7
		}}
	for i, tag := range table.Tags {
		alarming := table.Tags[i].Severity >= 3
		tags.columns = append(tags.columns, column{weight: one, y: func(e *corpus.Example) int8 {
			switch {
			case e.HasRisk:
				return yes(slices.Contains(e.Risk, tag.Tag))
			case e.Harmless && alarming:
				return -1
			}
			return 0
		}})
	}
	binary := func(name string, y func(*corpus.Example) int8) headSpec {
		return headSpec{name: name, kind: model.Sigmoid, labels: []string{name}, columns: []column{{weight: one, y: y}}, threshold: 0.5}
	}
	function := headSpec{name: HeadFunction, kind: model.Softmax, labels: Functions, threshold: 0.4}
	for _, l := range Functions {
		function.columns = append(function.columns, column{weight: one, y: func(e *corpus.Example) int8 {
			if e.Function == "" {
				return 0
			}
			return yes(e.Function == l)
		}})
	}
	sarcasm := binary(HeadSarcasm, func(e *corpus.Example) int8 {
		if e.Outbound || !e.HasRisk {
			return 0
		}
		return tri(e.Sarcasm)
	})
	sarcasm.precision = func(string) float64 { return 0.7 }
	return []spaceSpec{
		{name: "sentiment", bits: 20, c: 0.3, bayes: 0.5, words: 1, concepts: 0.25, heads: []headSpec{sentiment}},
		// A language shows in its letters; words would cost a third of the time of scoring and tell nothing more.
		{name: "language", bits: 16, c: 1, bayes: 1, heads: []headSpec{language}},
		{name: "message", bits: 16, c: 1, words: 1, concepts: 1, heads: []headSpec{
			tags,
			binary(HeadReply, func(e *corpus.Example) int8 {
				if e.Outbound {
					return 0
				}
				return tri(e.Reply)
			}),
			binary(HeadToxic, func(e *corpus.Example) int8 {
				if e.Toxic == corpus.Unknown && e.Harmless && e.Sentiment == corpus.Positive {
					return -1
				}
				return tri(e.Toxic)
			}),
			function,
			sarcasm,
		}},
	}
}

// ReadExamples reads everything that a shipped model learns from: the training sets below dir, the harmless background and the code book.
// Texts that are near-copies of one that any evaluation file or held-out family holds are left out, and counted.
func ReadExamples(dir string, book *corpus.CodeBook, seed uint64, log *slog.Logger) ([]corpus.Example, error) {
	evaluation, err := EvaluationTexts(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range book.HeldOut(seed) {
		evaluation = append(evaluation, e.Text)
	}
	near := corpus.NewNearCopies(evaluation)
	var out []corpus.Example
	for _, s := range corpus.TrainingSets() {
		examples, err := s.Read(dir)
		if err != nil {
			return nil, err
		}
		kept := 0
		for _, e := range examples {
			if near.Copied(e.Text) {
				continue
			}
			e.Harmless = e.Sentiment != corpus.Negative && !e.NoNeutral
			out = append(out, e)
			kept++
		}
		log.Info("read training set", "set", s.Name, "texts", kept, "near_copies_left_out", len(examples)-kept)
	}
	rows, err := corpus.Table(filepath.Join(dir, filepath.FromSlash(corpus.BackgroundSet)))
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		if !near.Copied(row["text"]) {
			out = append(out, corpus.Example{Text: row["text"], Source: corpus.BackgroundSet, Group: fmt.Sprintf("%s/%d", corpus.BackgroundSet, i), Weight: 0.2, Harmless: true})
		}
	}
	written := book.Training(seed)
	kept := 0
	for _, e := range written {
		if !near.Copied(e.Text) {
			out = append(out, e)
			kept++
		}
	}
	log.Info("expanded the code book", "texts", kept, "near_copies_left_out", len(written)-kept)
	return out, nil
}

// EvaluationTexts returns the texts of every file below dir that measures and never trains.
func EvaluationTexts(dir string) ([]string, error) {
	var out []string
	for _, s := range corpus.ValidationSets() {
		examples, err := s.Read(dir)
		if err != nil {
			return nil, err
		}
		for i := range examples {
			out = append(out, examples[i].Text)
		}
	}
	rows, err := corpus.Table(filepath.Join(dir, filepath.FromSlash(corpus.HateSet)))
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		out = append(out, row["Tweet"])
	}
	return out, nil
}

const folds = 4

func fold(group string) int {
	h := fnv.New32a()
	h.Write([]byte(group))
	return int(h.Sum32() % folds)
}

// Train fits a model to the examples.
func Train(examples []corpus.Example, table *risk.Table, o Options) (*model.Model, error) {
	if len(examples) == 0 {
		return nil, errors.New("training: no examples")
	}
	analyzer, err := text.NewAnalyzer()
	if err != nil {
		return nil, err
	}
	m := &model.Model{Header: model.Header{Seq: o.Seq, Features: text.Version, Seed: o.Seed}}
	var sentiment headSpec
	var unseen, message *unseenScores
	nets := make(chan *trainedNetworks, 1)
	go func() { nets <- trainNetworks(analyzer, examples, o) }()
	for at, spec := range spaces(table) {
		if o.Bits > 0 {
			spec.bits = o.Bits
		}
		scores, err := trainSpace(m, at, spec, analyzer, examples, o)
		if err != nil {
			return nil, err
		}
		for _, h := range spec.heads {
			if h.name == HeadSentiment {
				sentiment, unseen = h, scores
			}
			if h.name == HeadRisk {
				message = scores
			}
		}
	}
	if err := calibrateReported(m, unseen, message); err != nil {
		return nil, err
	}
	if err := addNetworks(m, sentiment, unseen, <-nets, o); err != nil {
		return nil, err
	}
	encoded, err := m.Encode()
	if err != nil {
		return nil, err
	}
	// The version names the release and its content: two trainings that differ in a single weight differ in their version.
	m.Version = fmt.Sprintf("%d-%x", o.Seq, sha256.Sum256(encoded))[:len(fmt.Sprint(o.Seq))+9]
	return m, nil
}

// unseenScores are the scores that columns gave to texts which they had not seen: columns x examples.
type unseenScores struct {
	examples []*corpus.Example
	columns  [][]float64
}

func trainSpace(m *model.Model, at int, spec spaceSpec, analyzer *text.Analyzer, all []corpus.Example, o Options) (*unseenScores, error) {
	var columns []column
	for _, h := range spec.heads {
		columns = append(columns, h.columns...)
	}
	// Examples that no column learns from are left out of the matrix.
	var examples []*corpus.Example
	var texts []string
	for i := range all {
		e := &all[i]
		if slices.ContainsFunc(columns, func(c column) bool { return c.y(e) != 0 }) {
			examples = append(examples, e)
			texts = append(texts, e.Text)
		}
	}
	if len(examples) == 0 {
		return nil, fmt.Errorf("training: no example teaches the space %q", spec.name)
	}
	x := newMatrix(analyzer, texts, spec.bits, spec.words, spec.concepts)
	foldOf := make([]int, len(examples))
	for i, e := range examples {
		foldOf[i] = fold(e.Group)
	}
	weights, biases := make([][]float32, len(columns)), make([]float32, len(columns))
	outOfFold := make([][]float64, len(columns))
	work := make(chan int)
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			for c := range work {
				weights[c], biases[c], outOfFold[c] = trainColumn(x, examples, foldOf, columns[c], spec, o, uint64(c))
			}
		})
	}
	for c := range columns {
		work <- c
	}
	close(work)
	wait.Wait()

	table := model.NewSpace(model.SpaceHeader{Name: spec.name, Bits: spec.bits, Columns: len(columns), WordScale: spec.words, ConceptScale: spec.concepts})
	quantise(&table, weights, biases)
	m.Spaces = append(m.Spaces, table.SpaceHeader)
	m.Tables = append(m.Tables, table)
	first := 0
	for _, h := range spec.heads {
		head := model.Head{Name: h.name, Kind: h.kind, Space: at, First: first, Labels: h.labels}
		calibrate(&head, h, examples, outOfFold[first:first+len(h.columns)])
		m.Heads = append(m.Heads, head)
		first += len(h.columns)
		if o.Log != nil {
			o.Log.Info("trained head", "head", h.name, "labels", len(h.labels), "texts", len(examples))
		}
	}
	return &unseenScores{examples, outOfFold}, nil
}

// trainColumn fits one column on everything, and once per fold without it, for the scores of texts that the column has not seen.
func trainColumn(x *matrix, examples []*corpus.Example, foldOf []int, c column, spec spaceSpec, o Options, n uint64) ([]float32, float32, []float64) {
	y, weight := make([]int8, len(examples)), make([]float64, len(examples))
	for i, e := range examples {
		y[i] = c.y(e)
		weight[i] = e.Weight * c.weight(e)
	}
	options := options{c: spec.c, epochs: o.Epochs, seed: o.Seed + n}
	out := make([]float64, len(examples))
	part := make([]int8, len(examples))
	for f := range folds {
		copy(part, y)
		for i := range part {
			if foldOf[i] == f {
				part[i] = 0
			}
		}
		w, b := blend(x, part, weight, spec.bayes, options)
		for i := range examples {
			if foldOf[i] == f {
				out[i] = x.score(i, w, b)
			}
		}
	}
	w, b := blend(x, y, weight, spec.bayes, options)
	return w, b, out
}

// quantise stores the weights in 16 bits, each column on its own scale.
func quantise(t *model.Space, weights [][]float32, biases []float32) {
	t.Bias = biases
	for c, w := range weights {
		top := float32(0)
		for _, v := range w {
			top = max(top, float32(math.Abs(float64(v))))
		}
		if top == 0 {
			top = 1
		}
		t.Scale[c] = top / math.MaxInt16
		for f, v := range w {
			t.SetWeight(f, c, int16(math.Round(float64(v/t.Scale[c]))))
		}
	}
}

// WriteFile writes the artefact.
func WriteFile(path string, m *model.Model) error {
	b, err := m.Encode()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return fmt.Errorf("writing the model: %w", err)
	}
	return nil
}
