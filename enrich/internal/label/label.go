// Package label owns what people say of messages: its form, its files and its table. A label measures the classifier first and adapts it second; it
// never takes the place of the classifier's own answer.
package label

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
)

// Heads that people can label.
const (
	Sentiment       = "sentiment"
	RiskTag         = "risk_tag"
	NeedsReply      = "needs_reply"
	ContentFunction = "content_function"
)

// Heads returns the closed set, in a fixed order.
func Heads() []string { return []string{Sentiment, RiskTag, NeedsReply, ContentFunction} }

// The labels of needs_reply.
const (
	Yes = "yes"
	No  = "no"
)

// Book says which labels each head has.
type Book map[string][]string

// NewBook returns the labels of every head; tags are the risk tags of the code book, none included.
func NewBook(tags, functions []string) Book {
	return Book{Sentiment: {schemas.Negative, schemas.Neutral, schemas.Positive}, RiskTag: tags, NeedsReply: {Yes, No}, ContentFunction: functions}
}

// Label is what one person said of one message under one head.
type Label struct {
	Institution, Platform, MessageID string
	Head, Label                      string
	// Annotator is an alias, as a1: never a name or an address.
	Annotator  string
	LabelledAt time.Time
	// ModelVersion, Predicted and P are the model's answer that stood when the message was chosen, P the probability that it gave to it (nil: none given).
	ModelVersion, Predicted string
	P                       *float32
	// Stratum is what the message was chosen as, Weight how much it counts beside one drawn at random from the stream, which counts 1. A label from elsewhere has no stratum and
	// weight 1.
	Stratum string
	Weight  float64
}

// ValueError is one thing wrong with one value of one label. Its text names key, value and what is allowed.
type ValueError struct{ Key, Value, Allowed string }

func (e *ValueError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("%s is missing; allowed: %s", e.Key, e.Allowed)
	}
	return fmt.Sprintf("%s %q is not allowed; allowed: %s", e.Key, e.Value, e.Allowed)
}

var alias = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,15}$`)

// AliasAllowed says what an annotator's alias may be.
const AliasAllowed = "an alias of 1 to 16 of a-z, 0-9 and -, as a1; no name and no address"

// ValidAlias tells whether s may stand for an annotator.
func ValidAlias(s string) bool { return alias.MatchString(s) }

// Check returns what is wrong with l, a *ValueError, or nil.
func (b Book) Check(l *Label) error {
	switch {
	case l.Institution == "":
		return &ValueError{"institution", "", "the id of an institution"}
	case !schemas.KnownPlatform(l.Platform):
		return &ValueError{"platform", l.Platform, strings.Join(schemas.Platforms(), ", ")}
	case l.MessageID == "":
		return &ValueError{"message_id", "", "the platform's id of a stored message"}
	case b[l.Head] == nil:
		return &ValueError{"head", l.Head, strings.Join(Heads(), ", ")}
	case !slices.Contains(b[l.Head], l.Label):
		return &ValueError{"label", l.Label, "for " + l.Head + ": " + strings.Join(b[l.Head], ", ")}
	case !ValidAlias(l.Annotator):
		return &ValueError{"annotator", l.Annotator, AliasAllowed}
	case l.LabelledAt.IsZero():
		return &ValueError{"labelled_at", "", "a time as 2026-03-01T08:00:00Z"}
	case l.P != nil && !(*l.P >= 0 && *l.P <= 1):
		return &ValueError{"p", fmt.Sprint(*l.P), "a probability from 0 to 1, or nothing"}
	case !(l.Weight > 0 && l.Weight <= 1e9):
		return &ValueError{"weight", fmt.Sprint(l.Weight), "a number above 0"}
	}
	return nil
}

// Group is the labels of one head and institution, a unit for each message.
type Group struct {
	Institution, Head string
	Units             [][]string
}

// Units groups labels that are in the order of Store.All: one label of each annotator and message.
func Units(labels []Label) []Group {
	var groups []Group
	for i := range labels {
		l := &labels[i]
		last := len(groups) - 1
		if last < 0 || groups[last].Institution != l.Institution || groups[last].Head != l.Head {
			groups = append(groups, Group{Institution: l.Institution, Head: l.Head})
			last++
		}
		g := &groups[last]
		if i > 0 && len(g.Units) > 0 && labels[i-1].Platform == l.Platform && labels[i-1].MessageID == l.MessageID {
			g.Units[len(g.Units)-1] = append(g.Units[len(g.Units)-1], l.Label)
			continue
		}
		g.Units = append(g.Units, []string{l.Label})
	}
	return groups
}
