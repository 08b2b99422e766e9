package clickhouse

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
)

// A world with suppressions and deleted authors looks in every view like the world in which the hidden messages were never written and every message of a
// deleted author was deleted by its own record; in whatever order, batches and repeats the changes come.
func TestConcealingIsLeavingOut(t *testing.T) {
	conn := migrated(t)
	loadTestCalendar(t, conn)
	checks(t, "1")
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		authors := map[string]string{}
		for _, e := range w.messages {
			m := e.Message
			// A hidden parent still tells who wrote it, which a message never written cannot.
			if m.ParentId != "" && (m.ParentAuthorKey == "" || m.ParentIsAccount == event.Known_KNOWN_UNSPECIFIED) {
				m.ParentAuthorKey, m.ParentIsAccount = "stranger", event.Known_KNOWN_NO
			}
			// A message has one author, in all its versions.
			id := m.Platform + " " + m.MessageId
			if authors[id] == "" {
				authors[id] = m.AuthorKey
			}
			m.AuthorKey = authors[id]
		}
		w.coverage = append(w.coverage, coverage(w.institution, -40, 400))
		changes := drawVisibility(rt, w)
		plain := w.without(changes)
		plain.institution = w.institution + "-plain"
		plain.put(rt, conn)
		// How soon a deletion was known is told of messages; an author's deletion is none.
		want := everything(rt, conn, plain.institution, "metric_quality")

		w.put(rt, conn)
		order := rapid.Permutation(append(changes, changes...)).Draw(rt, "order of the changes")
		for len(order) > 0 {
			n := rapid.IntRange(1, len(order)).Draw(rt, "batch")
			w.putVisibility(rt, conn, order[:n])
			order = order[n:]
		}
		w.putMessages(rt, conn, w.messages) // a replay brings nothing back
		if got := strings.ReplaceAll(everything(rt, conn, w.institution, "metric_quality"), w.institution, plain.institution); got != want {
			rt.Fatalf("with %v the views differ (-want +got):\n%s", changes, cmp.Diff(want, got))
		}
	})
}

func drawVisibility(t *rapid.T, w world) []*event.Visibility {
	var changes []*event.Visibility
	for range rapid.IntRange(1, 8).Draw(t, "changes") {
		v := &event.Visibility{Institution: w.institution, Platform: schemas.PlatformX, AtMs: drawTime(t, "at", 0, 5).UnixMilli()}
		states := []string{schemas.VisibilityHidden, schemas.VisibilityHidden, schemas.VisibilityShown}
		if rapid.Bool().Draw(t, "an author") {
			v.AuthorKey = rapid.SampledFrom([]string{"u1", "u2", "u3", "nobody"}).Draw(t, "author")
			states = append(states, schemas.VisibilityDeleted)
		} else {
			v.MessageKey = messageKey(v.Platform, fmt.Sprint("m", rapid.IntRange(0, 20).Draw(t, "message")))
		}
		if v.State = rapid.SampledFrom(states).Draw(t, "state"); v.State == schemas.VisibilityHidden {
			v.Reason = schemas.HiddenSuspended
		}
		changes = append(changes, v)
	}
	return changes
}

// without is the world as the changes let it be seen, made by hand: the oracle of the views.
func (w world) without(changes []*event.Visibility) world {
	type subject struct{ platform, message, author string }
	latest, hidden, gone := map[subject]int64{}, map[subject]bool{}, map[subject]int64{}
	for _, v := range changes {
		s := subject{v.Platform, string(v.MessageKey), v.AuthorKey}
		if v.State == schemas.VisibilityDeleted {
			if at, known := gone[s]; !known || v.AtMs < at {
				gone[s] = v.AtMs
			}
			continue
		}
		at, known := latest[s]
		if !known || v.AtMs > at || v.AtMs == at && v.State == schemas.VisibilityHidden {
			latest[s], hidden[s] = v.AtMs, v.State == schemas.VisibilityHidden
		}
	}
	out := w
	out.messages, out.coverage = nil, nil
	for _, c := range w.coverage {
		c = proto.CloneOf(c)
		c.Institution += "-plain"
		out.coverage = append(out.coverage, c)
	}
	for _, e := range w.messages {
		if e.Message.Institution != w.institution {
			continue
		}
		e = proto.CloneOf(e)
		m := e.Message
		m.Institution += "-plain"
		author := subject{m.Platform, "", m.AuthorKey}
		if at, deleted := gone[author]; deleted && (m.DeletedAtMs == nil || at < *m.DeletedAtMs) {
			m.DeletedAtMs = &at
		} else if hidden[author] && !deleted {
			continue
		}
		if hidden[subject{m.Platform, string(m.MessageKey), ""}] {
			continue
		}
		out.messages = append(out.messages, e)
	}
	return out
}
