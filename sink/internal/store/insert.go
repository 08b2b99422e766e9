package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"

	"github.com/dwiarah/dwiarah/sink/internal/rows"
)

// dedupSettingSince is the server version from which on deduplicate_insert says whether inserts are deduplicated, and insert_deduplicate alone does not.
var dedupSettingSince = proto.Version{Major: 26, Minor: 2}

// insertSettings are given with every INSERT, because the defaults of all of them have moved or may move:
//   - no deduplication: its log is written before the part is there, so that a kill between the two and a repeat lose the rows, silently. A repeat
//     that writes the rows again changes no view.
//   - no asynchronous insert: an answer has to mean that the rows are in the table.
//   - a Distributed table hands the rows on before it answers.
//   - any number of partitions: an archive of ten years is 120 of them.
func insertSettings(server proto.Version) clickhouse.Settings {
	settings := clickhouse.Settings{"async_insert": 0, "distributed_foreground_insert": 1, "max_partitions_per_insert_block": 0}
	if proto.CheckMinVersion(dedupSettingSince, server) {
		settings["deduplicate_insert"] = "disable"
	} else {
		settings["insert_deduplicate"] = 0
	}
	return settings
}

// Insert sends the table's rows once. Whether they are in after an error is not known; Classify says what to do about it.
func (s *Store) Insert(ctx context.Context, table rows.Table) error {
	if err := s.insert(ctx, table); err != nil {
		return fmt.Errorf("inserting %d rows into %s: %w", table.Rows, table.Name, err)
	}
	return nil
}

func (s *Store) insert(ctx context.Context, table rows.Table) (err error) {
	ctx, cancel := context.WithTimeout(ctx, s.attempt)
	defer cancel()
	// The version belongs to the connection's handshake and costs no round trip; asked every time, it follows a server's upgrade.
	server, err := s.conn.ServerVersion()
	if err != nil {
		return err
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(insertSettings(server.Version)))
	names := make([]string, len(table.Columns))
	for n, column := range table.Columns {
		names[n] = column.Name
	}
	// The driver's batch is used for this one attempt only: after a failed Send it cannot be sent again.
	batch, err := s.conn.PrepareBatch(ctx, "INSERT INTO "+table.Name+" ("+strings.Join(names, ", ")+")")
	if err != nil {
		return err
	}
	defer batch.Close()
	for n, column := range table.Columns {
		if err := batch.Column(n).Append(column.Values); err != nil {
			return fmt.Errorf("encoding column %s: %w", column.Name, err)
		}
	}
	// Over HTTP the driver answers a block that it cannot encode with an empty body, which the server takes for no rows and a success.
	for n, column := range batch.Columns() {
		if column.Rows() != table.Rows {
			return fmt.Errorf("encoding column %s: %d values for %d rows", names[n], column.Rows(), table.Rows)
		}
	}
	return batch.Send()
}
