// Package chaos runs the whole pipeline as processes of their own under a load, does to them what a seed decides, and then holds the tables against a
// ledger of what was sent: nothing lost, nothing twice, every view as a calm sink computes it from the same log.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/fleet"
	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
	"github.com/dwiarah/dwiarah/schemas/kit/freeport"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// Config is a run.
type Config struct {
	Seed    uint64
	Faults  string        // "all", "none", or a list as "F1,F4"
	For     time.Duration // how long the load and the faults last
	Every   time.Duration // between two faults, on average; 0 means 2 s
	Rate    int           // lines of archives a second; 0 means 500
	Away    time.Duration // how long ClickHouse is away when it is, on average; 0 means 8 s
	Dir     string        // everything is kept here; left behind for whoever wants to look
	Kafka   string        // folder of Apache Kafka's jars, to run on that in place of the embedded broker
	Flat    bool          // what the processes take may not grow after the first quarter
	Verbose func(string)  // told of every fault; may be nil
}

// Verdict is what a run showed.
type Verdict struct {
	Held                                 bool
	Problems                             []string
	Lines, Messages, Stored, DeadLetters int
	Struck                               map[string]int                // faults by what they were
	Standstill                           time.Duration                 // the longest time in which the sink committed nothing although something waited
	Drained                              time.Duration                 // from the end of the faults until nothing waited
	Footprints                           map[string][2]fleet.Footprint // after the first quarter of the run and at its end
	Parts                                [2]int                        // active parts of the tables, likewise
	config                               Config
}

const (
	stopPatience  = 60 * time.Second
	startPatience = 4 * time.Minute // a JVM on a busy machine
	drainPatience = 5 * time.Minute
	// tick is how often an archive comes.
	tick                   = 200 * time.Millisecond
	databaseName, calmName = "dwiarah", "calm"
)

// harness is a run under way.
type harness struct {
	ctx                          context.Context
	cfg                          Config
	rng                          *rand.Rand
	engine                       *engine.Engine
	broker, ingest, enrich, sink *fleet.Process
	toKafka, toClickHouse        *link
	front                        *front
	away                         bool // ClickHouse is
	load                         *load
	conn                         kafka.Conn
	verdict                      Verdict
	mending                      sync.WaitGroup // what takes long and must not hold up the load
	mu                           sync.Mutex     // over verdict.Problems
}

// Run does a run. The error is of the harness; what the run showed is in the verdict.
func Run(ctx context.Context, cfg Config) (v Verdict, err error) {
	if cfg.Every == 0 {
		cfg.Every = 2 * time.Second
	}
	if cfg.Rate == 0 {
		cfg.Rate = 500
	}
	if cfg.Away == 0 {
		cfg.Away = 8 * time.Second
	}
	if cfg.Verbose == nil {
		cfg.Verbose = func(string) {}
	}
	faults, err := parseFaults(cfg.Faults)
	if err != nil {
		return Verdict{}, err
	}
	h := &harness{ctx: ctx, cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 1)), verdict: Verdict{Struck: map[string]int{}, Footprints: map[string][2]fleet.Footprint{}, config: cfg}}
	defer func() {
		if closeErr := h.close(); closeErr != nil {
			err = errors.Join(err, closeErr)
		}
	}()
	if err := h.start(); err != nil {
		return Verdict{}, err
	}
	if err := h.storm(faults); err != nil {
		return Verdict{}, err
	}
	if err := h.drain(); err != nil {
		return Verdict{}, err
	}
	if err := h.judge(); err != nil {
		return Verdict{}, err
	}
	if cfg.Flat {
		h.judgeFlat()
	}
	h.verdict.Held = len(h.verdict.Problems) == 0
	return h.verdict, nil
}

func (h *harness) problem(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.verdict.Problems = append(h.verdict.Problems, fmt.Sprintf(format, args...))
}

func (h *harness) some(most time.Duration) time.Duration {
	return time.Duration(h.rng.Int64N(int64(most)))
}

