package source_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
)

var errCall = errors.New("no answer")

// Whatever the sizes of pages, the caps, the failed calls, the expired tokens and the restarts: in the end every entry was taken, and none twice that a restart
// did not repeat. F14.
func TestNewestMissesNothing(t *testing.T) {
	begin := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		size, limit := rapid.IntRange(1, 7).Draw(t, "page size"), rapid.IntRange(1, 4).Draw(t, "cap")
		overlap := time.Duration(rapid.IntRange(0, 5).Draw(t, "overlap")) * time.Second
		var all []source.Entry // the oldest first
		seen := map[string]int{}
		at := source.Newest{Since: begin}
		errExpired := errors.New("expired")
		for range rapid.IntRange(1, 12).Draw(t, "walks") {
			for range rapid.IntRange(0, 12).Draw(t, "new entries") {
				n := len(all)
				all = append(all, source.Entry{ID: fmt.Sprint(n), At: begin.Add(time.Duration(n+1) * time.Second)})
			}
			newest := slices.Clone(all)
			slices.Reverse(newest)
			failAt, expires := rapid.IntRange(0, 6).Draw(t, "call that fails"), rapid.Bool().Draw(t, "token expires")
			// A restart goes on from what was emitted last.
			saved, err := json.Marshal(at)
			if err != nil {
				t.Fatal(err)
			}
			var working source.Newest
			if err := json.Unmarshal(saved, &working); err != nil {
				t.Fatal(err)
			}
			var page []source.Entry
			calls := 0
			_, err = working.Walk(context.Background(), source.Reading{
				Cap: limit, Overlap: overlap, Expired: func(err error) bool { return errors.Is(err, errExpired) },
				Read: func(_ context.Context, token string) ([]source.Entry, string, error) {
					calls++
					if calls == failAt {
						return nil, "", errCall
					}
					from := 0
					if token != "" {
						if expires {
							expires = false
							return nil, "", errExpired
						}
						// Tokens name the entry that the page begins with, so that new entries move nothing.
						from = slices.IndexFunc(newest, func(e source.Entry) bool { return e.ID == token })
					}
					page = newest[from:min(len(newest), from+size)]
					next := ""
					if from+size < len(newest) {
						next = newest[from+size].ID
					}
					return page, next, nil
				},
				Take: func(_ context.Context, fresh []int) error {
					for _, i := range fresh {
						seen[page[i].ID]++
					}
					saved, err := json.Marshal(working)
					if err != nil {
						return err
					}
					at = source.Newest{}
					return json.Unmarshal(saved, &at)
				},
			})
			if err != nil && !errors.Is(err, errCall) && !errors.Is(err, errExpired) {
				t.Fatal(err)
			}
		}
		newest := slices.Clone(all)
		slices.Reverse(newest)
		for walks := 0; ; walks++ {
			if walks > 200 {
				t.Fatal("the walk is never done")
			}
			var page []source.Entry
			capped, err := at.Walk(context.Background(), source.Reading{
				Cap: limit, Overlap: overlap,
				Read: func(_ context.Context, token string) ([]source.Entry, string, error) {
					from := 0
					if token != "" {
						from = slices.IndexFunc(newest, func(e source.Entry) bool { return e.ID == token })
					}
					page = newest[from:min(len(newest), from+size)]
					next := ""
					if from+size < len(newest) {
						next = newest[from+size].ID
					}
					return page, next, nil
				},
				Take: func(_ context.Context, fresh []int) error {
					for _, i := range fresh {
						seen[page[i].ID]++
					}
					return nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if !capped {
				break
			}
		}
		for _, e := range all {
			if seen[e.ID] == 0 {
				t.Fatalf("entry %s of %d was missed; the place is %+v", e.ID, len(all), at)
			}
		}
	})
}

func TestNewestEndsWhereNothingIsNew(t *testing.T) {
	var at source.Newest
	calls := 0
	capped, err := at.Walk(t.Context(), source.Reading{
		Cap: 50,
		Read: func(context.Context, string) ([]source.Entry, string, error) {
			calls++
			return []source.Entry{{ID: "1", At: time.Unix(1, 0)}}, "for ever", nil
		},
		Take: func(context.Context, []int) error { return nil },
	})
	if capped || err != nil || calls != 2 || at.Token != "" {
		t.Errorf("%d calls, capped %v, %v, %+v", calls, capped, err, at)
	}
}
