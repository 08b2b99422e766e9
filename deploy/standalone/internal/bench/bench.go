// Package bench measures the whole way, from an archive to a row that can be queried, with each stage a process of its own, and beside it in the same run
// what the engine alone takes for the same rows. A shared machine makes times long; CPU per message and ratios stay.
package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/deploy/standalone/internal/fleet"
	"github.com/dwiarah/dwiarah/ingest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
	"github.com/dwiarah/dwiarah/schemas/kit/freeport"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/schemas/sample"
)

// Config is a run.
type Config struct {
	Messages int           // lines of the archive
	Paced    time.Duration // how long the half load lasts
	Away     time.Duration // how long the sink is away for the recovery
	Dir      string
	Profiles string // folder for the processes' profiles; empty for none
	Peer     string // binary of another pipeline from Kafka to ClickHouse; empty for none
	Tell     func(string)
}

const (
	database = "dwiarah"
	patience = 10 * time.Minute
)

// stages in the order of the way.
var stages = []string{fleet.Ingest, fleet.Broker, fleet.Enrich, fleet.Sink, "engine"}

type bench struct {
	ctx    context.Context
	cfg    Config
	engine *engine.Engine
	all    map[string]*fleet.Process
	conn   kafka.Conn
	db     driver.Conn
	micros map[string]float64 // of CPU a message, by stage
	out    strings.Builder
}

// Run measures, and returns the result as a page in Markdown.
func Run(ctx context.Context, cfg Config) (_ string, err error) {
	b := &bench{ctx: ctx, cfg: cfg, all: map[string]*fleet.Process{}}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.start(); err != nil {
		return "", err
	}
	if err := b.alone(); err != nil {
		return "", fmt.Errorf("measuring each stage: %w", err)
	}
	rate, err := b.together()
	if err != nil {
		return "", fmt.Errorf("measuring the whole way: %w", err)
	}
	if err := b.limit(); err != nil {
		return "", fmt.Errorf("measuring the engine alone: %w", err)
	}
	if err := b.peers(); err != nil {
		return "", fmt.Errorf("measuring a peer: %w", err)
	}
	if err := b.paced(rate / 2); err != nil {
		return "", fmt.Errorf("measuring at half load: %w", err)
	}
	return b.out.String(), nil
}

func (b *bench) printf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	b.out.WriteString(line)
	b.cfg.Tell(strings.TrimRight(line, "\n"))
}

func (b *bench) start() (err error) {
	r := fleet.Role{Dir: b.cfg.Dir, Database: database, Profiles: b.cfg.Profiles}
	if err := os.MkdirAll(r.Inbox(), 0o700); err != nil {
		return err
	}
	smp, err := sample.Generate(sample.Options{})
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.Institutions(), smp.Institutions, 0o600); err != nil {
		return err
	}
	if _, err := ingest.InitKeys(r.Keys()); err != nil {
		return err
	}
	for _, name := range []string{"1", "2"} {
		if err := archive(filepath.Join(b.cfg.Dir, "archive-"+name+".jsonl"), smp.Messages, b.cfg.Messages, name); err != nil {
			return err
		}
	}
	if b.engine, err = engine.Start(b.ctx, engine.Config{DataDir: filepath.Join(r.Dir, "clickhouse")}); err != nil {
		return err
	}
	if r.Kafka, err = freeport.Loopback(); err != nil {
		return err
	}
	r.Listen, r.ClickHouse = r.Kafka, "http://"+b.engine.Addr()
	b.conn = kafka.Conn{Brokers: []string{r.Kafka}, ClientID: "bench"}
	for _, name := range []string{fleet.Broker, fleet.Ingest, fleet.Enrich, fleet.Sink} {
		one := r
		one.Name = name
		b.all[name] = fleet.New(one)
	}
	if err := b.all[fleet.Broker].Start(); err != nil {
		return err
	}
	if err := b.until(func() (bool, error) { _, err := b.standing(); return err == nil, nil }); err != nil {
		return err
	}
	b.db, err = clickhouse.Open(&clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{b.engine.Addr()}, ReadTimeout: patience})
	return err
}

// archive writes so many lines: the sample's messages again and again, each time as other messages of other threads.
func archive(path string, messages []schemas.Message, lines int, name string) error {
	var out bytes.Buffer
	encode := json.NewEncoder(&out)
	for n := range lines {
		m := messages[n%len(messages)]
		again := fmt.Sprintf("-%s-%d", name, n/len(messages))
		for _, id := range []*string{&m.MessageID, &m.ParentID, &m.RootID} {
			if *id != "" {
				*id += again
			}
		}
		if err := encode.Encode(m); err != nil {
			return err
		}
	}
	return os.WriteFile(path, out.Bytes(), 0o600)
}

