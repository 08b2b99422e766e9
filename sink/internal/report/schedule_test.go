package report

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/dwiarah/dwiarah/sink/internal/report/figures"
	"github.com/dwiarah/dwiarah/sink/internal/report/mail"
	"github.com/dwiarah/dwiarah/sink/internal/report/period"
)

// memoryRuns is a run log that lives as long as a test, as the table does beyond processes. TestRunLog holds the table to the same behaviour.
type memoryRuns struct {
	mu   sync.Mutex
	rows []Run
	fail func(Run) error
}

func (m *memoryRuns) Of(_ context.Context, report, institution string, zone *time.Location) ([]Run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	newest := map[[2]int64]Run{}
	for _, r := range m.rows {
		if r.Report == report && r.Institution == institution && r.Version >= newest[key(r.Period)].Version {
			r.Period.Zone = zone
			newest[key(r.Period)] = r
		}
	}
	var list []Run
	for _, r := range newest {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b Run) int { return a.Period.From.Compare(b.Period.From) })
	return list, nil
}

func (m *memoryRuns) Recent(context.Context, int) ([]Run, error) { return nil, nil }

func (m *memoryRuns) Record(_ context.Context, r Run) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail(r); err != nil {
			return err
		}
	}
	r.Outputs = slices.Clone(r.Outputs)
	m.rows = append(m.rows, r)
	return nil
}

// done lists the periods of each institution in the order in which they were done, as "institution period".
func (m *memoryRuns) done() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for _, r := range m.rows {
		if r.Status == StatusDone {
			list = append(list, r.Institution+" "+r.Period.String())
		}
	}
	return list
}

// quiet is a database of institutions without a message.
type quiet struct {
	institutions []figures.Institution
	read         func(period.Period) error
}

func (q quiet) Institutions(context.Context) ([]figures.Institution, error) {
	return q.institutions, nil
}

func (q quiet) Read(_ context.Context, in figures.Institution, p period.Period, _ figures.Depth) (*figures.Figures, error) {
	if q.read != nil {
		if err := q.read(p); err != nil {
			return nil, err
		}
	}
	return &figures.Figures{Institution: in, Period: p}, nil
}

// post remembers the mails that were sent.
type post struct {
	mu   sync.Mutex
	sent []string
	all  []mail.Mail
	fail func(mail.Mail) error
}

func (p *post) Send(_ context.Context, m mail.Mail) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		if err := p.fail(m); err != nil {
			return err
		}
	}
	p.sent, p.all = append(p.sent, m.Stem+" "+strings.Join(m.To, ",")), append(p.all, m)
	return nil
}

func office(t testing.TB, id, zone string) figures.Institution {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return figures.Institution{ID: id, Name: id, ZoneName: zone, Zone: loc}
}

func usual(dir string) Config {
	c := DefaultConfig()
	c.Dir = dir
	return c
}

