package clickhouse

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"math"
	"reflect"
	"slices"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/reference"
	"github.com/dwiarah/dwiarah/schemas/shares"
)

// world is what the store holds of one institution.
type world struct {
	institution string
	offsetS     int32
	calendar    string
	messages    []*event.Enriched
	coverage    []*event.Coverage
	confusions  []*shares.Confusion
	snapshots   []*event.AccountSnapshot
	settings    []reference.Setting
	clocks      []reference.ServiceClock
	events      []reference.InstitutionEvent
}

// put writes the world as the sink does: a row of facts for each record that is more than a deletion, and a tombstone for each deletion.
func (w world) put(t fataler, conn driver.Conn) {
	t.Helper()
	ctx := context.Background()
	if err := conn.Exec(ctx, "INSERT INTO institution_settings SELECT {i:String}, {i:String}, 'Asia/Jakarta', {o:Int32}, {c:String}, now64(3)",
		clickhouse.Named("i", w.institution), clickhouse.Named("o", fmt.Sprint(w.offsetS)), clickhouse.Named("c", w.calendar)); err != nil {
		t.Fatal(err)
	}
	w.putCoverage(t, conn)
	w.putConfusions(t, conn)
	w.putMessages(t, conn, w.messages)
	w.putSnapshots(t, conn)
	w.putRules(t, conn)
}

func (w world) putSnapshots(t fataler, conn driver.Conn) {
	t.Helper()
	var rows [][]any
	for _, s := range w.snapshots {
		rows = append(rows, []any{w.institution, s.Platform, s.Account, time.UnixMilli(s.ObservedAtMs), s.Followers, s.Following, s.Posts})
	}
	insert(t, conn, "account_counts (institution, platform, account, observed_at, followers, following, posts)", rows)
}

// putRules writes what people set: thresholds, clocks, and what they know to have happened.
func (w world) putRules(t fataler, conn driver.Conn) {
	t.Helper()
	var settings, clocks, events [][]any
	for _, s := range w.settings {
		settings = append(settings, []any{w.institution, s.Name, s.ValidFrom, s.Value, day0})
	}
	for _, c := range w.clocks {
		clocks = append(clocks, []any{w.institution, c.Clock, c.ValidFrom, uint16(c.Days), c.Unit, c.Tags, day0})
	}
	for _, e := range w.events {
		events = append(events, []any{w.institution, e.On, e.Kind, "minutes of a meeting", day0})
	}
	insert(t, conn, "metric_settings (institution, name, valid_from, value, set_at)", settings)
	insert(t, conn, "service_clocks (institution, clock, valid_from, days, unit, tags, set_at)", clocks)
	insert(t, conn, "institution_events (institution, happened_on, kind, evidence, recorded_at)", events)
}

func (w world) putCoverage(t fataler, conn driver.Conn) {
	t.Helper()
	var rows [][]any
	for _, c := range w.coverage {
		rows = append(rows, []any{c.Institution, c.Connector, c.Status, time.UnixMilli(c.SinceMs), c.Reason, time.UnixMilli(c.UntilMs)})
	}
	insert(t, conn, "coverage_ledger (institution, connector, status, since, reason, until)", rows)
}

func (w world) putConfusions(t fataler, conn driver.Conn) {
	t.Helper()
	var rows [][]any
	for _, c := range w.confusions {
		for of, cell := range c.Cells {
			// An older measurement of the same cell counts no more.
			rows = append(rows, []any{c.Institution, c.Head, c.ModelVersion, of[0], of[1], uint32(500), 1.0, 1.0, day0},
				[]any{c.Institution, c.Head, c.ModelVersion, of[0], of[1], uint32(cell.Labels), cell.Weight, cell.WeightSq, day0.Add(time.Hour)})
		}
	}
	insert(t, conn, "stream_confusions (institution, head, model_version, gold, predicted, labels, weight, weight_sq, measured_at)", rows)
}

