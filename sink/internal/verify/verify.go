// Package verify holds what Kafka still has against what became of it: every record behind a committed position is produced, stored or dead-lettered. It only reads.
package verify

import (
	"context"
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
	Unjudged   int64 // older than what the next topic still holds
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

type run struct {
	Config
	dead, purged map[place]bool
	// of the enriched topic: the messages in it, and the time of its first record where older ones are gone
	messages map[uint64]struct{}
	since    time.Time
}

// Run compares, and returns a stage for the raw topic and one for the enriched topic.
func Run(ctx context.Context, cfg Config) ([]Stage, error) {
	r := &run{Config: cfg, dead: map[place]bool{}, purged: map[place]bool{}, messages: map[uint64]struct{}{}}
	// Positions first, then what is durable: what moves meanwhile can only add to the durable side.
	raw, err := kafka.Lag(ctx, cfg.Conn, cfg.EnrichGroup, schemas.TopicRaw)
	if err != nil {
		return nil, err
	}
	enriched, err := kafka.Lag(ctx, cfg.Conn, cfg.SinkGroup, schemas.TopicEnriched)
	if err != nil {
		return nil, err
	}
	if err := deadletter.Scan(ctx, cfg.Conn, func(l deadletter.Letter) error {
		r.dead[place{l.GetSource(), l.GetPartition(), l.GetOffset()}] = true
		return nil
	}); err != nil {
		return nil, err
	}
	if err := r.readPurged(ctx); err != nil { // after the letters: one that is purged meanwhile is seen here
		return nil, err
	}
	stored, err := r.enriched(ctx, enriched)
	if err != nil {
		return nil, err
	}
	passed, err := r.raw(ctx, raw)
	if err != nil {
		return nil, err
	}
	return []Stage{passed, stored}, nil
}

// positions begins a stage: what the group's positions say of themselves.
func positions(topic, group string, lags []kafka.PartitionLag) Stage {
	s := Stage{Topic: topic}
	for _, l := range lags {
		switch {
		case l.Committed > l.End:
			s.violated("%s: group %s stands at offset %d of partition %d, which ends at %d: the topic was truncated or made anew, and what comes is skipped until then", topic, group, l.Committed, l.Partition, l.End)
		case l.Committed >= 0 && l.Committed < l.First:
			s.violated("%s: group %s stands at offset %d of partition %d, which begins at %d: %d records were deleted unread", topic, group, l.Committed, l.Partition, l.First, l.First-l.Committed)
		}
		s.Waiting += l.Behind()
		s.Committed += max(0, min(l.Committed, l.End)-l.First)
	}
	return s
}

// chunk is how many records are looked up in the tables at a time.
const chunk = 2_000

// enriched reads the whole enriched topic: what is behind the sink's positions has to be in the tables, all of it counts as what enrich has made.
func (r *run) enriched(ctx context.Context, lags []kafka.PartitionLag) (Stage, error) {
	s := positions(schemas.TopicEnriched, r.SinkGroup, lags)
	for _, l := range lags {
		committed := l.Committed
		var pending []pendingRecord
		flush := func() error {
			err := r.lookUp(ctx, &s, pending)
			pending = pending[:0]
			return err
		}
		err := deadletter.Read(ctx, r.Conn, l, func(record kafka.Record) error {
			if l.First > 0 && (r.since.IsZero() || record.Offset == l.First && record.Time.After(r.since)) {
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
			if record.Offset >= committed {
				return nil
			}
			at := place{record.Topic, int32(record.Partition), record.Offset}
			switch {
			case r.dead[at]:
				s.Dead++
			case r.purged[at]:
				s.Purged++
			case err != nil || rows.CheckEnriched(e) != nil:
				s.violated("%s/%d@%d: the position is behind it, it makes no row, and no dead letter keeps it", at.topic, at.partition, at.offset)
			default:
				pending = append(pending, pendingRecord{at, e})
			}
			if len(pending) == chunk {
				return flush()
			}
			return nil
		})
		if err != nil {
			return s, err
		}
		if err := flush(); err != nil {
			return s, err
		}
	}
	return s, nil
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

// lookUp finds the records' rows.
func (r *run) lookUp(ctx context.Context, s *Stage, records []pendingRecord) error {
	keys := map[[2]string][]string{}
	for _, e := range records {
		of := [2]string{e.Message.Institution, e.Message.Platform}
		keys[of] = append(keys[of], string(e.Message.MessageKey))
	}
	for of, list := range keys {
		found, err := r.read(ctx, of, list)
		if err != nil {
			return err
		}
		for _, e := range records {
			if of != [2]string{e.Message.Institution, e.Message.Platform} {
				continue
			}
			want, err := rows.Version(e.Enriched)
			if err != nil {
				return err
			}
			switch row := found[string(e.Message.MessageKey)]; {
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
	}
	return nil
}

func (r *run) read(ctx context.Context, of [2]string, keys []string) (map[string]inTables, error) {
	result, err := r.Store.Conn().Query(ctx, `
		SELECT message_key, max(version) AS version, max(hidden) AS hidden FROM (
			SELECT message_key, version, false AS hidden FROM message_facts WHERE institution = {institution:String} AND platform = {platform:String} AND message_key IN {keys:Array(String)}
			UNION ALL
			SELECT message_key, 0 AS version, true AS hidden FROM tombstones WHERE institution = {institution:String} AND platform = {platform:String} AND message_key IN {keys:Array(String)}
		) GROUP BY message_key`,
		clickhouse.Named("institution", of[0]), clickhouse.Named("platform", of[1]), clickhouse.Named("keys", keys))
	if err != nil {
		return nil, fmt.Errorf("looking messages up: %w", err)
	}
	defer result.Close()
	found := map[string]inTables{}
	for result.Next() {
		var key string
		var row inTables
		if err := result.Scan(&key, &row.version, &row.hidden); err != nil {
			return nil, fmt.Errorf("looking messages up: %w", err)
		}
		found[key] = row
	}
	return found, result.Err()
}

// readPurged learns which dead letters an operator has purged.
func (r *run) readPurged(ctx context.Context) error {
	result, err := r.Store.Conn().Query(ctx, "SELECT source, partition, offset FROM purged_letters WHERE source IN {topics:Array(String)}",
		clickhouse.Named("topics", []string{schemas.TopicRaw, schemas.TopicEnriched}))
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
	s := positions(schemas.TopicRaw, r.EnrichGroup, lags)
	for _, l := range lags {
		l.End = min(l.End, max(l.Committed, l.First))
		err := deadletter.Read(ctx, r.Conn, l, func(record kafka.Record) error {
			switch at := (place{record.Topic, int32(record.Partition), record.Offset}); {
			case r.dead[at]:
				s.Dead++
				return nil
			case r.purged[at]:
				s.Purged++
				return nil
			}
			m := &event.Message{}
			if err := event.Decode(deadletter.Header(record.Headers, event.SchemaHeader), record.Value, m); err != nil {
				s.violated("%s/%d@%d: the position is behind it, it is no message, and no dead letter keeps it", record.Topic, record.Partition, record.Offset)
				return nil
			}
			hash, err := hashOf(m)
			if err != nil {
				return err
			}
			_, passed := r.messages[hash]
			switch {
			case passed:
				s.Passed++
			case record.Time.Before(r.since):
				s.Unjudged++
			default:
				s.violated("%s/%d@%d: the position is behind it, and it is neither in %s nor dead-lettered", record.Topic, record.Partition, record.Offset, schemas.TopicEnriched)
			}
			return nil
		})
		if err != nil {
			return s, err
		}
	}
	return s, nil
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
	if s.Topic == schemas.TopicEnriched {
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
