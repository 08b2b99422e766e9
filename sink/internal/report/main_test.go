package report

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/clickhouse"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/identitykey"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/sample"
	"github.com/dwiarah/dwiarah/sink/internal/rows"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// bundled is the bundled sample in a database, with its answer key: true labels, held for certain, hashes of contents and counts of followers as ingest
// makes them. The tests that only read share it.
type bundled struct {
	once     sync.Once
	database string
	sample   *sample.Sample
}

var sampled bundled

// sampleDatabase returns a connection to a database that holds the bundled sample.
func sampleDatabase(t *testing.T) (driver.Conn, *sample.Sample) {
	t.Helper()
	addr := storetest.Shared(t)
	sampled.once.Do(func() {
		var err error
		if sampled.sample, err = sample.Generate(sample.Options{}); err != nil {
			t.Fatal(err)
		}
		database := storetest.Database(t, addr)
		s := storetest.Open(t, storetest.Config(addr, database))
		if _, err := clickhouse.LoadCalendars(t.Context(), s.Conn()); err != nil {
			t.Fatal(err)
		}
		directory, err := institutions.Parse(sample.InstitutionsFile, sampled.sample.Institutions)
		if err != nil {
			t.Fatal(err)
		}
		settle(t, s, directory)
		ring, err := identitykey.Parse("identity " + strings.Repeat("5a", 32) + "\nauthor sample " + strings.Repeat("a5", 32))
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range directory.All() {
			world := sampled.sample.World(in.ID)
			block := rows.NewBlock(nil, len(world.Messages))
			for _, e := range world.Messages {
				if m := e.Message; m.AuthorFollowers != nil && m.Direction == schemas.Outbound {
					block.AddLedger(&event.LedgerEntry{Entry: &event.LedgerEntry_Snapshot{Snapshot: &event.AccountSnapshot{
						Institution: in.ID, Platform: m.Platform, Account: m.Account, ObservedAtMs: cmp.Or(m.GetObservedAtMs(), m.CreatedAtMs), Followers: m.AuthorFollowers,
					}}})
				}
				e.Message.TextHash, e.Message.LinkHashes = ring.ContentHashes(e.Message.Text)
				// Rows expire by the wall clock; the sample is of any year.
				e.Message.IngestedAtMs = time.Date(2096, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
				e.Message.Connector = "archive"
				if e.Enrichment != nil {
					e.Enrichment.ModelVersion = "true labels"
					certain := map[string]*float32{schemas.Negative: &e.Enrichment.PNegative, schemas.Neutral: &e.Enrichment.PNeutral, schemas.Positive: &e.Enrichment.PPositive}
					if p := certain[e.Enrichment.Sentiment]; p != nil {
						*p = 1
					}
				}
				if err := block.AddEnriched(e); err != nil {
					t.Fatal(err)
				}
			}
			write(t, s, block)
			block = rows.NewBlock(nil, 0)
			for _, c := range world.Coverage {
				block.AddLedger(&event.LedgerEntry{Entry: &event.LedgerEntry_Coverage{Coverage: c}})
			}
			write(t, s, block)
		}
		sampled.database = database
	})
	if sampled.database == "" {
		t.Fatal("the sample could not be stored; an earlier test says why")
	}
	return storetest.Open(t, storetest.Config(addr, sampled.database)).Conn(), sampled.sample
}

func write(t *testing.T, s *store.Store, block *rows.Block) {
	t.Helper()
	for _, table := range block.Tables() {
		if err := s.Insert(t.Context(), table); err != nil {
			t.Fatal(err)
		}
	}
}

// settle writes the institutions' settings as the sink does when it starts.
func settle(t *testing.T, s *store.Store, directory *institutions.Directory) {
	t.Helper()
	for _, in := range directory.All() {
		_, offset := time.Now().In(in.Location()).Zone()
		if err := s.Conn().Exec(context.Background(), "INSERT INTO institution_settings VALUES (?, ?, ?, ?, ?, now64(3))", in.ID, in.Name, in.Zone, offset, in.Calendar); err != nil {
			t.Fatal(err)
		}
	}
}
