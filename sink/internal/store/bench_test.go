package store_test

import (
	"syscall"
	"testing"

	"github.com/ClickHouse/ch-go/compress"
	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"

	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/sink/internal/rows"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

const benchRecords = 20_000

// wire returns records as the topic holds them.
func wire(b *testing.B) [][]byte {
	b.Helper()
	var records [][]byte
	for n := range benchRecords {
		value, err := event.Encode(storetest.Enriched(n))
		if err != nil {
			b.Fatal(err)
		}
		records = append(records, value)
	}
	return records
}

func decoded(b *testing.B, records [][]byte) []store.Entry {
	b.Helper()
	list := make([]store.Entry, 0, len(records))
	for _, value := range records {
		e := &event.Enriched{}
		if err := event.Decode(event.SchemaValue(), value, e); err != nil {
			b.Fatal(err)
		}
		if err := rows.CheckEnriched(e); err != nil {
			b.Fatal(err)
		}
		list = append(list, store.Entry{Enriched: e})
	}
	return list
}

// cpuSeconds is the processor time of this process, garbage collection included: on a shared machine it says more than the clock does.
func cpuSeconds(b *testing.B) float64 {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

// BenchmarkRecordsToNative is the sink's own work on a record: decoding, checking, mapping to rows, encoding as compressed Native blocks. One core.
func BenchmarkRecordsToNative(b *testing.B) {
	addr := storetest.Shared(b)
	s := storetest.Open(b, storetest.Config(addr, storetest.Database(b, addr)))
	records := wire(b)
	kinds := map[string]map[string]string{}
	for _, table := range []string{"message_bodies", "message_facts"} {
		var of map[string]string
		if err := s.Conn().QueryRow(b.Context(), "SELECT CAST(groupArray((name, type)), 'Map(String, String)') FROM system.columns WHERE database = currentDatabase() AND table = {table:String}",
			clickhouse.Named("table", table)).Scan(&of); err != nil {
			b.Fatal(err)
		}
		kinds[table] = of
	}
	compressor := compress.NewWriter(compress.LevelZero, compress.LZ4)
	bytes := 0
	begin := cpuSeconds(b)
	for b.Loop() {
		block := rows.NewBlock(nil, len(records))
		for _, e := range decoded(b, records) {
			if err := block.AddEnriched(e.Enriched); err != nil {
				b.Fatal(err)
			}
		}
		bytes = 0
		for _, table := range block.Tables() {
			native := proto.NewBlock()
			for n, c := range table.Columns {
				if err := native.AddColumn(c.Name, column.Type(kinds[table.Name][c.Name])); err != nil {
					b.Fatal(err)
				}
				if _, err := native.Columns[n].Append(c.Values); err != nil {
					b.Fatal(err)
				}
			}
			var buffer chproto.Buffer
			if err := native.Encode(&buffer, 0); err != nil {
				b.Fatal(err)
			}
			if err := compressor.Compress(buffer.Buf); err != nil {
				b.Fatal(err)
			}
			bytes += len(buffer.Buf)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(records))/(cpuSeconds(b)-begin), "records/cpu-s")
	b.ReportMetric(float64(bytes)/float64(len(records)), "B/record")
}

// BenchmarkRecordsToTables is that and the engine's work, which has a process of its own.
func BenchmarkRecordsToTables(b *testing.B) {
	addr := storetest.Shared(b)
	s := storetest.Open(b, storetest.Config(addr, storetest.Database(b, addr)))
	w := writer(b, s)
	records := wire(b)
	for b.Loop() {
		if refusals, err := w.Write(b.Context(), decoded(b, records)); err != nil || len(refusals) > 0 {
			b.Fatal(refusals, err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(records))/b.Elapsed().Seconds(), "records/s")
}