func reports(t testing.TB, c Config, from source, runs runLog, to sender) *Reports {
	t.Helper()
	r, err := build(c, from, runs, to, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// up runs the reports for as long as the process is there, on the bubble's clock.
func up(r *Reports, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return r.Run(ctx)
}

// Whatever the pattern of uptimes and downtimes, of failures and of deaths in the middle: each period is done exactly once, in order, from the one that had ended
// when the report was first there; after a downtime longer than catch_up periods the latest catch_up ones are done.
func TestEveryPeriodIsDoneOnce(t *testing.T) {
	dir := t.TempDir()
	wib := office(t, "wib", "Asia/Jakarta")
	rapid.Check(t, func(rt *rapid.T) {
		schedule := rapid.SampledFrom([]string{"0 7 * * 1", "0 0 * * 1", "30 23 * * 0", "15 6 * * *", "*/20 * * * *"}).Draw(rt, "schedule")
		window := rapid.IntRange(1, 6).Draw(rt, "catch_up")
		type stretch struct {
			Up    bool
			Hours int
		}
		stretches := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) stretch {
			return stretch{rapid.Bool().Draw(rt, "up"), rapid.IntRange(1, 24*40).Draw(rt, "hours")}
		}), 1, 12).Draw(rt, "stretches")
		failEvery := rapid.SampledFrom([]int{0, 3, 4, 5, 7}).Draw(rt, "fail_every")        // a page takes two readings
		slow := rapid.SampledFrom([]time.Duration{0, 7 * time.Minute}).Draw(rt, "reading") // so that some ends come in the middle

		const lastHours = 8 * time.Hour // longer than the pauses after a few failures
		var problem string
		synctest.Test(t, func(t *testing.T) {
			runs, calls := &memoryRuns{}, 0
			from := quiet{institutions: []figures.Institution{wib}, read: func(period.Period) error {
				time.Sleep(slow)
				if calls++; failEvery > 0 && calls%failEvery == 0 {
					return errors.New("the database is away")
				}
				return nil
			}}
			c := usual(dir)
			c.List[0].Schedule, c.List[0].CatchUp = schedule, window
			parsed, err := parseSchedule(schedule, c.List[0].Zone)
			if err != nil {
				t.Fatal(err)
			}
			// What has to be done, told by walking the clock: while the process is up, the latest weeks that have ended and whose tick has passed, as far back as
			// catch_up goes, and no further than the one that was the latest in the beginning.
			var first period.Period
			walk := func(into map[string]bool, from, to time.Time) {
				for at := from; ; at = at.Add(6 * time.Hour) {
					if at.After(to) {
						at = to
					}
					p := period.EndedBy(at, wib.Zone)
					if tick, _ := dueAt(parsed, p); tick.After(at) {
						p = p.Previous()
					}
					if first.Zone == nil {
						first = p
					}
					for range window {
						if !p.From.Before(first.From) {
							into["wib "+p.String()] = true
						}
						p = p.Previous()
					}
					if at.Equal(to) {
						break
					}
				}
			}
			must, may := map[string]bool{}, map[string]bool{}
			for _, s := range stretches {
				d := time.Duration(s.Hours)*time.Hour + lastHours
				if !s.Up {
					time.Sleep(d)
					continue
				}
				start := time.Now()
				if err := up(reports(t, c, from, runs, &post{}), d); err != nil {
					problem = err.Error()
					return
				}
				// What failed in the last hours may not have been tried again in time.
				walk(must, start, time.Now().Add(-lastHours))
				walk(may, start, time.Now())
			}
			got := runs.done()
			if len(slices.Compact(slices.Sorted(slices.Values(got)))) != len(got) {
				problem = fmt.Sprintf("done twice: %v", got)
			}
			for _, name := range got {
				if !may[name] {
					problem = fmt.Sprintf("done and not due: %s of %v", name, got)
				}
				delete(must, name)
			}
			if len(must) > 0 {
				problem = fmt.Sprintf("not done: %v; done: %v", must, got)
			}
			if failEvery == 0 && !slices.IsSorted(got) {
				problem = fmt.Sprintf("not in order: %v", got)
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

// inBubble runs f on a clock that starts on Saturday 1 January 2000, 07:00 in Jakarta, and passes only while everything sleeps.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func TestTicksOfAZone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		runs, from := &memoryRuns{}, quiet{institutions: []figures.Institution{office(t, "wib", "Asia/Jakarta"), office(t, "wit", "Asia/Jayapura")}}
		start := time.Now()
		if err := up(reports(t, usual(t.TempDir()), from, runs, &post{}), 8*24*time.Hour); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range runs.rows {
			if r.Status == StatusDone {
				got = append(got, fmt.Sprintf("%s %s %s %s-%s after %v", r.Institution, r.Period, r.Trigger, r.Period.From.Format("2.1. 15:04"), r.Period.To.Format("2.1. 15:04"), r.StartedAt.Sub(start)))
			}
		}
		// The comparison has the report's zone, each institution its own.
		want := []string{
			"wib 1999-W51 catch_up 19.12. 17:00-26.12. 17:00 after 0s",
			"wit 1999-W51 catch_up 19.12. 15:00-26.12. 15:00 after 0s",
			"_all 1999-W51 catch_up 19.12. 17:00-26.12. 17:00 after 0s",
			"wib 1999-W52 schedule 26.12. 17:00-2.1. 17:00 after 48h0m0s",
			"wit 1999-W52 schedule 26.12. 15:00-2.1. 15:00 after 48h0m0s",
			"_all 1999-W52 schedule 26.12. 17:00-2.1. 17:00 after 48h0m0s",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// A tick that comes while the report is still being made starts no second making, and its period is made all the same.
func TestATickWhileRunningIsSkippedAndLosesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		runs, running, most := &memoryRuns{}, 0, 0
		var mu sync.Mutex
		from := quiet{institutions: []figures.Institution{office(t, "wib", "Asia/Jakarta")}, read: func(period.Period) error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(5 * 24 * time.Hour) // twice a page: ten days
			mu.Lock()
			running--
			mu.Unlock()
			return nil
		}}
		if err := up(reports(t, usual(t.TempDir()), from, runs, &post{}), 45*24*time.Hour); err != nil {
			t.Fatal(err)
		}
		if most != 1 {
			t.Errorf("%d makings at once", most)
		}
		if got, want := runs.done(), []string{"wib 1999-W51", "wib 1999-W52", "wib 2000-W01", "wib 2000-W02"}; !slices.Equal(got, want) {
			t.Errorf("done: %v, want %v", got, want)
		}
	})
}

func TestAnInterruptedRunIsTakenOver(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir, runs, letters := t.TempDir(), &memoryRuns{}, &post{}
		c := usual(dir)
		c.List[0].Recipients = []Recipients{{To: []string{"a@instansi.example"}}, {To: []string{"b@instansi.example"}}, {To: []string{"c@instansi.example"}, Institutions: []string{"other"}}}
		from := quiet{institutions: []figures.Institution{office(t, "wib", "Asia/Jakarta")}}

		// The process ends while it sends the second mail.
		ctx, cancel := context.WithCancel(t.Context())
		letters.fail = func(m mail.Mail) error {
			if m.To[0] == "b@instansi.example" {
				cancel()
				return context.Canceled
			}
			return nil
		}
		if err := reports(t, c, from, runs, letters).Run(ctx); err != nil {
			t.Fatal(err)
		}
		if got := runs.rows[len(runs.rows)-1]; got.Status != StatusRunning || len(got.Outputs) != 4 {
			t.Fatalf("after the death the log says %+v", got)
		}
		letters.fail = nil
		if err := up(reports(t, c, from, runs, letters), time.Hour); err != nil {
			t.Fatal(err)
		}
		if got, want := letters.sent, []string{"weekly-wib-1999-W51 a@instansi.example", "weekly-wib-1999-W51 b@instansi.example"}; !slices.Equal(got, want) {
			t.Errorf("sent: %v, want %v", got, want)
		}
		if got := runs.done(); !slices.Equal(got, []string{"wib 1999-W51"}) {
			t.Errorf("done: %v", got)
		}
	})
}

