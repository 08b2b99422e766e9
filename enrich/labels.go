package enrich

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.yaml.in/yaml/v3"

	"github.com/dwiarah/dwiarah/enrich/codebook"
	"github.com/dwiarah/dwiarah/enrich/internal/adapt"
	"github.com/dwiarah/dwiarah/enrich/internal/agreement"
	"github.com/dwiarah/dwiarah/enrich/internal/label"
	"github.com/dwiarah/dwiarah/enrich/internal/risk"
	"github.com/dwiarah/dwiarah/enrich/internal/text"
	"github.com/dwiarah/dwiarah/enrich/internal/train"
	"github.com/dwiarah/dwiarah/schemas/shares"
)

// What a labelling queue is made of, for whoever shows one.
type (
	// Label is what one person said of one message under one head.
	Label = label.Label
	// LabelBook says which labels each head has.
	LabelBook = label.Book
	// LabelStore is the table of labels, which draws what is to be labelled.
	LabelStore = label.Store
	// LabelItem is a message that waits for a label.
	LabelItem = label.Item
	// LabelGuide is what a person needs to know to label under one head.
	LabelGuide = label.Guide
	// LabelSelection says which labels are meant.
	LabelSelection = label.Selection
	// Agreement is Krippendorff's alpha with its interval.
	Agreement = agreement.Alpha
)

// NewLabelStore returns the table of labels behind conn, whose database is Dwiarah's.
func NewLabelStore(conn driver.Conn) *LabelStore { return label.NewStore(conn) }

// ValidAlias tells whether s may stand for an annotator.
func ValidAlias(s string) bool { return label.ValidAlias(s) }

// LabelHeads are the heads that a queue offers, in a fixed order.
func LabelHeads() []string { return label.QueueHeads() }

// Agree says how far the annotators of an institution agree under a head, and how many labels there are.
func Agree(ctx context.Context, store *LabelStore, institution, head string) (Agreement, int, error) {
	labels, err := store.All(ctx, LabelSelection{Institution: institution, Head: head})
	if err != nil {
		return Agreement{}, 0, err
	}
	var units [][]string
	for _, g := range label.Units(labels) {
		units = g.Units
	}
	return agreement.Nominal(units, 1), len(labels), nil
}

// LabelGuides returns the code book of every head that a queue offers.
func LabelGuides() (map[string]LabelGuide, error) {
	b, err := codebook.Files.ReadFile("tags.yaml")
	if err != nil {
		return nil, fmt.Errorf("reading the code book: %w", err)
	}
	var file struct {
		DecisionOrder []string   `yaml:"decision_order"`
		Precedence    []string   `yaml:"precedence"`
		Tags          []risk.Tag `yaml:"tags"`
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("reading the code book: %w", err)
	}
	tags := LabelGuide{Question: "What does the message put at stake for the institution's name? Take the first that fits.", Order: file.DecisionOrder}
	for _, name := range file.Precedence {
		if at := slices.IndexFunc(file.Tags, func(t risk.Tag) bool { return t.Tag == name }); at >= 0 {
			tags.Rules = append(tags.Rules, label.Rule{Label: name, When: file.Tags[at].Definition, Not: file.Tags[at].Not})
		}
	}
	return map[string]LabelGuide{label.Sentiment: label.SentimentGuide, label.NeedsReply: label.NeedsReplyGuide, label.RiskTag: tags}, nil
}

// Labels returns the labels of every head that people can label.
func Labels() (LabelBook, error) {
	analyzer, err := text.NewAnalyzer()
	if err != nil {
		return nil, fmt.Errorf("reading the code book: %w", err)
	}
	table, err := risk.Read(codebook.Files, analyzer)
	if err != nil {
		return nil, fmt.Errorf("reading the code book: %w", err)
	}
	return label.NewBook(append(table.Names(), risk.None), train.Functions), nil
}

// MessageHash stands for a message where an adaptation remembers what it learnt from.
func MessageHash(platform, messageID string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(platform + "\x00" + messageID))
	return h.Sum64()
}

// Answer is the label that r gives under a head.
func (r *Result) Answer(head string) string {
	switch head {
	case label.Sentiment:
		return r.Sentiment
	case label.RiskTag:
		return r.RiskTag
	case label.NeedsReply:
		if r.NeedsReply {
			return label.Yes
		}
		return label.No
	}
	return r.ContentFunction
}

// Measured is a confusion matrix that was stored, in short.
type Measured struct {
	Head, ModelVersion string
	Labels, Right      int
}

// Measure compares an institution's labels with the answers of the model and of the institution's adaptation, and stores the confusion matrices that shares are corrected
// with. A message that an adaptation learnt from counts with the answer of a correction that had not seen it.
func Measure(ctx context.Context, conn driver.Conn, c *Classifiers, institution string) ([]Measured, error) {
	store := label.NewStore(conn)
	book, err := Labels()
	if err != nil {
		return nil, err
	}
	versions := []*Classifier{c.model}
	if a := c.of[institution]; a != nil {
		versions = append(versions, a)
	}
	var out []Measured
	for _, head := range label.Heads() {
		texts, err := store.Texts(ctx, institution, head)
		if err != nil {
			return nil, err
		}
		if len(texts) == 0 {
			continue
		}
		for _, v := range versions {
			confusion := v.Confusion(book, institution, head, texts)
			m := Measured{Head: head, ModelVersion: v.version, Labels: len(texts)}
			for of, cell := range confusion.Cells {
				if of[0] == of[1] {
					m.Right += cell.Labels
				}
			}
			if err := store.PutConfusion(ctx, confusion, time.Now()); err != nil {
				return nil, err
			}
			out = append(out, m)
		}
	}
	return out, nil
}

// Confusion compares labels of a head with the answers of c, as Measure does. It has all cells, those without a label too.
func (c *Classifier) Confusion(book LabelBook, institution, head string, texts []label.Text) *shares.Confusion {
	confusion := &shares.Confusion{Institution: institution, Head: head, ModelVersion: c.version, Cells: map[[2]string]shares.Cell{}}
	predicted := book[head]
	switch head {
	case label.Sentiment:
		predicted = append(slices.Clone(predicted), UnknownSentiment)
	case label.RiskTag:
		predicted = append(slices.Clone(predicted), c.parents...)
	}
	for _, g := range book[head] {
		for _, p := range predicted {
			confusion.Cells[[2]string{g, p}] = shares.Cell{}
		}
	}
	for _, t := range texts {
		confusion.Add(t.Label, c.answerUnseen(head, &t), t.Weight)
	}
	return confusion
}

// answerUnseen answers as if no correction had learnt from t.
func (c *Classifier) answerUnseen(head string, t *label.Text) string {
	w := c.scratch.get()
	defer c.scratch.put(w)
	model := *c
	model.adapted = nil
	var r Result
	model.classify(w, &r, t.Text, "", head == label.ContentFunction)
	if c.adapted != nil && head != label.ContentFunction {
		key := MessageHash(t.Platform, t.MessageID)
		c.adapted.correct(&model, w, &r, func(h *adapt.Head) (int, bool) {
			k, learnt := h.OutOfFold[key]
			return k, learnt && k >= 0 && k < len(h.Labels)
		})
	}
	return r.Answer(head)
}
