package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/enrich"
	"github.com/dwiarah/dwiarah/enrich/internal/adapt"
	"github.com/dwiarah/dwiarah/enrich/internal/corpus"
	"github.com/dwiarah/dwiarah/enrich/internal/label"
)

type adaptCommand struct {
	databaseFlags
	Institution string   `help:"Whose stream to adapt to." required:""`
	Folder      string   `help:"The folder of adaptations; by default the configuration's classify.adaptations." type:"path"`
	Heads       []string `help:"Which heads to adapt." default:"sentiment,needs_reply,risk_tag" enum:"sentiment,needs_reply,risk_tag"`
	File        string   `help:"Learn from a CSV file, or JSON lines (.jsonl), in place of the stored labels; one head only." type:"existingfile"`
	TextColumn  string   `help:"With --file: the column of the text." default:"text"`
	LabelColumn string   `help:"With --file: the column of the label." default:"label"`
	Revert      bool     `help:"Go back to the revision before the newest, or to the model itself. Nothing is deleted: going back is a revision too."`
	Seed        uint64   `help:"Seed of the folds and the bootstrap." default:"1"`
}

func (c *adaptCommand) Run(s *streams) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if c.Folder == "" {
		c.Folder = cfg.Classify.Adaptations
	}
	if c.Folder == "" {
		return errors.New("--folder is missing, and the configuration has no classify.adaptations: the folder to keep adaptations in")
	}
	classifier, err := loadClassifier("", string(cfg.Classify.Tier))
	if err != nil {
		return err
	}
	folder := adapt.Folder(c.Folder)
	revisions, err := folder.Revisions(c.Institution, classifier.ModelVersion())
	if err != nil {
		return err
	}
	a := &adapt.Adaptation{Institution: c.Institution, Revision: 1, Base: classifier.ModelVersion(), MadeAt: time.Now().UTC().Truncate(time.Second)}
	if n := len(revisions); n > 0 {
		a.Revision = revisions[n-1].Revision + 1
		a.Heads = slices.Clone(revisions[n-1].Heads)
	}
	if a.Revision > adapt.MostRevisions {
		return fmt.Errorf("model %s has its %d adaptations for %s; the next release of the model starts again", a.Base, adapt.MostRevisions, c.Institution)
	}
	if c.Revert {
		return c.revert(s, folder, revisions, a)
	}
	changed := false
	for _, head := range c.Heads {
		texts, err := c.texts(head)
		if err != nil {
			return err
		}
		for _, part := range classifier.AdaptableParts(head) {
			h, accepted, err := adaptPart(s.out, classifier, part, texts, c.Seed)
			if err != nil {
				return err
			}
			if !accepted {
				continue
			}
			changed = true
			if at := slices.IndexFunc(a.Heads, func(x adapt.Head) bool { return x.Head == part }); at >= 0 {
				a.Heads[at] = *h
			} else {
				a.Heads = append(a.Heads, *h)
			}
		}
	}
	if !changed {
		fmt.Fprintln(s.out, "nothing was changed")
		return nil
	}
	return c.add(s, folder, a)
}

func (c *adaptCommand) add(s *streams, folder adapt.Folder, a *adapt.Adaptation) error {
	path, err := folder.Add(a)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "wrote %s, revision %d of model %s for %s; services take it up when they start again, enrich backfill applies it to old messages, enrich label measure measures it\n", path, a.Revision, a.Base, c.Institution)
	return nil
}

// revert goes to the state before the newest one that was learnt: reverting twice goes back two steps.
func (c *adaptCommand) revert(s *streams, folder adapt.Folder, revisions []*adapt.Adaptation, a *adapt.Adaptation) error {
	if len(revisions) == 0 {
		return fmt.Errorf("reverting: %s has no adaptation of model %s in %s", c.Institution, a.Base, folder)
	}
	at := revisions[len(revisions)-1].Revision
	if back := revisions[len(revisions)-1].RevertedTo; back != nil {
		at = *back
	}
	if at == 0 {
		return fmt.Errorf("reverting: %s is at the model itself already", c.Institution)
	}
	// What stood before revision at was its predecessor, or what that had gone back to.
	to := at - 1
	for to > 0 && revisions[to-1].RevertedTo != nil {
		to = *revisions[to-1].RevertedTo
	}
	a.RevertedTo, a.Heads = &to, nil
	if to > 0 {
		a.Heads = revisions[to-1].Heads
	}
	return c.add(s, folder, a)
}

