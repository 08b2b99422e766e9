package x

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/budget"
	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/source"
	"github.com/dwiarah/dwiarah/ingest/internal/source/sourcetest"
	"github.com/dwiarah/dwiarah/ingest/internal/x/xtest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
)

// office is one institution of the simulated week.
type office struct {
	world  *conversation.World
	source *Source
	cursor json.RawMessage
	got    map[string]bool
	// covered is up to when everything was read; gaps says why it was not, how often.
	covered time.Time
	gaps    map[string]int
	rate    int // threads an hour
}

// A week of twenty institutions that write more than the money reaches for: the bill never exceeds the day's dollars, not by a cent, the purse knows the bill,
// and what was not read lies in a gap of the reason budget.
func TestAWeekOfTwentyInstitutions(t *testing.T) {
	const institutionsN, hours, dayLimit, weekLimit = 20, 7 * 24, 3_000_000, 18_000_000
	clock := sourcetest.NewClock(conversation.Start)
	bill := xtest.NewBill()
	purses := budget.NewPurses(t.TempDir(), clock.Now)
	random := rand.New(rand.NewPCG(20, 7))
	var file strings.Builder
	file.WriteString("institutions:\n")
	for n := range institutionsN {
		fmt.Fprintf(&file, "  - {id: kota-%d, name: Kota, zone: Asia/Jakarta, accounts: {x: [{handle: layanan_%d}]}, purpose: p, legal_basis: l, retention: {text_days: 90, facts_days: 395}}\n", n, n)
	}
	directory, err := institutions.Parse("institutions.yaml", []byte(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	offices := make([]*office, institutionsN)
	for n := range offices {
		o := &office{world: conversation.NewWorld(), got: map[string]bool{}, gaps: map[string]int{}, rate: random.IntN(4)}
		o.world.Official = fmt.Sprintf("layanan_%d", n)
		server := httptest.NewServer(&xtest.Server{World: o.world, Now: clock.Now, Bill: bill})
		defer server.Close()
		institution, account := directory.Owner("x", o.world.Official)
		settings := DefaultSettings()
		settings.DayLimit, settings.MonthLimit, settings.Lookback = dayLimit, weekLimit, config.Duration(time.Hour)
		o.source, err = newSource(source.Environment{
			Config: source.Config{BaseURL: server.URL, Token: config.NewSecret(xtest.Token), AllowPrivate: true}.WithDefaults(), Settings: settings, Purses: purses,
			Account: source.Account{Institution: institution, Account: account}, Directory: directory, Log: slog.New(slog.DiscardHandler), Now: clock.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer o.source.Close()
		offices[n] = o
	}
	written := 0
	for hour := range hours {
		clock.Add(time.Hour)
		for _, o := range offices {
			for range o.rate {
				// The world's own ids tell the time in seconds since its start.
				o.world.Skip(clock.Now().Add(-time.Duration(random.IntN(3000)) * time.Second))
				ask := o.world.Write(fmt.Sprintf("warga%d", 1+random.IntN(9)), "", "tanya")
				o.world.Write(o.world.Official, ask, "jawab")
				written += 2
			}
		}
		// Who waits longest is served first, as the poller does.
		for i := range offices {
			o := offices[(hour+i)%len(offices)]
			err := o.source.Poll(context.Background(), o.cursor, func(_ context.Context, p source.Page) error {
				for _, item := range p.Items {
					o.got[item.Message.MessageID] = true
				}
				if p.Cursor != nil {
					o.cursor = p.Cursor
				}
				if !p.CompleteUntil.IsZero() {
					o.covered = p.CompleteUntil
				}
				return nil
			})
			if err != nil {
				o.gaps[source.GapReason(err)]++
			}
		}
	}
	var sum int64
	for day, spent := range bill.Days {
		sum += spent
		if spent > dayLimit {
			t.Errorf("on %s X charges $%d.%06d of $%d", day, spent/1e6, spent%1e6, dayLimit/1_000_000)
		}
	}
	lines := offices[0].source.purse.Lines()
	purse := lines[1].Limit - lines[1].Left
	if sum > weekLimit || sum > purse {
		t.Errorf("X charges %d, the purse knows of %d, the limit is %d", sum, purse, weekLimit)
	}
	unread, reasons := 0, map[string]int{}
	for _, o := range offices {
		o.world.Lock()
		for _, p := range o.world.Posts {
			if o.got[xtest.ID(p.ID)] {
				continue
			}
			unread++
			// What was not read is not called complete.
			if !p.Created.After(o.covered) {
				t.Errorf("a post of %s was not read, and coverage reaches to %s", p.Created, o.covered)
			}
		}
		o.world.Unlock()
		for reason, n := range o.gaps {
			reasons[reason] += n
		}
	}
	if unread == 0 || reasons[schemas.GapBudget] == 0 || len(reasons) != 1 {
		t.Errorf("%d posts unread, gaps %v", unread, reasons)
	}
	t.Logf("%d posts written, %d not read; X charges $%d.%06d, the purse counts $%d.%06d, of $%d; polls that ended as a gap: %v",
		written, unread, sum/1e6, sum%1e6, purse/1e6, purse%1e6, weekLimit/1_000_000, reasons)
}