func TestAFailureIsTriedAgainAndKeepsNoOtherWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		runs, letters := &memoryRuns{}, &post{}
		c := usual(t.TempDir())
		c.List[0].Recipients = []Recipients{{To: []string{"a@instansi.example"}, Institutions: []string{"satu"}}, {To: []string{"b@instansi.example"}, Institutions: []string{"dua"}}}
		start := time.Now()
		letters.fail = func(m mail.Mail) error {
			if m.To[0] == "a@instansi.example" && time.Since(start) < 20*time.Minute {
				return errors.New("421 try again later")
			}
			return nil
		}
		from := quiet{institutions: []figures.Institution{office(t, "dua", "Asia/Jakarta"), office(t, "satu", "Asia/Jakarta")}}
		if err := up(reports(t, c, from, runs, letters), 3*time.Hour); err != nil {
			t.Fatal(err)
		}
		if got, want := letters.sent, []string{"weekly-dua-1999-W51 b@instansi.example", "weekly-satu-1999-W51 a@instansi.example"}; !slices.Equal(got, want) {
			t.Errorf("sent: %v, want %v", got, want)
		}
		var failed Run
		for _, r := range runs.rows {
			if r.Status == StatusFailed {
				failed = r
			}
		}
		if failed.Institution != "satu" || failed.Error != "421 try again later" || failed.FinishedAt == nil {
			t.Errorf("the log's failure is %+v", failed)
		}
		if got, want := runs.done(), []string{"dua 1999-W51", "_all 1999-W51", "satu 1999-W51"}; !slices.Equal(got, want) {
			t.Errorf("done: %v, want %v", got, want)
		}
	})
}

func TestByHand(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir, runs, letters := t.TempDir(), &memoryRuns{}, &post{}
		c := usual(dir)
		c.List[0].Recipients = []Recipients{{To: []string{"a@instansi.example"}}}
		from := quiet{institutions: []figures.Institution{office(t, "wib", "Asia/Jakarta")}}
		r := reports(t, c, from, runs, letters)

		// A look at a week that is still under way leaves no trace but its files.
		made, err := r.RunOnce(t.Context(), Order{Report: "weekly", Period: "1999-W52", Dir: t.TempDir()})
		if err != nil || len(made) != 1 || len(made[0].Files) != 3 || len(runs.rows)+len(letters.sent) != 0 {
			t.Fatalf("a look: %+v, %v; %d rows, %d mails", made, err, len(runs.rows), len(letters.sent))
		}
		for _, o := range []Order{
			{Report: "weekly", Period: "1999-W52"},
			{Report: "daily", Period: "1999-W51"},
			{Report: "weekly", Period: "yesterday"},
			{Report: "weekly", Period: "1999-W51", Institution: "other"},
		} {
			if _, err := r.RunOnce(t.Context(), o); err == nil {
				t.Errorf("%+v was made", o)
			}
		}
		if _, err := r.RunOnce(t.Context(), Order{Report: "weekly", Period: "1999-W51", Institution: "wib"}); err != nil {
			t.Fatal(err)
		}
		// The schedule has nothing left to do for that week, and a second run by hand sends no second mail.
		if err := up(r, time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, err := r.RunOnce(t.Context(), Order{Report: "weekly", Period: "1999-W51"}); err != nil {
			t.Fatal(err)
		}
		if len(letters.sent) != 1 {
			t.Errorf("sent: %v", letters.sent)
		}
		// A run by hand that fails does not undo what was done.
		from.read = func(period.Period) error { return errors.New("the database is away") }
		if _, err := reports(t, c, from, runs, letters).RunOnce(t.Context(), Order{Report: "weekly", Period: "1999-W51"}); err == nil {
			t.Error("a failure is no error")
		}
		if state, _ := runs.Of(t.Context(), "weekly", "wib", time.UTC); len(state) != 1 || state[0].Status != StatusDone {
			t.Errorf("the log says %+v", state)
		}
	})
}

