package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/sink/internal/deadletter"
	"github.com/dwiarah/dwiarah/sink/internal/rows"
)

// ledger reads what is behind the sink's positions in the ledger: coverage, sizes of accounts, visibility. Each has to be in its table, or dead-lettered.
func (r *run) ledger(ctx context.Context, lags []kafka.PartitionLag) (Stage, error) {
	s := r.positions(schemas.TopicLedger, r.SinkGroup, lags)
	for _, l := range lags {
		l.End = min(l.End, max(l.Committed, l.First))
		judge := judged(r, &s, func(pending []ledgerRecord) error { return r.lookUpLedger(ctx, &s, pending) })
		err := deadletter.Read(ctx, r.Conn, l, func(record kafka.Record) error {
			e := &event.LedgerEntry{}
			err := event.Decode(deadletter.Header(record.Headers, event.SchemaHeader), record.Value, e)
			at := placeOf(record)
			return judge.add(at, ledgerRecord{at, e}, err == nil && rows.CheckLedger(e) == nil)
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

type ledgerRecord struct {
	place
	*event.LedgerEntry
}

// noted is one row of the ledger's tables by its key; what a table does not have is empty.
type noted struct {
	table, institution, of, subject, state, reason string
	at                                             int64 // ms
}

// Each table's rows as noted, and until or 0. Within a table, at is in the order of the rows or close to it.
var ledgerTables = map[string]string{
	"coverage_ledger": `SELECT institution, connector, '', toString(status), reason, toUnixTimestamp64Milli(since), toUnixTimestamp64Milli(max(until))
		FROM coverage_ledger WHERE institution IN {institutions:Array(String)} AND since BETWEEN fromUnixTimestamp64Milli({from:Int64}) AND fromUnixTimestamp64Milli({to:Int64})
		GROUP BY institution, connector, status, reason, since`,
	"account_counts": `SELECT DISTINCT institution, platform, account, '', '', toUnixTimestamp64Milli(observed_at), toInt64(0)
		FROM account_counts WHERE institution IN {institutions:Array(String)} AND observed_at BETWEEN fromUnixTimestamp64Milli({from:Int64}) AND fromUnixTimestamp64Milli({to:Int64})`,
	"visibility_changes": `SELECT DISTINCT institution, platform, toString(subject_key), toString(state), reason, toUnixTimestamp64Milli(at), toInt64(0)
		FROM visibility_changes WHERE institution IN {institutions:Array(String)} AND at BETWEEN fromUnixTimestamp64Milli({from:Int64}) AND fromUnixTimestamp64Milli({to:Int64})`,
}

// rowOf is the row that an entry has to be in, and the time that the row has to reach.
func rowOf(e *event.LedgerEntry) (row noted, until int64) {
	switch entry := e.GetEntry().(type) {
	case *event.LedgerEntry_Coverage:
		c := entry.Coverage
		return noted{table: "coverage_ledger", institution: c.Institution, of: c.Connector, state: c.Status, reason: c.Reason, at: c.SinceMs}, c.UntilMs
	case *event.LedgerEntry_Snapshot:
		s := entry.Snapshot
		return noted{table: "account_counts", institution: s.Institution, of: s.Platform, subject: s.Account, at: s.ObservedAtMs}, 0
	default: // CheckLedger lets no fourth kind pass
		v := e.GetVisibility()
		key := v.GetMessageKey()
		if v.GetAuthorKey() != "" {
			key = rows.AuthorMark(v.AuthorKey)
		}
		return noted{table: "visibility_changes", institution: v.GetInstitution(), of: v.GetPlatform(), subject: string(key), state: v.GetState(), reason: v.GetReason(), at: v.GetAtMs()}, 0
	}
}

func (r *run) lookUpLedger(ctx context.Context, s *Stage, records []ledgerRecord) error {
	found, err := r.findNoted(ctx, records)
	if err != nil {
		return err
	}
	for _, record := range records {
		row, until := rowOf(record.LedgerEntry)
		reached, there := found[row]
		switch {
		case there && reached >= until:
			s.Passed++
		case there:
			s.violated("%s/%d@%d: the position is behind it, and %s holds the stretch, but not to its end", record.topic, record.partition, record.offset, row.table)
		default:
			s.violated("%s/%d@%d: the position is behind it, and it is neither in %s nor dead-lettered", record.topic, record.partition, record.offset, row.table)
		}
	}
	return nil
}

// findNoted reads the rows of the records' institutions and times, with how far each reaches.
func (r *run) findNoted(ctx context.Context, records []ledgerRecord) (map[noted]int64, error) {
	type span struct {
		institutions map[string]bool
		from, to     int64
	}
	spans := map[string]*span{}
	for _, record := range records {
		row, _ := rowOf(record.LedgerEntry)
		s := spans[row.table]
		if s == nil {
			s = &span{institutions: map[string]bool{}, from: row.at, to: row.at}
			spans[row.table] = s
		}
		s.institutions[row.institution] = true
		s.from, s.to = min(s.from, row.at), max(s.to, row.at)
	}
	found := map[noted]int64{}
	for table, s := range spans {
		if err := r.readNoted(ctx, table, slices.Sorted(maps.Keys(s.institutions)), s.from, s.to, found); err != nil {
			return nil, fmt.Errorf("looking up what is in %s: %w", table, err)
		}
	}
	return found, nil
}

func (r *run) readNoted(ctx context.Context, table string, institutions []string, from, to int64, found map[noted]int64) (err error) {
	result, err := r.Store.Conn().Query(ctx, ledgerTables[table],
		clickhouse.Named("institutions", institutions), clickhouse.Named("from", from), clickhouse.Named("to", to))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, result.Err(), result.Close()) }()
	for result.Next() {
		row, until := noted{table: table}, int64(0)
		if err := result.Scan(&row.institution, &row.of, &row.subject, &row.state, &row.reason, &row.at, &until); err != nil {
			return err
		}
		found[row] = until
	}
	return nil
}