func (h *harness) start() (err error) {
	r := fleet.Role{Dir: h.cfg.Dir, Database: databaseName}
	for _, dir := range []string{r.Dir, r.Inbox()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(r.Institutions(), []byte(institutionsYAML), 0o600); err != nil {
		return err
	}
	if _, err := ingest.InitKeys(r.Keys()); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(r.Dir, "engine.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if h.engine, err = engine.Start(h.ctx, engine.Config{DataDir: filepath.Join(r.Dir, "clickhouse"), Supervise: true, Logger: slog.New(slog.NewTextHandler(log, nil))}); err != nil {
		return err
	}
	if h.front, err = newFront(h.engine.Addr()); err != nil {
		return err
	}
	if h.toClickHouse, err = newLink("ClickHouse", h.front.addr); err != nil {
		return err
	}
	// The broker tells its clients the proxy's address, and keeps its own over every restart.
	if r.Listen, err = freeport.Loopback(); err != nil {
		return err
	}
	if h.toKafka, err = newLink("Kafka", r.Listen); err != nil {
		return err
	}
	r.KafkaJars = h.cfg.Kafka
	if r.Control, err = freeport.Loopback(); err != nil {
		return err
	}
	r.Kafka, r.ClickHouse = h.toKafka.addr(), "http://"+h.toClickHouse.addr()
	h.conn = kafka.Conn{Brokers: []string{r.Kafka}, ClientID: "chaos"}
	for _, p := range []struct {
		name string
		into **fleet.Process
	}{{fleet.Broker, &h.broker}, {fleet.Ingest, &h.ingest}, {fleet.Enrich, &h.enrich}, {fleet.Sink, &h.sink}} {
		one := r
		one.Name = p.name
		if one.Telemetry, err = freeport.Loopback(); err != nil {
			return err
		}
		*p.into = fleet.New(one)
		if err := (*p.into).Start(); err != nil {
			return err
		}
		if p.name == fleet.Broker {
			ctx, cancel := context.WithTimeout(h.ctx, startPatience)
			err := kafka.EnsureTopics(ctx, h.conn, fleet.Topics())
			cancel()
			if err != nil {
				return errors.Join(err, errors.New(strings.Join((*p.into).Troubles(), "; ")))
			}
		}
	}
	h.load = newLoad(rand.New(rand.NewPCG(h.cfg.Seed, 2)), r.Inbox())
	return h.warmUp()
}

// warmUp returns when a first archive has gone all the way: faults are to meet a pipeline at work, not one that still makes its tables.
func (h *harness) warmUp() error {
	if err := h.load.write(h.perTick()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(h.ctx, startPatience)
	defer cancel()
	for {
		s, err := h.lag(ctx)
		if err == nil && s.enriched > 0 && s.waiting == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for a first archive to go all the way: %+v, %w; %s", s, errors.Join(err, context.Cause(ctx)), strings.Join(h.troubles(), "; "))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// perTick is how many lines an archive has.
func (h *harness) perTick() int { return max(1, h.cfg.Rate*int(tick)/int(time.Second)) }

// standing is how far the stages are.
type standing struct{ raw, enriched, waiting int64 }

func (h *harness) lag(ctx context.Context) (s standing, err error) {
	raw, err := kafka.Lag(ctx, h.conn, "dwiarah-enrich", schemas.TopicRaw)
	if err != nil {
		return s, err
	}
	enriched, err := kafka.Lag(ctx, h.conn, "dwiarah-sink", schemas.TopicEnriched, schemas.TopicLedger)
	if err != nil {
		return s, err
	}
	for _, l := range raw {
		s.raw += l.End
		s.waiting += l.Behind()
	}
	for _, l := range enriched {
		s.enriched += l.End - l.Behind()
		s.waiting += l.Behind()
	}
	return s, nil
}

// storm is the load, and the faults meanwhile.
func (h *harness) storm(faults []string) error {
	begun := time.Now()
	end := begun.Add(h.cfg.For)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var pending []due
	strikeAt := begun.Add(h.some(2 * h.cfg.Every))
	measured := false
	moved, position := time.Now(), int64(-1)
	asked := time.Now()
	for now := begun; now.Before(end); {
		select {
		case <-h.ctx.Done():
			return context.Cause(h.ctx)
		case now = <-ticker.C:
		}
		if err := h.load.write(h.perTick()); err != nil {
			return err
		}
		for i := 0; i < len(pending); {
			if now.Before(pending[i].at) {
				i++
				continue
			}
			pending[i].carryOut(h)
			pending = slices.Delete(pending, i, i+1)
		}
		if len(faults) > 0 && now.After(strikeAt) {
			what, then, err := h.strike(faults[h.rng.IntN(len(faults))])
			if err != nil {
				return err
			}
			if what != "" {
				h.cfg.Verbose(fmt.Sprintf("%6.1fs %s", now.Sub(begun).Seconds(), what))
				h.verdict.Struck[what[:kindLength(what)]]++
			}
			for _, l := range then {
				pending = append(pending, due{now.Add(l.after), l.do})
			}
			strikeAt = now.Add(h.some(2 * h.cfg.Every))
		}
		if now.Sub(asked) > time.Second {
			asked = now
			ctx, cancel := context.WithTimeout(h.ctx, 500*time.Millisecond)
			if s, err := h.lag(ctx); err == nil {
				if s.enriched != position || s.waiting == 0 {
					moved, position = now, s.enriched
				}
			}
			cancel()
			h.verdict.Standstill = max(h.verdict.Standstill, now.Sub(moved))
		}
		if !measured && now.Sub(begun) > h.cfg.For/4 {
			measured = true
			h.measure(0)
		}
	}
	h.measure(1)
	for _, d := range pending {
		d.carryOut(h)
	}
	h.mending.Wait()
	h.front.count(h.verdict.Struck)
	h.toKafka.heal(h.ctx)
	h.toClickHouse.heal(h.ctx)
	return nil
}

// due is a part of a fault whose time is known.
type due struct {
	at time.Time
	do func() error
}

func (d due) carryOut(h *harness) {
	if err := d.do(); err != nil {
		h.problem("going on with a fault: %v", err)
	}
}

// kindLength cuts the details of a fault off its name, so that faults of a kind are counted together.
func kindLength(what string) int {
	for _, sign := range []string{" at ", ", "} {
		if at := strings.Index(what, sign); at > 0 {
			return at
		}
	}
	return len(what)
}

// footprint is what a process takes now; nothing where it is dead.
func (h *harness) footprint(p *fleet.Process) fleet.Footprint {
	f, err := p.Footprint()
	if err != nil {
		return fleet.Footprint{}
	}
	return f
}

// measure notes what the processes take; n is 0 early and 1 at the end.
func (h *harness) measure(n int) {
	for _, p := range []*fleet.Process{h.ingest, h.enrich, h.sink} {
		if f, err := p.Footprint(); err == nil {
			both := h.verdict.Footprints[p.Role.Name]
			both[n] = f
			h.cfg.Verbose(fmt.Sprintf("%s takes %d MB, %d descriptors, %d goroutines", p.Role.Name, f.RSS>>20, f.Descriptors, f.Goroutines))
			h.verdict.Footprints[p.Role.Name] = both
		}
	}
	if conn, err := h.database(databaseName); err == nil {
		var parts uint64
		if conn.QueryRow(h.ctx, "SELECT count() FROM system.parts WHERE active AND database = {d:String}", named("d", databaseName)).Scan(&parts) == nil {
			h.verdict.Parts[n] = int(parts)
			h.cfg.Verbose(fmt.Sprintf("the tables have %d parts", parts))
		}
		conn.Close()
	}
}

// drain waits until everything that was sent has gone all the way.
func (h *harness) drain() error {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(h.ctx, drainPatience)
	defer cancel()
	var last standing
	var lastErr error
	for quiet := 0; quiet < 2; { // twice: what is produced between two questions is seen by the second
		select {
		case <-ctx.Done():
			h.problem("after %v something still waits: %+v, %v; %s", drainPatience, last, lastErr, strings.Join(h.troubles(), "; "))
			return nil
		case <-time.After(200 * time.Millisecond):
		}
		done, err := h.ingest.Role.Imported()
		if err != nil {
			return err
		}
		last, lastErr = h.lag(ctx)
		if lastErr == nil && last.waiting == 0 && len(done) == h.load.ledger.files {
			quiet++
		} else {
			quiet = 0
		}
	}
	h.verdict.Drained = time.Since(begun)
	return nil
}

func (h *harness) troubles() []string {
	var all []string
	for _, p := range []*fleet.Process{h.broker, h.ingest, h.enrich, h.sink} {
		if p == nil {
			continue
		}
		all = append(all, p.Troubles()...)
	}
	return all
}

func (h *harness) close() error {
	var errs []error
	for _, p := range []*fleet.Process{h.ingest, h.enrich, h.sink, h.broker} {
		if p != nil {
			errs = append(errs, p.Stop(stopPatience))
		}
	}
	for _, l := range []*link{h.toKafka, h.toClickHouse} {
		if l != nil {
			l.close()
		}
	}
	if h.front != nil {
		errs = append(errs, h.front.close())
	}
	if h.engine != nil {
		errs = append(errs, h.engine.Close())
	}
	return errors.Join(errs...)
}

// String is the one line of a verdict.
func (v Verdict) String() string {
	word := "HELD"
	if !v.Held {
		word = "BROKEN"
	}
	var struck []string
	for what, n := range v.Struck {
		struck = append(struck, fmt.Sprintf("%s %d", what, n))
	}
	slices.Sort(struck)
	var sizes []string
	for _, name := range []string{fleet.Ingest, fleet.Enrich, fleet.Sink} {
		f := v.Footprints[name]
		sizes = append(sizes, fmt.Sprintf("%s %d→%d MB %d→%d fd %d→%d goroutines", name, f[0].RSS>>20, f[1].RSS>>20, f[0].Descriptors, f[1].Descriptors, f[0].Goroutines, f[1].Goroutines))
	}
	line := fmt.Sprintf("%s seed %d: %d lines sent, %d messages stored of %d visible ones, %d dead letters; %s; longest standstill %.1fs, drained in %.1fs; %s, parts %d→%d; replay: make chaos SEED=%d FAULTS=%s SECONDS=%.0f",
		word, v.config.Seed, v.Lines, v.Stored, v.Messages, v.DeadLetters, strings.Join(struck, ", "), v.Standstill.Seconds(), v.Drained.Seconds(),
		strings.Join(sizes, ", "), v.Parts[0], v.Parts[1], v.config.Seed, v.config.Faults, v.config.For.Seconds())
	if !v.Held {
		line += "\n  " + strings.Join(v.Problems, "\n  ")
	}
	return line
}
