package verify

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// TestExtents: of the newest alone, a sink that is far behind leaves a gap between what it has stored and what enrich has made; in it nothing can be judged.
func TestExtents(t *testing.T) {
	for name, c := range map[string]struct {
		newest                int64
		first, committed, end int64
		want                  [][2]int64
		gap                   bool
	}{
		"all":             {0, 10, 500, 900, [][2]int64{{10, 900}}, false},
		"caught up":       {100, 400, 500, 500, [][2]int64{{400, 500}}, false},
		"a little behind": {100, 400, 500, 650, [][2]int64{{400, 650}}, false},
		"far behind":      {100, 400, 500, 900, [][2]int64{{400, 500}, {700, 900}}, true},
		"nothing yet":     {100, 0, -1, 900, [][2]int64{{0, 0}, {700, 900}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := &run{Config: Config{Newest: c.newest}}
			var got [][2]int64
			for _, extent := range r.extents(kafka.PartitionLag{First: c.first, Committed: c.committed, End: c.end}) {
				got = append(got, [2]int64{extent.First, extent.End})
			}
			if diff := cmp.Diff(c.want, got); diff != "" || r.gap != c.gap {
				t.Errorf("gap %v; -want +got:\n%s", r.gap, diff)
			}
		})
	}
}
