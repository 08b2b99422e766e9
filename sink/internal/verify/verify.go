// Package verify holds what Kafka still has against what became of it: every record behind a committed position is produced, stored or dead-lettered. It only reads.
package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/cespare/xxhash/v2"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/sink/internal/deadletter"
	"github.com/dwiarah/dwiarah/sink/internal/rows"
	"github.com/dwiarah/dwiarah/sink/internal/store"
)

// Config says what is compared.
type Config struct {
	// Newest is how many records of each partition, up to the position, are looked at; 0 means all that Kafka still has.
	Newest                 int64
	Conn                   kafka.Conn
	EnrichGroup, SinkGroup string
	Store                  *store.Store
	Directory              *institutions.Directory
	Now                    time.Time
}

// Stage is one topic and what became of the records behind its group's positions.
type Stage struct {
	Topic      string
	Committed  int64 // records behind the positions that the log still holds
	Waiting    int64 // records beyond them
	Passed     int64 // enriched, or stored
	Hidden     int64 // deleted before or after: a tombstone stands for them
	Expired    int64 // their retention has ended
	Dead       int64 // dead-lettered
	Purged     int64 // dead-lettered, and the letter was purged since
	Unjudged   int64 // older than what was read of the next topic
	Violations []string
}

// Unaccounted is how many records have no fate.
func (s Stage) Unaccounted() int64 {
	return s.Committed - s.Passed - s.Hidden - s.Expired - s.Dead - s.Purged - s.Unjudged
}

// most bounds how many violations are said in full.
const most = 20

func (s *Stage) violated(format string, args ...any) {
	if len(s.Violations) < most {
		s.Violations = append(s.Violations, fmt.Sprintf(format, args...))
	}
}

// place names a record.
type place struct {
	topic     string
	partition int32
	offset    int64
}

// Found is what a comparison found.
type Found struct {
	Stages []Stage // of the raw topic, the enriched topic and the ledger
	// Undecodable are how many records of the dead-letter topic are no letter that this build reads, First the first of them.
	Undecodable int64
	First       deadletter.Letter
}

// Broken is at how many topics the law of sums does not hold.
func (f Found) Broken() int {
	broken := 0
	for _, s := range f.Stages {
		if s.Unaccounted() != 0 || len(s.Violations) > 0 {
			broken++
		}
	}
	return broken
}

// String says every stage, and what of the dead-letter topic could not be counted.
func (f Found) String() string {
	var b strings.Builder
	for _, s := range f.Stages {
		fmt.Fprintln(&b, s)
	}
	if f.Undecodable > 0 {
		records := "records"
		if f.Undecodable == 1 {
			records = "record"
		}
		fmt.Fprintf(&b, "%s: %d %s cannot be decoded as a dead letter, the first is %s (%v); where a newer version of Dwiarah wrote one, the record that it keeps counts as unaccounted above: "+
			"sink dlq list --undecodable shows them\n", schemas.TopicDead, f.Undecodable, records, f.First.ID(), f.First.Undecodable)
	}
	return b.String()
}

type run struct {
	Config
	dead, purged map[place]bool
	// of the enriched topic: the messages in it, the time of its first record where older ones are gone, and whether some of it was left out
	messages map[uint64]struct{}
	since    time.Time
	gap      bool
}

// Run compares.
func Run(ctx context.Context, cfg Config) (found Found, err error) {
	r := &run{Config: cfg, dead: map[place]bool{}, purged: map[place]bool{}, messages: map[uint64]struct{}{}}
	// Positions first, then what is durable: what moves meanwhile can only add to the durable side.
	raw, err := kafka.Lag(ctx, cfg.Conn, cfg.EnrichGroup, schemas.TopicRaw)
	if err != nil {
		return found, err
	}
	enriched, err := kafka.Lag(ctx, cfg.Conn, cfg.SinkGroup, schemas.TopicEnriched)
	if err != nil {
		return found, err
	}
	ledger, err := kafka.Lag(ctx, cfg.Conn, cfg.SinkGroup, schemas.TopicLedger)
	if err != nil {
		return found, err
	}
	if err := deadletter.Scan(ctx, cfg.Conn, func(l deadletter.Letter) error {
		if l.Undecodable == nil {
			r.dead[place{l.GetSource(), l.GetPartition(), l.GetOffset()}] = true
			return nil
		}
		if found.Undecodable++; found.Undecodable == 1 {
			found.First = l
		}
		return nil
	}); err != nil {
		return found, err
	}
	if err := r.readPurged(ctx); err != nil { // after the letters: one that is purged meanwhile is seen here
		return found, err
	}
	stored, err := r.enriched(ctx, enriched)
	if err != nil {
		return found, err
	}
	passed, err := r.raw(ctx, raw)
	if err != nil {
		return found, err
	}
	noted, err := r.ledger(ctx, ledger)
	if err != nil {
		return found, err
	}
	found.Stages = []Stage{passed, stored, noted}
	return found, nil
}

