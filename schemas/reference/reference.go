// Package reference computes the metrics of the metric specification in plain Go, from the records themselves and without SQL. It is the
// oracle that the views are compared with, and it fills the answer key of the bundled sample. It prefers the obvious way to the fast one.
//
// Periods are half-open, [from, to), on created_at, in milliseconds. A figure that is undefined is a nil pointer, never 0, NaN or infinity.
// Every result struct carries the column names of its view as JSON names; Columns turns one into a map by these names.
package reference

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/shares"
)

// World is everything that the metrics of one institution are made of. Messages and Coverage may hold other institutions' records, repeats,
// old versions, and any order.
type World struct {
	Institution string
	// OffsetS is the office's zone, in seconds east of UTC; it aligns the buckets of Series.
	OffsetS  int
	Messages []*event.Enriched
	Coverage []*event.Coverage
	// Confusions are those that shares are corrected with.
	Confusions []*shares.Confusion
	// Business gives the working seconds between two instants; ok is false where the calendar does not reach. Nil without a calendar: then
	// every business figure is nil. WorkingSpans.Seconds is one.
	Business func(t0, t1 time.Time) (seconds float64, ok bool)
	// WorkingDays are the local dates of the calendar's working days, as midnights in UTC, in order. Empty without a calendar.
	WorkingDays []time.Time
	// Snapshots may hold other institutions' too.
	Snapshots []*event.AccountSnapshot
	// Settings and ServiceClocks stand beside the specification's defaults, and Events are the institution's.
	Settings      []Setting
	ServiceClocks []ServiceClock
	Events        []InstitutionEvent
}

// Reading is a World read once; its methods are the metrics.
type Reading struct {
	institution string
	offsetMs    int64
	// rows holds one row for each identity that has facts, deleted ones included, in the order (created_at, message_id).
	rows          []*row
	coverage      []*event.Coverage
	confusions    []*shares.Confusion
	business      func(t0, t1 time.Time) (float64, bool)
	workdays      []time.Time
	snapshots     []*event.AccountSnapshot
	settings      []Setting
	serviceClocks []ServiceClock
	events        []InstitutionEvent
	deletions     []deletion
	// asks holds all requests of all time, as far as they do not depend on now_obs, in the rows' order.
	asks []*ask
}

// deletion is when a message was deleted and when that was first known.
type deletion struct{ deletedMs, learnedMs int64 }

type identity struct{ platform, messageID string }

// thread identifies a thread within the institution.
type thread struct{ platform, rootID string }

type row struct {
	*event.Message
	labels *event.Enrichment
	thread thread
	// deletedMs is the earliest deletion known; nil for a message that stands.
	deletedMs *int64
	side      side
	// addresses holds, for an R, the authors it answers.
	addresses []string
}

// side is what a row counts as.
type side int

const (
	// sideNone: reposts, inbound messages that address nobody of the institution.
	sideNone side = iota
	// sideBroadcast is B.
	sideBroadcast
	// sideReply is R.
	sideReply
	// sideAutoReply is A.
	sideAutoReply
	// sideAddressed is I_addr.
	sideAddressed
)

// Read keeps the institution's records, keeps the newest version of each identity (platform, message_id), and resolves parents, threads and
// sides. The order of versions is (greatest of created, edited and observed, model_seq); records that still tie differ in content under one
// version, and the greater bytes win. A record with deleted_at is a tombstone for its (platform, message_key) whatever its version, the
// earliest one counts, and one without enrichment is nothing but that: it is never a version of the message.
func Read(w World) *Reading {
	r := &Reading{institution: w.Institution, offsetMs: int64(w.OffsetS) * 1000, business: w.Business, workdays: w.WorkingDays, confusions: w.Confusions, settings: w.Settings, serviceClocks: w.ServiceClocks, events: w.Events}
	for _, s := range w.Snapshots {
		if s.GetInstitution() == w.Institution {
			r.snapshots = append(r.snapshots, s)
		}
	}
	for _, c := range w.Coverage {
		if c.GetInstitution() == w.Institution {
			r.coverage = append(r.coverage, c)
		}
	}
	newest := map[identity]*event.Enriched{}
	tombstones := map[string]int64{}
	learned := map[string]int64{}
	for _, e := range w.Messages {
		m := e.GetMessage()
		if m.GetInstitution() != w.Institution {
			continue
		}
		if m.DeletedAtMs != nil {
			key := tombstoneKey(m)
			if at, ok := tombstones[key]; !ok || *m.DeletedAtMs < at {
				tombstones[key] = *m.DeletedAtMs
			}
			if at, ok := learned[key]; !ok || m.IngestedAtMs < at {
				learned[key] = m.IngestedAtMs
			}
			if e.Enrichment == nil {
				continue
			}
		}
		id := identity{m.Platform, m.MessageId}
		if old := newest[id]; old == nil || compareVersions(e, old) > 0 {
			newest[id] = e
		}
	}
	accounts := map[string]bool{}
	for _, e := range newest {
		if e.Message.Direction == schemas.Outbound {
			accounts[e.Message.AuthorKey] = true
		}
	}
	byID := map[identity]*row{}
	for id, e := range newest {
		x := &row{Message: e.Message, labels: e.Enrichment, thread: thread{id.platform, e.Message.RootId}}
		if x.thread.rootID == "" {
			x.thread.rootID = id.messageID
		}
		if at, ok := tombstones[tombstoneKey(e.Message)]; ok {
			x.deletedMs = &at
		}
		byID[id] = x
		r.rows = append(r.rows, x)
	}
	for key, at := range tombstones {
		r.deletions = append(r.deletions, deletion{at, learned[key]})
	}
	slices.SortFunc(r.rows, compareRows)
	for _, x := range r.rows {
		x.resolve(byID, accounts)
	}
	r.asks = asksOf(r.rows)
	return r
}

