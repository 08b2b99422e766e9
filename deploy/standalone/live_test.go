package main

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/dwiarah/dwiarah/ingest/field"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/clickhouse/clickhousetest"
)

// TestLiveDemonstration: it ends without an error only once everything on the simulated platforms has arrived, and nothing else.
func TestLiveDemonstration(t *testing.T) {
	t.Parallel()
	c := demoCommand{listen: listen{ClickHouse: "127.0.0.1:0", Kafka: "127.0.0.1:0", Page: "127.0.0.1:0", LogLevel: defaultLogLevel}, Data: t.TempDir(), Exit: true}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	how := show{steps: 16, every: time.Second, away: schemas.PlatformBluesky, from: 3, until: 7}
	if err := c.live(ctx, slog.New(slog.DiscardHandler), how); err != nil {
		t.Fatal(err)
	}
}

// TestArrivalsSeeWhatIsWrong: a post that is missing, one that stands in its first version, one that should be gone, and one that nobody wrote.
func TestArrivalsSeeWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, conn := clickhousetest.Migrated(t)
	if err := conn.Exec(t.Context(), `INSERT INTO message_facts (institution, platform, message_id, message_key, created_at, edited_at, expires_at)
SELECT {i:String}, 'x', m.1, concat(m.1, 'fedcba987654321'), now(), m.2, now() + 1000000 FROM (SELECT arrayJoin([('a', NULL), ('b', now()), ('c', NULL), ('d', NULL)]) AS m)`, clickhouse.Named("i", field.Institution)); err != nil {
		t.Fatal(err)
	}
	f := func(want bool, posts ...field.Post) {
		t.Helper()
		for n := range posts {
			posts[n].Platform = schemas.PlatformX
		}
		all, err := arrivals(t.Context(), conn, posts)
		if err != nil {
			t.Fatal(err)
		}
		if got := all[schemas.PlatformX].whole(); got != want {
			t.Errorf("%v: whole %v, want %v", posts, got, want)
		}
	}
	a, c, d := field.Post{MessageID: "a"}, field.Post{MessageID: "c"}, field.Post{MessageID: "d"}
	edited := field.Post{MessageID: "b", Edited: true, Told: true}
	f(true, a, edited, c, d)
	f(false, a, edited, c, d, field.Post{MessageID: "e"})
	f(false, a, edited, c)
	f(false, a, edited, c, field.Post{MessageID: "d", Edited: true, Told: true})
	f(false, a, edited, c, field.Post{MessageID: "d", Deleted: true, Told: true})
	f(true, a, edited, c, field.Post{MessageID: "d", Deleted: true})
	f(true, a, edited, c, d, field.Post{MessageID: "e", Deleted: true, Told: true})
}
