package store

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/sink/internal/rows"
)

// Entry is one record of a batch: an enriched message or a ledger entry, checked.
type Entry struct {
	Enriched *event.Enriched
	Ledger   *event.LedgerEntry
}

// refusedInARow is how many entries, one by one, the store may refuse without taking a single row before it is taken for broken. Rows are
// dead-lettered for what they are; when nothing is taken any more it is not the rows.
const refusedInARow = 50

// Writer gets batches into a store. Its methods are not safe for concurrent use: one batch is written after the other.
type Writer struct {
	store     *Store
	insert    func(ctx context.Context, table rows.Table) error
	directory *institutions.Directory
	alive     func()
	log       *slog.Logger
	metrics   writerMetrics
	refused   int // entries refused since the store took rows
}

type writerMetrics struct {
	rows    *prometheus.CounterVec // table
	seconds *prometheus.HistogramVec
	size    *prometheus.HistogramVec
	retries *prometheus.CounterVec // reason
}

// NewWriter returns a writer. The directory, which may be nil, gives the retention of each institution; alive is called at every attempt of an INSERT.
func NewWriter(s *Store, directory *institutions.Directory, alive func(), log *slog.Logger, registry prometheus.Registerer) (*Writer, error) {
	m := writerMetrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dwiarah_sink_rows_total", Help: "Rows inserted, repeats included, by table.",
		}, []string{"table"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "dwiarah_sink_insert_seconds", Help: "Duration of one INSERT that succeeded, by table.", Buckets: prometheus.ExponentialBuckets(0.002, 2.5, 12),
		}, []string{"table"}),
		size: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "dwiarah_sink_insert_rows", Help: "Rows of one INSERT that succeeded, by table.", Buckets: prometheus.ExponentialBuckets(1, 4, 9),
		}, []string{"table"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dwiarah_sink_insert_retries_total", Help: "INSERTs that failed and are tried again with the same rows, by reason.",
		}, []string{"reason"}),
	}
	for _, c := range []prometheus.Collector{m.rows, m.seconds, m.size, m.retries} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering the store's metrics: %w", err)
		}
	}
	return &Writer{store: s, insert: s.Insert, directory: directory, alive: alive, log: log, metrics: m}, nil
}

// InsertBy replaces what sends a table's rows once, so that a simulation can stand for the store.
func (w *Writer) InsertBy(insert func(ctx context.Context, table rows.Table) error) {
	w.insert = insert
}

// Write returns when every entry is in the store or is known to be refused by it, for as long as that takes; ctx ends the waiting.
// After an error some of the entries may be in; the same entries may be written again.
func (w *Writer) Write(ctx context.Context, entries []Entry) ([]Refusal, error) {
	return bisect(0, len(entries), func(from, to int) error {
		err := w.write(ctx, entries[from:to])
		switch {
		case err == nil:
			w.refused = 0
		case Classify(err) == Refused && to-from == 1:
			if w.refused++; w.refused >= refusedInARow {
				return &RefusesAllError{Rows: w.refused, Last: Reason(err)}
			}
		}
		return err
	}, func(err error) bool { return Classify(err) == Refused })
}

// RefusesAllError tells that the store takes nothing any more. It is no refusal of the rows: they stay where they are.
type RefusesAllError struct {
	Rows int
	Last string // the reason of the last refusal
}

func (e *RefusesAllError) Error() string {
	return fmt.Sprintf("the store refused %d messages in a row, each alone, and took none (the last one: %s): something is wrong with the store or its tables, not with the messages", e.Rows, e.Last)
}

// write makes rows of the entries and writes them, table by table in the order that rows.Block.Tables gives.
func (w *Writer) write(ctx context.Context, entries []Entry) error {
	block := rows.NewBlock(w.directory, len(entries))
	for _, entry := range entries {
		if entry.Ledger != nil {
			block.AddLedger(entry.Ledger)
			continue
		}
		if err := block.AddEnriched(entry.Enriched); err != nil {
			return err
		}
	}
	for _, table := range block.Tables() {
		if err := w.untilIn(ctx, table); err != nil {
			return err
		}
	}
	return nil
}

// untilIn sends the same rows again for as long as that may help.
func (w *Writer) untilIn(ctx context.Context, table rows.Table) error {
	return w.store.until(ctx, func() error {
		w.alive()
		start := time.Now()
		if err := w.insert(ctx, table); err != nil {
			return err
		}
		w.metrics.seconds.WithLabelValues(table.Name).Observe(time.Since(start).Seconds())
		w.metrics.size.WithLabelValues(table.Name).Observe(float64(table.Rows))
		w.metrics.rows.WithLabelValues(table.Name).Add(float64(table.Rows))
		return nil
	}, func(err error, pause time.Duration) {
		w.metrics.retries.WithLabelValues(Reason(err)).Inc()
		w.log.Warn("insert is tried again", "table", table.Name, "rows", table.Rows, "pause", pause, "error", err)
	})
}