// standing is how far the stages are.
type standing struct{ raw, enriched, stored, waiting int64 }

func (b *bench) standing() (s standing, err error) {
	raw, err := kafka.Lag(b.ctx, b.conn, "dwiarah-enrich", schemas.TopicRaw)
	if err != nil {
		return s, err
	}
	enriched, err := kafka.Lag(b.ctx, b.conn, "dwiarah-sink", schemas.TopicEnriched, schemas.TopicLedger)
	for _, l := range raw {
		s.raw += l.End
		s.enriched += l.End - l.Behind()
		s.waiting += l.Behind()
	}
	for _, l := range enriched {
		if l.Topic == schemas.TopicEnriched {
			s.stored += l.End - l.Behind()
		}
		s.waiting += l.Behind()
	}
	return s, err
}

func (b *bench) until(done func() (bool, error)) error { return b.within(patience, done) }

func (b *bench) within(patience time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting: %w", context.Cause(ctx))
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// cpu of every stage by now.
func (b *bench) cpu() map[string]fleet.Footprint {
	now := map[string]fleet.Footprint{}
	for name, p := range b.all {
		now[name], _ = p.Footprint() // one that does not run has taken nothing
	}
	now["engine"], _ = fleet.FootprintOf(b.engine.PID())
	return now
}

// alone runs one stage after the other over the same messages, each with the machine to itself but for the broker and the engine, and tells what each takes.
func (b *bench) alone() error {
	lines := float64(b.cfg.Messages)
	idle := b.cpu()
	if err := b.give("1"); err != nil {
		return err
	}
	if err := b.all[fleet.Ingest].Start(); err != nil {
		return err
	}
	if err := b.imported(1); err != nil {
		return err
	}
	ingested := b.cpu()
	raw, err := b.standing()
	if err != nil {
		return err
	}
	// Both others from their first batch on: loading a model, joining a group and making tables is not throughput.
	enrich, err := b.stage(fleet.Enrich, raw.raw, func(s standing) int64 { return s.enriched })
	if err != nil {
		return err
	}
	sink, err := b.stage(fleet.Sink, raw.raw, func(s standing) int64 { return s.stored })
	if err != nil {
		return err
	}
	b.micros = map[string]float64{
		fleet.Ingest: perMessage(ingested[fleet.Ingest].CPU, lines),
		fleet.Broker: perMessage(ingested[fleet.Broker].CPU-idle[fleet.Broker].CPU, lines) + enrich[fleet.Broker] + sink[fleet.Broker],
		fleet.Enrich: enrich[fleet.Enrich],
		fleet.Sink:   sink[fleet.Sink],
		"engine":     sink["engine"],
	}
	var sum float64
	for _, m := range b.micros {
		sum += m
	}
	b.printf("%d lines of archive, %d records; the classifier on, broker and engine on the same machine.\n\n", b.cfg.Messages, raw.raw)
	b.printf("| stage | CPU, us a message | share | messages a second and core |\n|---|---|---|---|\n")
	for _, name := range stages {
		b.printf("| %s | %.1f | %.0f %% | %.0f |\n", name, b.micros[name], 100*b.micros[name]/sum, 1e6/b.micros[name])
	}
	b.printf("| all | %.1f | | %.0f |\n\n", sum, 1e6/sum)
	way := sum - b.micros[fleet.Ingest]
	b.printf("- raw topic to queryable row: %.1f us of CPU a message, which is %.0f messages/s on two cores to themselves\n", way, 2e6/way)
	return nil
}

// give puts an archive into the inbox.
func (b *bench) give(name string) error {
	return os.Rename(filepath.Join(b.cfg.Dir, "archive-"+name+".jsonl"), filepath.Join(b.all[fleet.Ingest].Role.Inbox(), name+".jsonl"))
}

func (b *bench) imported(archives int) error {
	return b.until(func() (bool, error) {
		done, err := b.all[fleet.Ingest].Role.Imported()
		return len(done) == archives, err
	})
}

// stage starts a process and returns what every process takes a message, in us of CPU, while it works off what waits.
func (b *bench) stage(name string, end int64, at func(standing) int64) (map[string]float64, error) {
	if err := b.all[name].Start(); err != nil {
		return nil, err
	}
	var first, last int64
	reached := func(want int64, into *int64) error {
		return b.until(func() (bool, error) {
			s, err := b.standing()
			*into = at(s)
			return *into >= want, err
		})
	}
	if err := reached(1, &first); err != nil {
		return nil, err
	}
	before := b.cpu()
	if err := reached(end, &last); err != nil {
		return nil, err
	}
	if last == first {
		return nil, fmt.Errorf("%s took all %d records at once: nothing can be measured, more messages are needed", name, last)
	}
	micros := map[string]float64{}
	for process, now := range b.cpu() {
		micros[process] = perMessage(now.CPU-before[process].CPU, float64(last-first))
	}
	return micros, nil
}

// together runs the whole way at once, and returns its messages a second.
func (b *bench) together() (rate float64, err error) {
	before, err := b.standing()
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := b.give("2"); err != nil {
		return 0, err
	}
	if err := b.imported(2); err != nil {
		return 0, err
	}
	var now standing
	if err := b.until(func() (bool, error) { now, err = b.standing(); return now.waiting == 0, err }); err != nil {
		return 0, err
	}
	took := time.Since(begun)
	rate = float64(now.raw-before.raw) / took.Seconds()
	peaks := b.cpu()
	b.printf("- all at once, from the archive to the row: %.0f messages/s in %.1f s; peak memory of ingest %d MB, enrich %d MB, sink %d MB, broker %d MB, engine %d MB\n", rate, took.Seconds(),
		peaks[fleet.Ingest].Peak>>20, peaks[fleet.Enrich].Peak>>20, peaks[fleet.Sink].Peak>>20, peaks[fleet.Broker].Peak>>20, peaks["engine"].Peak>>20)
	return rate, b.all[fleet.Ingest].Stop(time.Minute)
}

func perMessage(cpu time.Duration, messages float64) float64 {
	return float64(cpu.Microseconds()) / messages
}

// limitRows is how many rows an INSERT of the limit has: as many as the sink's.
const limitRows = 20_000

// limit inserts the same rows of facts once more by the shortest way: blocks in the engine's own form, prepared before, posted one after the other.
func (b *bench) limit() error {
	var rows uint64
	if err := b.db.QueryRow(b.ctx, "SELECT count() FROM dwiarah.message_facts").Scan(&rows); err != nil {
		return err
	}
	if err := b.db.Exec(b.ctx, "CREATE TABLE dwiarah.bare AS dwiarah.message_facts"); err != nil {
		return err
	}
	var blocks [][]byte
	for from := uint64(0); from < rows; from += limitRows {
		block, err := b.post(fmt.Sprintf("SELECT * FROM dwiarah.message_facts ORDER BY message_key LIMIT %d, %d FORMAT Native", from, limitRows), nil)
		if err != nil {
			return err
		}
		blocks = append(blocks, block)
	}
	before, begun := b.cpu(), time.Now()
	for _, block := range blocks {
		if _, err := b.post("INSERT INTO dwiarah.bare FORMAT Native", block); err != nil {
			return err
		}
	}
	took, after := time.Since(begun), b.cpu()
	b.printf("- limit: the engine's bare insert of the same %d rows of facts, as Native blocks made before: %.0f rows/s, %.1f us of the engine's CPU a row\n",
		rows, float64(rows)/took.Seconds(), perMessage(after["engine"].CPU-before["engine"].CPU, float64(rows)))
	return b.db.Exec(b.ctx, "DROP TABLE dwiarah.bare")
}

func (b *bench) post(query string, body []byte) ([]byte, error) {
	response, err := http.Post("http://"+b.engine.Addr()+"/?query="+url.QueryEscape(query), "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, answer[:min(300, len(answer))])
	}
	return answer, err
}

// pacedConnector marks the messages of the half load.
const pacedConnector = "bench"

// paced sends at a fixed rate for a while, and notes how long each message takes until it can be queried; then the sink goes away and comes back.
func (b *bench) paced(rate float64) error {
	templates, err := b.templates()
	if err != nil {
		return err
	}
	producer, err := kafka.NewProducer(kafka.ProducerConfig{Conn: b.conn})
	if err != nil {
		return err
	}
	defer producer.Close()
	p := &pacer{bench: b, producer: producer, templates: templates, perTick: max(1, int(rate*pace.Seconds()))}
	sending, stop := context.WithCancel(b.ctx)
	defer stop()
	var sender sync.WaitGroup
	var sendErr error
	sender.Go(func() { sendErr = p.send(sending) })

	var waits []time.Duration
	seen := 0
	for end := time.Now().Add(b.cfg.Paced); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if seen, waits, err = p.look(seen, waits); err != nil {
			return err
		}
	}
	if len(waits) == 0 {
		return errors.New("nothing arrived at half load")
	}
	slices.Sort(waits)
	p99 := waits[len(waits)*99/100]
	b.printf("- at half that load, %.0f messages/s: from the call that produces to a row that can be queried p50 %.2f s, p99 %.2f s (%d messages)\n",
		float64(p.perTick)/pace.Seconds(), waits[len(waits)/2].Seconds(), p99.Seconds(), len(waits))
	// What is always on its way at this load; less than that waiting is caught up.
	usual := int(float64(p.perTick)*float64(p99)/float64(pace)) + p.perTick

	if err := b.all[fleet.Sink].Stop(time.Minute); err != nil {
		return err
	}
	time.Sleep(b.cfg.Away)
	at, err := p.count()
	if err != nil {
		return err
	}
	backlog := p.sent() - at
	begun := time.Now() // joining the group is part of it
	if err := b.all[fleet.Sink].Start(); err != nil {
		return err
	}
	var to int
	if err := b.until(func() (bool, error) {
		to, err = p.count()
		return p.sent()-to <= usual, err
	}); err != nil {
		return err
	}
	took := time.Since(begun)
	stop()
	sender.Wait()
	speed := float64(to-at) / took.Seconds()
	b.printf("- after %v without a sink, at the same load: %d messages behind, caught up in %.1f s at %.0f messages/s, %.1f times the input\n",
		b.cfg.Away, backlog, took.Seconds(), speed, speed*pace.Seconds()/float64(p.perTick))
	if errors.Is(sendErr, context.Canceled) {
		sendErr = nil
	}
	return sendErr
}