// positions begins a stage: what the group's positions say of themselves. It moves First of the lags to the first record that is looked at.
func (r *run) positions(topic, group string, lags []kafka.PartitionLag) Stage {
	s := Stage{Topic: topic}
	for n := range lags {
		l := &lags[n]
		switch {
		case l.Committed > l.End:
			s.violated("%s: group %s stands at offset %d of partition %d, which ends at %d: the topic was truncated or made anew, and what comes is skipped until then", topic, group, l.Committed, l.Partition, l.End)
		case l.Committed >= 0 && l.Committed < l.First:
			s.violated("%s: group %s stands at offset %d of partition %d, which begins at %d: %d records were deleted unread", topic, group, l.Committed, l.Partition, l.First, l.First-l.Committed)
		}
		s.Waiting += l.Behind()
		behind := min(l.Committed, l.End)
		if r.Newest > 0 {
			l.First = max(l.First, behind-r.Newest)
		}
		s.Committed += max(0, behind-l.First)
	}
	return s
}

// chunk is how many records are looked up in the tables at a time.
const chunk = 2_000

// enriched reads the enriched topic: what is behind the sink's positions has to be in the tables, all of it counts as what enrich has made.
func (r *run) enriched(ctx context.Context, lags []kafka.PartitionLag) (Stage, error) {
	s := r.positions(schemas.TopicEnriched, r.SinkGroup, lags)
	for _, l := range lags {
		judge := judged(r, &s, func(pending []pendingRecord) error { return r.lookUp(ctx, &s, pending) })
		read := func(extent kafka.PartitionLag) error {
			return deadletter.Read(ctx, r.Conn, extent, func(record kafka.Record) error {
				if extent.First > 0 && (r.since.IsZero() || record.Offset == extent.First && record.Time.After(r.since)) {
					r.since = record.Time
				}
				e := &event.Enriched{}
				err := event.Decode(deadletter.Header(record.Headers, event.SchemaHeader), record.Value, e)
				if err == nil && e.GetMessage() != nil {
					hash, err := hashOf(e.Message)
					if err != nil {
						return err
					}
					r.messages[hash] = struct{}{}
				}
				if record.Offset >= l.Committed {
					return nil
				}
				at := placeOf(record)
				return judge.add(at, pendingRecord{at, e}, err == nil && rows.CheckEnriched(e) == nil)
			})
		}
		for _, extent := range r.extents(l) {
			if err := read(extent); err != nil {
				return s, err
			}
		}
		if err := judge.flush(); err != nil {
			return s, err
		}
	}
	return s, nil
}

// extents are the parts of an enriched partition that are read: all from First on or, of the newest records alone, those up to the sink's position and those that
// enrich has made last, twice as many as are looked at of the raw topic.
func (r *run) extents(l kafka.PartitionLag) []kafka.PartitionLag {
	made := l
	made.First = max(l.First, l.End-2*r.Newest)
	if r.Newest == 0 || made.First <= max(l.First, l.Committed) {
		return []kafka.PartitionLag{l}
	}
	r.gap = true
	stored := l
	stored.End = max(l.First, l.Committed)
	return []kafka.PartitionLag{stored, made}
}

func placeOf(r kafka.Record) place { return place{r.Topic, int32(r.Partition), r.Offset} }

// judgement gathers sound records and looks them up some at a time; the others have to be dead letters.
type judgement[R any] struct {
	run     *run
	stage   *Stage
	lookUp  func([]R) error
	pending []R
}

func judged[R any](r *run, s *Stage, lookUp func([]R) error) *judgement[R] {
	return &judgement[R]{run: r, stage: s, lookUp: lookUp}
}

