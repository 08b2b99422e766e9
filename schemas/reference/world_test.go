package reference

import (
	"fmt"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
)

const office = "office"

// monday is 09:00 in Jakarta.
var monday = time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)

// script builds a world message by message; hours count from monday.
type script struct {
	messages []*event.Enriched
	coverage []*event.Coverage
}

type option func(*event.Enriched)

func (s *script) add(id string, hours float64, direction, kind, author string, options ...option) *event.Enriched {
	e := &event.Enriched{
		Message: &event.Message{
			Institution: office, Platform: schemas.PlatformX, MessageId: id, Direction: direction, Kind: kind, AuthorKey: author,
			CreatedAtMs: at(hours).UnixMilli(),
		},
		Enrichment: &event.Enrichment{Sentiment: schemas.Neutral, RiskTag: "none", RiskTags: []string{"none"}},
	}
	for _, o := range options {
		o(e)
	}
	s.messages = append(s.messages, e)
	return e
}

// post is a broadcast of the account.
func (s *script) post(id string, hours float64, options ...option) *event.Enriched {
	return s.add(id, hours, schemas.Outbound, schemas.KindPost, "account", options...)
}

// asks is an inbound message that mentions the account and needs a reply.
func (s *script) asks(id string, hours float64, author string, options ...option) *event.Enriched {
	return s.add(id, hours, schemas.Inbound, schemas.KindMention, author, append([]option{mentioning, needing}, options...)...)
}

// answers is a reply of the account to a citizen's message.
func (s *script) answers(id string, hours float64, parent, author string, options ...option) *event.Enriched {
	return s.add(id, hours, schemas.Outbound, schemas.KindReply, "account",
		append([]option{under(parent), parentBy(author), parentIs(event.Known_KNOWN_NO)}, options...)...)
}

// covered says that a connector read everything up to an hour.
func (s *script) covered(connector string, since, until float64) {
	s.coverage = append(s.coverage, &event.Coverage{
		Connector: connector, Institution: office, SinceMs: at(since).UnixMilli(), UntilMs: at(until).UnixMilli(), Status: schemas.CoverageComplete,
	})
}

func (s *script) read() *Reading {
	return Read(World{Institution: office, OffsetS: 7 * 3600, Messages: s.messages, Coverage: s.coverage})
}

func at(hours float64) time.Time { return monday.Add(time.Duration(hours * float64(time.Hour))) }

func under(parent string) option   { return func(e *event.Enriched) { e.Message.ParentId = parent } }
func inThread(root string) option  { return func(e *event.Enriched) { e.Message.RootId = root } }
func parentBy(key string) option   { return func(e *event.Enriched) { e.Message.ParentAuthorKey = key } }
func naming(keys ...string) option { return func(e *event.Enriched) { e.Message.MentionKeys = keys } }
func parentIs(k event.Known) option {
	return func(e *event.Enriched) { e.Message.ParentIsAccount = k }
}
func deletedAt(hours float64) option {
	return func(e *event.Enriched) { ms := at(hours).UnixMilli(); e.Message.DeletedAtMs = &ms }
}
func observedAt(hours float64) option {
	return func(e *event.Enriched) { ms := at(hours).UnixMilli(); e.Message.ObservedAtMs = &ms }
}
func feeling(label string) option { return func(e *event.Enriched) { e.Enrichment.Sentiment = label } }

var (
	mentioning option = func(e *event.Enriched) { e.Message.MentionsAccount = true }
	needing    option = func(e *event.Enriched) { e.Enrichment.NeedsReply = true }
	automatic  option = func(e *event.Enriched) { e.Message.IsAuto = true }
	wordsAuto  option = func(e *event.Enriched) { e.Enrichment.IsAuto = true }
	bare       option = func(e *event.Enriched) { e.Enrichment = nil }
)

var (
	beginning = at(-24 * 365)
	end       = at(24 * 365)
)

// seventeen is the specification's vector: three threads, 17 messages, B = 3, R = 5, I = 8, and one piece of side talk.
func seventeen() *script {
	var s script
	toAccount := []option{parentBy("account"), parentIs(event.Known_KNOWN_YES)}
	comment := func(id string, hours float64, author, parent, root string, options ...option) {
		s.add(id, hours, schemas.Inbound, schemas.KindReply, author, append(append([]option{under(parent), inThread(root)}, toAccount...), options...)...)
	}
	s.post("a1", 0)
	comment("a2", 1, "ani", "a1", "a1", needing)
	s.answers("a3", 2, "a2", "ani", inThread("a1"))
	comment("a4", 3, "ani", "a3", "a1")
	s.answers("a5", 4, "a4", "ani", inThread("a1"))
	comment("a6", 5, "budi", "a1", "a1", needing)
	s.add("a7", 6, schemas.Inbound, schemas.KindReply, "cici", under("a6"), inThread("a1"), parentBy("budi"), parentIs(event.Known_KNOWN_NO))
	s.post("b1", 10)
	comment("b2", 11, "dedi", "b1", "b1", needing)
	comment("b3", 12, "dedi", "b1", "b1", needing)
	s.answers("b4", 13, "b3", "dedi", inThread("b1"))
	comment("b5", 14, "evi", "b1", "b1", needing)
	s.answers("b6", 15, "b5", "evi", inThread("b1"))
	s.post("c1", 20)
	comment("c2", 21, "fani", "c1", "c1", needing)
	s.answers("c3", 22, "c2", "fani", inThread("c1"))
	comment("c4", 23, "gita", "c1", "c1", needing)
	s.covered("import", -1, 48)
	return &s
}

func value(p *float64) string {
	if p == nil {
		return "nil"
	}
	return fmt.Sprintf("%.4f", *p)
}