// A drawing or a template that panics is the failure of one page.
func TestAPanicIsAFailure(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		runs := &memoryRuns{}
		from := quiet{institutions: []figures.Institution{office(t, "wib", "Asia/Jakarta")}, read: func(period.Period) error { panic("an index out of range") }}
		if err := up(reports(t, usual(t.TempDir()), from, runs, &post{}), time.Minute); err != nil {
			t.Fatal(err)
		}
		if last := runs.rows[len(runs.rows)-1]; last.Status != StatusFailed || !strings.Contains(last.Error, "an index out of range") {
			t.Errorf("the log says %+v", last)
		}
	})
}

func TestDisabled(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		runs, c := &memoryRuns{}, usual(t.TempDir())
		c.Enabled = false
		if err := up(reports(t, c, quiet{institutions: []figures.Institution{office(t, "wib", "Asia/Jakarta")}}, runs, &post{}), 30*24*time.Hour); err != nil {
			t.Fatal(err)
		}
		if len(runs.rows) > 0 {
			t.Errorf("made: %v", runs.done())
		}
	})
}

func TestConfigIsRefused(t *testing.T) {
	problems := func(change func(c *Config)) string {
		c := DefaultConfig()
		change(&c)
		var list []string
		c.Validate(func(key string, value any, allowed string) { list = append(list, key) })
		return strings.Join(list, " ")
	}
	f := func(want string, change func(c *Config)) {
		t.Helper()
		if got := problems(change); got != want {
			t.Errorf("problems with %q, want %q", got, want)
		}
	}
	f("", func(*Config) {})
	f("dir", func(c *Config) { c.Dir = "" })
	f("list[0].name", func(c *Config) { c.List[0].Name = "../weekly" })
	f("list[1].name", func(c *Config) { c.List = append(c.List, c.List[0]) })
	f("list[0].zone", func(c *Config) { c.List[0].Zone = "" })
	f("list[0].zone", func(c *Config) { c.List[0].Zone = "Asia/Bandung" })
	f("list[0].schedule", func(c *Config) { c.List[0].Schedule = "on Mondays" })
	f("list[0].schedule", func(c *Config) { c.List[0].Schedule = "TZ=UTC 0 7 * * 1" })
	f("list[0].schedule", func(c *Config) { c.List[0].Schedule = "0 7 30 2 *" })
	f("list[0].language", func(c *Config) { c.List[0].Language = "fr" })
	f("list[0].catch_up", func(c *Config) { c.List[0].CatchUp = -1 })
	f("list[0].recipients[0].to smtp.host smtp.from", func(c *Config) { c.List[0].Recipients = []Recipients{{}} })
	f("list[0].recipients[0].to[0]", func(c *Config) {
		c.List[0].Recipients = []Recipients{{To: []string{"a@x.example\r\nBcc: b@x.example"}}}
		c.SMTP.Host, c.SMTP.From = "mail.example", "laporan@instansi.example"
	})
	f("smtp.tls", func(c *Config) {
		c.List[0].Recipients = []Recipients{{To: []string{"a@x.example"}}}
		c.SMTP.Host, c.SMTP.From, c.SMTP.TLS = "mail.example", "laporan@instansi.example", "maybe"
	})
}

func TestNamesStayInTheFolder(t *testing.T) {
	for _, name := range []string{"../x", "a/b", "", ".hidden", "a\x00", "-rf"} {
		if _, err := writeFolder(t.TempDir(), name, nil); err == nil {
			t.Errorf("%q was written", name)
		}
	}
}