// add judges a record; sound says that it is what the topic holds.
func (j *judgement[R]) add(at place, record R, sound bool) error {
	switch {
	case j.run.dead[at]:
		j.stage.Dead++
	case j.run.purged[at]:
		j.stage.Purged++
	case !sound:
		j.stage.violated("%s/%d@%d: the position is behind it, it is no sound record, and no dead letter keeps it", at.topic, at.partition, at.offset)
	default:
		j.pending = append(j.pending, record)
	}
	if len(j.pending) == chunk {
		return j.flush()
	}
	return nil
}

func (j *judgement[R]) flush() error {
	if len(j.pending) == 0 {
		return nil
	}
	err := j.lookUp(j.pending)
	j.pending = j.pending[:0]
	return err
}

type pendingRecord struct {
	place
	*event.Enriched
}

// inTables is what the tables hold of one message.
type inTables struct {
	version uint64
	hidden  bool
}

// id names a message within the tables.
type id struct{ institution, platform, key string }

func idOf(m *event.Message) id { return id{m.Institution, m.Platform, string(m.MessageKey)} }

func messagesOf[R any](records []R, message func(R) *event.Message) []*event.Message {
	messages := make([]*event.Message, len(records))
	for n, record := range records {
		messages[n] = message(record)
	}
	return messages
}

// lookUp finds the records' rows.
func (r *run) lookUp(ctx context.Context, s *Stage, records []pendingRecord) error {
	found, err := r.find(ctx, messagesOf(records, func(record pendingRecord) *event.Message { return record.Message }))
	if err != nil {
		return err
	}
	for _, e := range records {
		want, err := rows.Version(e.Enriched)
		if err != nil {
			return err
		}
		switch row := found[idOf(e.Message)]; {
		case row.hidden:
			s.Hidden++
		case e.Message.DeletedAtMs == nil && row.version >= want:
			s.Passed++
		case rows.FactsExpireAt(r.Directory, e.Message) <= r.Now.Unix():
			s.Expired++
		case e.Message.DeletedAtMs != nil:
			s.violated("%s/%d@%d: the position is behind this deletion, and there is no tombstone", e.topic, e.partition, e.offset)
		case row.version == 0:
			s.violated("%s/%d@%d: the position is behind it, and it is neither stored nor dead-lettered", e.topic, e.partition, e.offset)
		default:
			s.violated("%s/%d@%d: the position is behind it, and only an older version of the message is stored", e.topic, e.partition, e.offset)
		}
	}
	return nil
}

// find reads what the tables hold of messages.
func (r *run) find(ctx context.Context, messages []*event.Message) (map[id]inTables, error) {
	type slice struct {
		keys     []string
		from, to int64 // of created_at, ms: the rows are ordered by it
	}
	slices := map[[2]string]*slice{}
	for _, m := range messages {
		of := [2]string{m.Institution, m.Platform}
		if slices[of] == nil {
			slices[of] = &slice{from: m.CreatedAtMs, to: m.CreatedAtMs}
		}
		s := slices[of]
		s.keys, s.from, s.to = append(s.keys, string(m.MessageKey)), min(s.from, m.CreatedAtMs), max(s.to, m.CreatedAtMs)
	}
	found := map[id]inTables{}
	for of, s := range slices {
		result, err := r.Store.Conn().Query(ctx, `
			SELECT message_key, max(version) AS version, max(hidden) AS hidden FROM (
				SELECT message_key, version, false AS hidden FROM message_facts WHERE institution = {institution:String} AND platform = {platform:String}
					AND created_at BETWEEN fromUnixTimestamp64Milli({from:Int64}) AND fromUnixTimestamp64Milli({to:Int64}) AND message_key IN {keys:Array(String)}
				UNION ALL
				SELECT message_key, 0 AS version, true AS hidden FROM tombstones WHERE institution = {institution:String} AND platform = {platform:String} AND message_key IN {keys:Array(String)}
			) GROUP BY message_key`,
			clickhouse.Named("institution", of[0]), clickhouse.Named("platform", of[1]), clickhouse.Named("keys", s.keys), clickhouse.Named("from", s.from), clickhouse.Named("to", s.to))
		if err != nil {
			return nil, fmt.Errorf("looking messages up: %w", err)
		}
		for result.Next() {
			var key string
			var row inTables
			if err := result.Scan(&key, &row.version, &row.hidden); err != nil {
				return nil, errors.Join(fmt.Errorf("looking messages up: %w", err), result.Close())
			}
			found[id{of[0], of[1], key}] = row
		}
		if err := errors.Join(result.Err(), result.Close()); err != nil {
			return nil, fmt.Errorf("looking messages up: %w", err)
		}
	}
	return found, nil
}

