package kafka

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever the chunks, the batches are the same records in the same order, none above a limit, none smaller than need be.
func TestBatchesKeepEveryRecordWithinTheLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := BatchPolicy{
			MaxRecords: rapid.IntRange(1, 20).Draw(t, "max records"),
			MaxBytes:   rapid.IntRange(1, 200).Draw(t, "max bytes"),
			MaxAge:     time.Second,
		}
		sizes := rapid.SliceOf(rapid.SliceOf(rapid.IntRange(0, 250))).Draw(t, "chunks of sizes")
		g := gatherer{policy: policy}
		var in, out []Record
		var batches [][]Record
		now := time.Unix(0, 0)
		for _, chunkSizes := range sizes {
			now = now.Add(time.Millisecond)
			var chunk []Record
			for _, n := range chunkSizes {
				r := Record{Offset: int64(len(in)), Value: make([]byte, n)}
				in, chunk = append(in, r), append(chunk, r)
			}
			for len(chunk) > 0 {
				empty := len(g.batch) == 0
				rest, full := g.add(chunk, now)
				if len(rest) == len(chunk) && !full {
					t.Fatal("add neither took a record nor asked for the batch to be taken")
				}
				if empty && !g.due().Equal(now.Add(policy.MaxAge)) {
					t.Fatalf("the batch is due at %v; its first record came at %v", g.due(), now)
				}
				if chunk = rest; full {
					batches = append(batches, g.take())
				}
			}
		}
		full := len(batches)
		if len(g.batch) > 0 {
			batches = append(batches, g.take())
		}
		for i, b := range batches {
			bytes := 0
			for j := range b {
				bytes += b[j].Size()
			}
			if len(b) == 0 || len(b) > policy.MaxRecords || bytes > policy.MaxBytes && len(b) > 1 {
				t.Fatalf("batch %d has %d records and %d bytes under %+v", i, len(b), bytes, policy)
			}
			out = append(out, b...)
			if i < full && len(b) < policy.MaxRecords && bytes < policy.MaxBytes && bytes+in[len(out)].Size() <= policy.MaxBytes {
				t.Fatalf("batch %d was taken with %d records and %d bytes although the next record has room under %+v", i, len(b), bytes, policy)
			}
		}
		if len(out) != len(in) {
			t.Fatalf("%d records in, %d out", len(in), len(out))
		}
		for i := range in {
			if out[i].Offset != in[i].Offset {
				t.Fatalf("record %d came as number %d", out[i].Offset, i)
			}
		}
	})
}

// The handler owns its batch: the next one must not be gathered in the same memory.
func TestBatchesDoNotShareMemory(t *testing.T) {
	g := gatherer{policy: BatchPolicy{MaxRecords: 2, MaxBytes: 100, MaxAge: time.Second}}
	chunk := []Record{{Offset: 0}, {Offset: 1}, {Offset: 2}, {Offset: 3}}
	rest, _ := g.add(chunk, time.Now())
	first := g.take()
	g.add(rest, time.Now())
	if first[0].Offset != 0 || first[1].Offset != 1 {
		t.Errorf("the first batch became %v", first)
	}
}