func (c *adaptCommand) texts(head string) ([]label.Text, error) {
	if c.File == "" {
		var out []label.Text
		err := c.labels(func(ctx context.Context, store *label.Store) (err error) {
			out, err = store.Texts(ctx, c.Institution, head)
			return err
		})
		return out, err
	}
	if len(c.Heads) != 1 {
		return nil, errors.New("--file holds the labels of one head: name it with --heads")
	}
	book, err := enrich.Labels()
	if err != nil {
		return nil, err
	}
	return fileLabels(c.File, c.TextColumn, c.LabelColumn, book[head])
}

// fileLabels reads a file's texts and labels, which have no message's identity.
func fileLabels(path, textColumn, labelColumn string, allowed []string) ([]label.Text, error) {
	examples, err := corpus.Labelled(path, textColumn, labelColumn)
	if err != nil {
		return nil, err
	}
	var out []label.Text
	for i, e := range examples {
		if !slices.Contains(allowed, e.Sentiment) {
			return nil, fmt.Errorf("reading %s: row %d has the label %q in column %q; allowed are %s", path, i+1, e.Sentiment, labelColumn, strings.Join(allowed, ", "))
		}
		out = append(out, label.Text{Text: e.Text, Label: e.Sentiment, Weight: 1})
	}
	return out, nil
}

func hash(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// example is false where the label says nothing of the part.
func example(c *enrich.Classifier, part string, l label.Text) (enrich.Result, adapt.Example, bool) {
	gold, ok := c.Gold(part, l.Label)
	if !ok {
		return enrich.Result{}, adapt.Example{}, false
	}
	r, e := c.Example(part, l.Text)
	e.Gold, e.Weight, e.Group = gold, l.Weight, hash(strings.ToLower(strings.Join(strings.Fields(l.Text), " ")))
	return r, e, true
}

// fewestOfTag is how many labels of a risk tag it takes: of the many tags one would look better by chance on fewer.
const fewestOfTag = 10

// adaptPart adapts a head, or one tag of it. Tags that hardly any label is of are passed over.
func adaptPart(out io.Writer, c *enrich.Classifier, part string, texts []label.Text, seed uint64) (*adapt.Head, bool, error) {
	labels := enrich.AdaptableLabels(part)
	var examples []adapt.Example
	var keys []uint64
	of := 0
	for _, l := range texts {
		_, e, ok := example(c, part, l)
		if !ok {
			continue
		}
		if e.Gold < 0 {
			return nil, false, fmt.Errorf("adapting %s: the label %q is not one of its head", part, l.Label)
		}
		of += e.Gold
		key := uint64(0) // of no message
		if l.MessageID != "" {
			key = enrich.MessageHash(l.Platform, l.MessageID)
		}
		examples, keys = append(examples, e), append(keys, key)
	}
	if strings.Contains(part, "/") && of < fewestOfTag {
		return nil, false, nil
	}
	o := adapt.Adapt(examples, len(labels), seed)
	fmt.Fprintf(out, "%s, %d labels: ", part, len(examples))
	if o.Correction == nil {
		fmt.Fprintf(out, "not adapted: %s (%d to %d labels, 3 or more of each of %s)\n", o.Reason, adapt.Fewest, adapt.Most, strings.Join(labels, ", "))
		return nil, false, nil
	}
	fmt.Fprintf(out, "cross-validated macro-F1 %.3f -> %.3f, accuracy %.3f -> %.3f, log loss %.3f -> %.3f (falls by %.3f, 95 %% %.3f to %.3f): ",
		o.Before.MacroF1, o.After.MacroF1, o.Before.Accuracy, o.After.Accuracy, o.Before.LogLoss, o.After.LogLoss, o.Gain, o.GainLow, o.GainHigh)
	if !o.Accepted {
		fmt.Fprintf(out, "not accepted: %s\n", o.Reason)
		return nil, false, nil
	}
	fmt.Fprintln(out, "accepted")
	h := &adapt.Head{Head: part, Labels: labels, Examples: len(examples), Correction: o.Correction, Boost: o.Boost, Before: o.Before, After: o.After, GainLow: o.GainLow, GainHigh: o.GainHigh, OutOfFold: map[uint64]int{}}
	for i, key := range keys {
		if key != 0 {
			h.OutOfFold[key] = o.OutOfFold[i]
		}
	}
	return h, true, nil
}