// pace is the time between two calls of the half load.
const pace = 50 * time.Millisecond

// pacer sends copies of real messages at a fixed rate.
type pacer struct {
	*bench
	producer  *kafka.Producer
	templates []*event.Message
	perTick   int

	mu    sync.Mutex
	calls []time.Time // when each call began
}

func (p *pacer) sent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls) * p.perTick
}

func (p *pacer) send(ctx context.Context) error {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		records := make([]kafka.Record, p.perTick)
		for i := range records {
			m := p.templates[n%len(p.templates)]
			m.MessageId, m.MessageKey, m.Connector = fmt.Sprint("bench-", n), fmt.Appendf(nil, "%016d", n), pacedConnector
			value, err := event.Encode(m)
			if err != nil {
				return err
			}
			records[i] = kafka.Record{Topic: schemas.TopicRaw, Key: []byte(m.MessageId), Value: value, Headers: []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}}}
			n++
		}
		p.mu.Lock()
		p.calls = append(p.calls, time.Now())
		p.mu.Unlock()
		if err := p.producer.Produce(ctx, records...); err != nil {
			return err
		}
	}
}

func (p *pacer) count() (int, error) {
	var n uint64
	err := p.db.QueryRow(p.ctx, "SELECT count() FROM dwiarah.message_facts WHERE connector = {c:String}", clickhouse.Named("c", pacedConnector)).Scan(&n)
	return int(n), err
}