func (w world) putMessages(t fataler, conn driver.Conn, messages []*event.Enriched) {
	t.Helper()
	var facts, tombstones, bodies [][]any
	for _, e := range messages {
		m := e.Message
		if m.DeletedAtMs != nil {
			tombstones = append(tombstones, []any{m.Institution, m.Platform, string(m.MessageKey), time.UnixMilli(*m.DeletedAtMs), time.UnixMilli(m.IngestedAtMs)})
		}
		if m.DeletedAtMs != nil && e.Enrichment == nil {
			continue
		}
		facts = append(facts, factsRow(e))
		if m.DeletedAtMs == nil {
			bodies = append(bodies, []any{m.Institution, time.UnixMilli(m.CreatedAtMs), m.Platform, m.MessageId, string(m.MessageKey), authorMark(m.AuthorKey), m.Text, version(e), forever})
		}
	}
	insert(t, conn, "tombstones (institution, platform, message_key, deleted_at, learned_at)", tombstones)
	insert(t, conn, "message_bodies (institution, created_at, platform, message_id, message_key, author_mark, text, version, expires_at)", bodies)
	insert(t, conn, `message_facts (institution, created_at, platform, message_id, message_key, author_key, kind, direction, is_auto, observed_at, edited_at,
		parent_id, parent_author_key, root_id, mention_keys, parent_is_account, mentions_account, from_account_stream, author_followers, sentiment,
		risk_tags, risk_severity, risk_p, needs_reply, bot_p, model_version, version, expires_at, account, author_created_at, likes, replies, shares, views, text_hash,
		link_hashes, content_function, p_negative, p_neutral, p_positive, ingested_at, connector)`, facts)
}

// authorMark stands for an author in visibility_changes and message_bodies.
func authorMark(key string) string {
	sum := sha256.Sum256([]byte(key))
	return string(sum[:16])
}

func (w world) putVisibility(t fataler, conn driver.Conn, changes []*event.Visibility) {
	t.Helper()
	var rows [][]any
	for _, v := range changes {
		subject, key := "message", string(v.MessageKey)
		if v.AuthorKey != "" {
			subject, key = "author", authorMark(v.AuthorKey)
		}
		rows = append(rows, []any{v.Institution, v.Platform, subject, key, time.UnixMilli(v.AtMs), v.State, v.Reason})
	}
	insert(t, conn, "visibility_changes (institution, platform, subject, subject_key, at, state, reason)", rows)
}

// forever is an expires_at that no test reaches.
var forever = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

func factsRow(e *event.Enriched) []any {
	m, n := e.Message, e.Enrichment
	sentiment, p := "unknown", map[string]float32{}
	if n != nil {
		sentiment = n.Sentiment
	}
	for _, tag := range n.GetRiskP() {
		p[tag.Tag] = tag.P
	}
	var botP, pNegative, pNeutral, pPositive *float32
	if n != nil {
		botP = n.BotP
	}
	if sentiment != "unknown" {
		pNegative, pNeutral, pPositive = &n.PNegative, &n.PNeutral, &n.PPositive
	}
	known := map[event.Known]string{event.Known_KNOWN_UNSPECIFIED: "unknown", event.Known_KNOWN_NO: "no", event.Known_KNOWN_YES: "yes"}
	return []any{
		m.Institution, time.UnixMilli(m.CreatedAtMs), m.Platform, m.MessageId, string(m.MessageKey), m.AuthorKey, m.Kind, m.Direction, m.IsAuto || n.GetIsAuto(),
		optionalTime(m.ObservedAtMs), optionalTime(m.EditedAtMs), m.ParentId, m.ParentAuthorKey, m.RootId, slices.Clone(m.MentionKeys), known[m.ParentIsAccount], m.MentionsAccount,
		m.FromAccountStream, m.AuthorFollowers, sentiment, slices.Clone(n.GetRiskTags()), uint8(n.GetRiskSeverity()), p, n.GetNeedsReply(), botP, n.GetModelVersion(), version(e), forever,
		m.Account, optionalTime(m.AuthorCreatedAtMs), m.Likes, m.Replies, m.Shares, m.Views, m.TextHash, slices.Clone(m.LinkHashes), n.GetContentFunction(),
		pNegative, pNeutral, pPositive, time.UnixMilli(m.IngestedAtMs), m.Connector,
	}
}

func optionalTime(ms *int64) *time.Time {
	if ms == nil {
		return nil
	}
	t := time.UnixMilli(*ms)
	return &t
}