// tombstoneKey is what a deletion is known by. Records without a message_key, as hand-made ones are, are known by their id.
func tombstoneKey(m *event.Message) string {
	if len(m.MessageKey) > 0 {
		return m.Platform + "\x00key\x00" + string(m.MessageKey)
	}
	return m.Platform + "\x00id\x00" + m.MessageId
}

func compareVersions(a, b *event.Enriched) int {
	changed := func(m *event.Message) int64 { return max(m.CreatedAtMs, m.GetEditedAtMs(), m.GetObservedAtMs()) }
	return cmp.Or(
		cmp.Compare(changed(a.Message), changed(b.Message)),
		cmp.Compare(a.GetEnrichment().GetModelSeq(), b.GetEnrichment().GetModelSeq()),
		bytes.Compare(wireBytes(a), wireBytes(b)),
	)
}

func wireBytes(e *event.Enriched) []byte {
	b, err := event.Encode(e)
	if err != nil {
		return nil // nothing in an Enriched can fail to encode but invalid UTF-8, which ingest refuses
	}
	return b
}

// compareRows is the order in a thread.
func compareRows(a, b *row) int {
	return cmp.Or(cmp.Compare(a.CreatedAtMs, b.CreatedAtMs), cmp.Compare(a.MessageId, b.MessageId), cmp.Compare(a.Platform, b.Platform))
}

// resolve decides the row's side and whom it addresses. Rows that are deleted still serve as parents.
func (x *row) resolve(byID map[identity]*row, accounts map[string]bool) {
	var parent *row
	if x.ParentId != "" {
		parent = byID[identity{x.Platform, x.ParentId}]
	}
	parentAuthor := x.ParentAuthorKey
	if parentAuthor == "" && parent != nil {
		parentAuthor = parent.AuthorKey
	}
	parentIsAccount := x.ParentIsAccount
	if parentIsAccount == event.Known_KNOWN_UNSPECIFIED && parent != nil {
		parentIsAccount = event.Known_KNOWN_NO
		if parent.Direction == schemas.Outbound {
			parentIsAccount = event.Known_KNOWN_YES
		}
	}
	isReply := x.Kind == schemas.KindReply || x.Kind == schemas.KindComment
	automatic := x.IsAuto || x.labels.GetIsAuto()
	switch {
	case x.Kind == schemas.KindRepost:
	case x.Direction == schemas.Outbound && isReply && parentIsAccount != event.Known_KNOWN_YES && automatic:
		x.side = sideAutoReply
	case x.Direction == schemas.Outbound && isReply && parentIsAccount != event.Known_KNOWN_YES:
		x.side = sideReply
		if parentAuthor == "" {
			parentAuthor = "?" + x.ParentId
		}
		for _, author := range append([]string{parentAuthor}, x.MentionKeys...) {
			if !accounts[author] && !slices.Contains(x.addresses, author) {
				x.addresses = append(x.addresses, author)
			}
		}
	case x.Direction == schemas.Outbound:
		x.side = sideBroadcast
	case automatic:
	case x.Kind == schemas.KindQuote && !x.MentionsAccount: // whose post is quoted does not make it addressed
	case x.MentionsAccount,
		parentIsAccount == event.Known_KNOWN_YES,
		x.FromAccountStream && parent == nil && x.ParentAuthorKey == "":
		x.side = sideAddressed
	}
}

// during returns the standing rows of a period.
func (r *Reading) during(from, to time.Time) []*row {
	var rows []*row
	for _, x := range r.rows {
		if x.deletedMs == nil && within(x.CreatedAtMs, from, to) {
			rows = append(rows, x)
		}
	}
	return rows
}

func within(ms int64, from, to time.Time) bool { return from.UnixMilli() <= ms && ms < to.UnixMilli() }

// NowObs is the last instant up to which the institution's connectors are known complete, looking at those with a complete stretch that meets
// the period: the greatest until of each, and the least of these. ok is false without such a stretch; then there are no requests.
func (r *Reading) NowObs(from, to time.Time) (now time.Time, ok bool) {
	until := map[string]int64{}
	for _, c := range r.coverage {
		if c.Status == schemas.CoverageComplete && c.SinceMs < to.UnixMilli() && c.UntilMs > from.UnixMilli() {
			until[c.Connector] = max(until[c.Connector], c.UntilMs)
		}
	}
	for _, ms := range until {
		if at := time.UnixMilli(ms).UTC(); !ok || at.Before(now) {
			now, ok = at, true
		}
	}
	return now, ok
}