// look notes the wait of every message that has arrived since the last look. Messages arrive nearly in the order in which they were sent: the n-th row stands for the
// n-th message.
func (p *pacer) look(seen int, waits []time.Duration) (int, []time.Duration, error) {
	n, err := p.count()
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; seen < n; seen++ {
		waits = append(waits, now.Sub(p.calls[seen/p.perTick]))
	}
	return seen, waits, err
}

// templates are the first few thousand messages of the raw topic that are not deleted.
func (b *bench) templates() ([]*event.Message, error) {
	const enough = 4000
	var all []*event.Message
	full := errors.New("enough")
	consumer, err := kafka.NewConsumer(kafka.ConsumerConfig{Conn: b.conn, Group: "bench-templates", Topics: []string{schemas.TopicRaw}, Log: slog.New(slog.DiscardHandler)},
		func(_ context.Context, batch []kafka.Record) error {
			for _, r := range batch {
				m := &event.Message{}
				if err := event.Decode(event.SchemaValue(), r.Value, m); err != nil {
					return err
				}
				if m.DeletedAtMs == nil {
					all = append(all, m)
				}
			}
			if len(all) >= enough {
				return full
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := consumer.Run(ctx); !errors.Is(err, full) {
		return nil, fmt.Errorf("reading messages to copy: %w", errors.Join(err, ctx.Err()))
	}
	return all, nil
}

func (b *bench) close() error {
	var errs []error
	if b.db != nil {
		errs = append(errs, b.db.Close())
	}
	for _, name := range []string{fleet.Ingest, fleet.Enrich, fleet.Sink, fleet.Broker} {
		if p := b.all[name]; p != nil {
			errs = append(errs, p.Stop(time.Minute))
		}
	}
	if b.engine != nil {
		errs = append(errs, b.engine.Close())
	}
	return errors.Join(errs...)
}