// readPurged learns which dead letters an operator has purged.
func (r *run) readPurged(ctx context.Context) error {
	result, err := r.Store.Conn().Query(ctx, "SELECT source, partition, offset FROM purged_letters WHERE source IN {topics:Array(String)}",
		clickhouse.Named("topics", []string{schemas.TopicRaw, schemas.TopicEnriched, schemas.TopicLedger}))
	if err != nil {
		return fmt.Errorf("reading which dead letters were purged: %w", err)
	}
	defer result.Close()
	for result.Next() {
		var at place
		if err := result.Scan(&at.topic, &at.partition, &at.offset); err != nil {
			return fmt.Errorf("reading which dead letters were purged: %w", err)
		}
		r.purged[at] = true
	}
	return result.Err()
}

// raw reads what is behind enrich's positions: each message has to be in the enriched topic, or dead-lettered.
func (r *run) raw(ctx context.Context, lags []kafka.PartitionLag) (Stage, error) {
	s := r.positions(schemas.TopicRaw, r.EnrichGroup, lags)
	for _, l := range lags {
		l.End = min(l.End, max(l.Committed, l.First))
		judge := judged(r, &s, func(pending []rawRecord) error { return r.lookUpRaw(ctx, &s, pending) })
		err := deadletter.Read(ctx, r.Conn, l, func(record kafka.Record) error {
			m := &event.Message{}
			err := event.Decode(deadletter.Header(record.Headers, event.SchemaHeader), record.Value, m)
			at := placeOf(record)
			return judge.add(at, rawRecord{at, record.Time, m}, err == nil)
		})
		if err == nil {
			err = judge.flush()
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

type rawRecord struct {
	place
	time time.Time
	*event.Message
}

// lookUpRaw finds what enrich has made of the records: in the enriched topic or, where the newest of that is all that was read, already in the tables.
func (r *run) lookUpRaw(ctx context.Context, s *Stage, records []rawRecord) error {
	var missing []rawRecord
	for _, record := range records {
		hash, err := hashOf(record.Message)
		if err != nil {
			return err
		}
		if _, passed := r.messages[hash]; passed {
			s.Passed++
		} else {
			missing = append(missing, record)
		}
	}
	if r.Newest > 0 {
		return r.lookUpStored(ctx, s, missing)
	}
	for _, record := range missing {
		if record.time.Before(r.since) {
			s.Unjudged++
		} else {
			s.notEnriched(record.place)
		}
	}
	return nil
}

func (s *Stage) notEnriched(at place) {
	s.violated("%s/%d@%d: the position is behind it, and it is neither in %s nor dead-lettered", at.topic, at.partition, at.offset, schemas.TopicEnriched)
}

// lookUpStored finds records in the tables: a row as new as the record was made of it, or of what replaced it.
func (r *run) lookUpStored(ctx context.Context, s *Stage, records []rawRecord) error {
	found, err := r.find(ctx, messagesOf(records, func(record rawRecord) *event.Message { return record.Message }))
	if err != nil {
		return err
	}
	for _, record := range records {
		switch row := found[idOf(record.Message)]; {
		case row.hidden || rows.NotOlder(row.version, record.Message):
			s.Passed++
		case r.gap:
			s.Unjudged++
		default:
			s.notEnriched(record.place)
		}
	}
	return nil
}

func hashOf(m *event.Message) (uint64, error) {
	b, err := m.MarshalVT()
	if err != nil {
		return 0, fmt.Errorf("hashing a message: %w", err)
	}
	return xxhash.Sum64(b), nil
}

// String says the law of sums with its numbers, and in words what breaks it.
func (s Stage) String() string {
	verb := "enriched"
	if s.Topic != schemas.TopicRaw {
		verb = "stored"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d records behind the positions = %d %s + %d deleted + %d expired + %d dead-lettered + %d purged + %d older than the next topic + %d unaccounted; %d waiting",
		s.Topic, s.Committed, s.Passed, verb, s.Hidden, s.Expired, s.Dead, s.Purged, s.Unjudged, s.Unaccounted(), s.Waiting)
	for _, v := range s.Violations {
		b.WriteString("\n  " + v)
	}
	return b.String()
}
