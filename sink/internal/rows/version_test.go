package rows_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/sink/internal/rows"
)

func versionOf(t interface{ Fatal(...any) }, e *event.Enriched) uint64 {
	block := rows.NewBlock(nil, 1)
	if err := rows.CheckEnriched(e); err != nil {
		t.Fatal(err)
	}
	if err := block.AddEnriched(e); err != nil {
		t.Fatal(err)
	}
	var versions []uint64
	for _, table := range block.Tables() {
		if c := table.Columns[len(table.Columns)-1]; c.Name == "version" {
			versions = append(versions, reflect.ValueOf(c.Values).Index(0).Uint())
		}
	}
	if slices.Min(versions) != slices.Max(versions) {
		t.Fatal("body and facts have different versions", versions)
	}
	return versions[0]
}

// copies draws copies of one message as replays, edits, later observations and newer models make them.
func copies(t *rapid.T) []*event.Enriched {
	base := full().Message.CreatedAtMs
	times := rapid.Int64Range(base, base+10)
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *event.Enriched {
		e := full()
		if e.Message.EditedAtMs = nil; rapid.Bool().Draw(t, "edited") {
			e.Message.EditedAtMs = ptr(times.Draw(t, "edited_at"))
		}
		if e.Message.ObservedAtMs = nil; rapid.Bool().Draw(t, "observed") {
			e.Message.ObservedAtMs = ptr(times.Draw(t, "observed_at"))
		}
		e.Message.Text = rapid.SampledFrom([]string{"air mati", "air mati lagi", "sudah nyala"}).Draw(t, "text")
		e.Enrichment.ModelSeq = rapid.Uint32Range(0, rows.MaxModelSeq).Draw(t, "model")
		e.Message.IngestedAtMs += rapid.Int64Range(0, 1e9).Draw(t, "later")
		return e
	}), 1, 12).Draw(t, "copies")
}

// content is a record without what a repeat may change.
func content(e *event.Enriched) *event.Enriched {
	c := proto.Clone(e).(*event.Enriched)
	c.Message.IngestedAtMs = 0
	return c
}

func collide(t interface{ Fatal(...any) }, all []*event.Enriched) bool {
	for n, a := range all {
		for _, b := range all[:n] {
			if versionOf(t, a) == versionOf(t, b) && !proto.Equal(content(a), content(b)) {
				return true
			}
		}
	}
	return false
}

func changed(e *event.Enriched) int64 {
	return max(e.Message.GetCreatedAtMs(), e.Message.GetEditedAtMs(), e.Message.GetObservedAtMs())
}

func TestTheNewestVersionWinsInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := copies(t)
		if collide(t, all) {
			t.Skip("two contents share the bits of the hash that a version has room for")
		}
		// The table keeps the greatest version, the last written among equal ones.
		survivor := func(order []int) *event.Enriched {
			best := all[order[0]]
			for _, n := range order[1:] {
				if versionOf(t, all[n]) >= versionOf(t, best) {
					best = all[n]
				}
			}
			return best
		}
		order := make([]int, len(all))
		for n := range order {
			order[n] = n
		}
		first := survivor(order)
		for _, e := range all {
			if changed(e) > changed(first) || changed(e) == changed(first) && e.Enrichment.ModelSeq > first.Enrichment.ModelSeq {
				t.Fatalf("%v beats %v", first, e)
			}
		}
		seed := rapid.Uint64().Draw(t, "order")
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		if a, b := content(first), content(survivor(order)); !proto.Equal(a, b) {
			t.Fatalf("one order leaves %v, another %v", a, b)
		}
	})
}

func TestASecondImportHasTheSameVersion(t *testing.T) {
	a, b := full(), full()
	b.Message.IngestedAtMs += 86_400_000
	if versionOf(t, a) != versionOf(t, b) {
		t.Error("the time of ingestion changes the version")
	}
	if a.Message.IngestedAtMs != full().Message.IngestedAtMs {
		t.Error("hashing changed the record")
	}
}

// The last bits of a version are a short hash: conflicting copies of one time and one model may share them, but no more often than chance has it.
func TestContentSpreadsOverItsBits(t *testing.T) {
	seen := map[uint64]bool{}
	const contents = 1000
	for n := range contents {
		e := full()
		e.Message.Text = fmt.Sprint("keluhan ke-", n)
		seen[versionOf(t, e)] = true
	}
	// 1,000 values in 4,096 places leave 887 different ones on average.
	if len(seen) < 850 {
		t.Errorf("%d contents have only %d versions", contents, len(seen))
	}
}

func TestVersionHoldsItsParts(t *testing.T) {
	e := full()
	e.Message.ObservedAtMs, e.Message.EditedAtMs = nil, nil
	e.Enrichment.ModelSeq = rows.MaxModelSeq
	v := versionOf(t, e)
	if got := int64(v >> 22); got != e.Message.CreatedAtMs {
		t.Errorf("time %d, want %d", got, e.Message.CreatedAtMs)
	}
	if got := v >> 12 & rows.MaxModelSeq; got != rows.MaxModelSeq {
		t.Errorf("model %d, want %d", got, rows.MaxModelSeq)
	}
	e.Message.EditedAtMs = ptr(ms("2095-12-31T23:59:59.999Z"))
	if got := int64(versionOf(t, e) >> 22); got != *e.Message.EditedAtMs {
		t.Errorf("the latest time that is allowed does not fit: %d, want %d", got, *e.Message.EditedAtMs)
	}
}

// A block's records are hashed in one buffer: what a longer record before leaves in it changes nothing.
func TestVersionsOfABlockAreThoseOfItsRecords(t *testing.T) {
	block := rows.NewBlock(nil, 3)
	var want []uint64
	for _, text := range []string{"air mati sejak tadi pagi di tiga gang", "air", "sudah nyala"} {
		e := full()
		e.Message.Text = text
		v, err := rows.Version(e)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, v)
		if err := block.AddEnriched(e); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range block.Tables() {
		if got := table.Columns[len(table.Columns)-1].Values; !reflect.DeepEqual(got, want) {
			t.Errorf("%s has the versions %v, want %v", table.Name, got, want)
		}
	}
}

func TestNotOlder(t *testing.T) {
	e := full()
	version := versionOf(t, e)
	later := full().Message
	later.EditedAtMs = ptr(max(e.Message.CreatedAtMs, e.Message.GetEditedAtMs(), e.Message.GetObservedAtMs()) + 1)
	for _, c := range []struct {
		name    string
		version uint64
		message *event.Message
		want    bool
	}{
		{"the record's own row", version, e.Message, true},
		{"the row of an earlier change", version, later, false},
		{"no row", 0, e.Message, false},
		{"no row, of a deletion that says nothing else", 0, &event.Message{}, false},
	} {
		if got := rows.NotOlder(c.version, c.message); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