// version orders the versions of a message as the sink does: by the time of the last change, then by the model.
func version(e *event.Enriched) uint64 {
	m := e.Message
	return uint64(max(m.CreatedAtMs, m.GetEditedAtMs(), m.GetObservedAtMs()))<<22 | uint64(e.Enrichment.GetModelSeq())<<12
}

// fataler is what testing.T and rapid.T have in common here.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

func insert(t fataler, conn driver.Conn, into string, rows [][]any) {
	t.Helper()
	if len(rows) == 0 {
		return
	}
	ctx := clickhouse.Context(context.Background(), clickhouse.WithSettings(clickhouse.Settings{"max_partitions_per_insert_block": 0, "async_insert": 0}))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+into)
	if err != nil {
		t.Fatal(into, err)
	}
	for _, row := range rows {
		if err := batch.Append(row...); err != nil {
			t.Fatal(into, row, err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(into, err)
	}
}

// messageKey stands in for the keyed hash of a message's id.
func messageKey(platform, id string) []byte {
	h := fnv.New128a()
	h.Write([]byte(platform + "\x00" + id))
	return h.Sum(nil)
}

// record is a row of a result by column. Counts are int64, figures float64, NULL is nil.
type record map[string]any

// query runs a statement with server-side parameters and returns its rows and the columns' order.
func query(t fataler, conn driver.Conn, sql string, params map[string]string) ([]record, []string) {
	t.Helper()
	var args []any
	for name, value := range params {
		args = append(args, clickhouse.Named(name, value))
	}
	rows, err := conn.Query(context.Background(), sql, args...)
	if err != nil {
		t.Fatal(sql, params, err)
	}
	defer rows.Close()
	var records []record
	for rows.Next() {
		values := make([]any, len(rows.Columns()))
		for i, c := range rows.ColumnTypes() {
			values[i] = reflect.New(c.ScanType()).Interface()
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(sql, err)
		}
		r := record{}
		for i, name := range rows.Columns() {
			r[name] = plain(reflect.ValueOf(values[i]).Elem())
		}
		records = append(records, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(sql, params, err)
	}
	return records, rows.Columns()
}

func plain(v reflect.Value) any {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	}
	switch {
	case v.CanUint():
		return int64(v.Uint())
	case v.CanInt():
		return v.Int()
	case v.CanFloat():
		return v.Float()
	case v.Type() == reflect.TypeFor[time.Time]():
		return v.Interface().(time.Time).UTC().Format(instant)
	default:
		return v.Interface()
	}
}

// instant is how times go into statements and come out of records.
const instant = "2006-01-02 15:04:05.000"

// metric calls a parameterised view of a world and period, with extra parameters as "window_s=86400".
func metric(t fataler, conn driver.Conn, view, institution, from, to string, extra ...string) []record {
	t.Helper()
	call := view + "(institution = {institution:String}, from = {from:String}, to = {to:String}"
	for _, e := range extra {
		call += ", " + e
	}
	records, _ := query(t, conn, "SELECT * FROM "+call+")", map[string]string{"institution": institution, "from": from, "to": to})
	return records
}

// same compares two values of records: floats to 1e-9, relative above 1.
func same(a, b any) bool {
	x, ok1 := a.(float64)
	y, ok2 := b.(float64)
	if !ok1 || !ok2 {
		return reflect.DeepEqual(a, b)
	}
	return math.Abs(x-y) <= 1e-9*max(1, math.Abs(x), math.Abs(y))
}

// differences lists the columns of want in which got differs, and figures that no metric may have.
func differences(got, want record) []string {
	var list []string
	for name, w := range want {
		if g, present := got[name]; !present || !same(g, w) {
			list = append(list, fmt.Sprintf("%s is %v, want %v", name, show(got, name), w))
		}
	}
	for name, g := range got {
		if x, ok := g.(float64); ok && (math.IsNaN(x) || math.IsInf(x, 0)) {
			list = append(list, fmt.Sprintf("%s is %v", name, x))
		}
	}
	slices.Sort(list)
	return list
}

func show(r record, name string) string {
	v, present := r[name]
	if !present {
		return "not a column"
	}
	return fmt.Sprint(v)
}
