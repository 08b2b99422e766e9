package sink

import (
	"slices"
	"testing"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/sink/internal/rows"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

// FuzzDecode holds that any bytes are either refused for one of the known reasons, or make rows.
func FuzzDecode(f *testing.F) {
	whole, err := event.Encode(storetest.Enriched(1))
	if err != nil {
		f.Fatal(err)
	}
	coverage, err := event.Encode(&event.LedgerEntry{Entry: &event.LedgerEntry_Coverage{Coverage: &event.Coverage{
		Institution: "dinas-air", Connector: "archive", Status: schemas.CoverageComplete, SinceMs: 1, UntilMs: 2,
	}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, value := range [][]byte{nil, whole, whole[:len(whole)/2], coverage, []byte("not protobuf"), {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}} {
		f.Add(true, value)
		f.Add(false, value)
	}
	f.Fuzz(func(t *testing.T, enriched bool, value []byte) {
		r := kafka.Record{Topic: schemas.TopicLedger, Value: value, Headers: []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}}}
		if enriched {
			r.Topic = schemas.TopicEnriched
		}
		entry, err := decodeEntry(r)
		if err != nil {
			if !slices.Contains(schemas.DeadReasons(), reason(err)) || len(err.Error()) > 1000 {
				t.Fatalf("reason %s, error %v", reason(err), err)
			}
			return
		}
		block := rows.NewBlock(nil, 1)
		if entry.Ledger != nil {
			block.AddLedger(entry.Ledger)
		} else if err := block.AddEnriched(entry.Enriched); err != nil {
			t.Fatal(err)
		}
		if len(block.Tables()) == 0 {
			t.Fatal("no rows")
		}
	})
}
