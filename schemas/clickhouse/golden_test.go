package clickhouse

import (
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
)

// day0 is a Monday; scenes tell their times in hours after it.
var day0 = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

func hour(h float64) int64 { return day0.UnixMilli() + int64(h*3600_000) }

// scene builds a world message by message. The account's key is A, its sibling's A2.
type scene struct{ world }

type change func(*event.Enriched)

func (s *scene) add(id, author, kind, direction string, at float64, changes ...change) {
	e := &event.Enriched{
		Message: &event.Message{
			Institution: s.institution, Platform: "x", MessageId: id, MessageKey: messageKey("x", id), AuthorKey: author, Kind: kind, Direction: direction,
			CreatedAtMs: hour(at),
		},
		Enrichment: &event.Enrichment{Sentiment: schemas.Neutral},
	}
	for _, c := range changes {
		c(e)
	}
	s.messages = append(s.messages, e)
}

// ask adds an inbound reply to the account's message that needs a reply; answer a human reply to a message.
func (s *scene) ask(id, author, parent, root string, at float64, changes ...change) {
	s.add(id, author, schemas.KindReply, schemas.Inbound, at, append([]change{under(parent, root), yes, need}, changes...)...)
}

func (s *scene) answer(id, parent, to, root string, at float64, changes ...change) {
	s.add(id, "A", schemas.KindReply, schemas.Outbound, at, append([]change{under(parent, root), toAuthor(to), no}, changes...)...)
}

func (s *scene) post(id string, at float64, changes ...change) {
	s.add(id, "A", schemas.KindPost, schemas.Outbound, at, changes...)
}

func under(parent, root string) change {
	return func(e *event.Enriched) { e.Message.ParentId, e.Message.RootId = parent, root }
}
func toAuthor(key string) change { return func(e *event.Enriched) { e.Message.ParentAuthorKey = key } }
func mentions(keys ...string) change {
	return func(e *event.Enriched) { e.Message.MentionKeys = keys }
}
func deleted(at float64) change {
	return func(e *event.Enriched) { ms := hour(at); e.Message.DeletedAtMs = &ms }
}
func feels(s string) change { return func(e *event.Enriched) { e.Enrichment.Sentiment = s } }
func by(author string) change {
	return func(e *event.Enriched) { e.Message.AuthorKey = author }
}
func yes(e *event.Enriched)     { e.Message.ParentIsAccount = event.Known_KNOWN_YES }
func no(e *event.Enriched)      { e.Message.ParentIsAccount = event.Known_KNOWN_NO }
func unknown(e *event.Enriched) { e.Message.ParentIsAccount = event.Known_KNOWN_UNSPECIFIED }
func need(e *event.Enriched)    { e.Enrichment.NeedsReply = true }
func auto(e *event.Enriched)    { e.Message.IsAuto = true }
func mention(e *event.Enriched) { e.Message.MentionsAccount = true }
func stream(e *event.Enriched)  { e.Message.FromAccountStream = true }

func (s *scene) covered(connector string, since, until float64) {
	s.coverage = append(s.coverage, &event.Coverage{
		Connector: connector, Institution: s.institution, SinceMs: hour(since), UntilMs: hour(until), Status: schemas.CoverageComplete,
	})
}
func TestSmoke(t *testing.T) {
	conn := migrated(t)
	loaded, err := LoadCalendars(t.Context(), conn)
	t.Log(loaded, err)
	loaded, err = LoadCalendars(t.Context(), conn)
	t.Log(loaded, err)
	s := &scene{world{institution: "office", offsetS: 25200, calendar: "id-government"}}
	s.post("p", 0)
	s.ask("q1", "u1", "p", "p", 1)
	s.answer("r1", "q1", "u1", "p", 3)
	s.covered("c", 0, 24*30)
	s.put(t, conn)
	for range 3 {
		t0 := time.Now()
		t.Log(metric(t, conn, "metric_wait", "office", "2026-01-01", "2026-02-01"), time.Since(t0))
		t0 = time.Now()
		t.Log(metric(t, conn, "series_engagement", "office", "2026-01-01", "2026-02-01", "step_s=86400")[:1], time.Since(t0))
		t0 = time.Now()
		t.Log(metric(t, conn, "metric_asymmetry", "office", "2026-01-01", "2026-02-01"), time.Since(t0))
		t0 = time.Now()
		t.Log(query(t, conn, "SELECT * FROM requests WHERE institution='office'", nil))
		t.Log(time.Since(t0))
	}
}
