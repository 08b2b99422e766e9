package sink

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/config"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
	"github.com/dwiarah/dwiarah/sink/internal/deadletter"
	"github.com/dwiarah/dwiarah/sink/internal/rows"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

// The simulation runs the delivery of messages from ingest to the views under a schedule that a seed decides. Kafka, ClickHouse, ingest and enrich are
// small models; the sink's part is the real one: decoding, rows and their versions, the order of tables, repeating, bisecting, dead letters. At every step a process
// may die, be paused while others go on, get no answer, or have a request of its former life arrive late. It holds these invariants at every step and at the end:
//
//	I1 a position is committed only behind what is durable, and a member of a lost generation moves none
//	I2 what is delivered again, in other batches, changes no view
//	I3 every item ends as exactly one of stored, dropped, dead-lettered; the counters add up
//	I5 a deleted message is never visible, whatever is replayed
//
// TestMutants keeps it honest: each of a handful of deliberate mistakes has to be found.

// simulateVariable replays: "SEED" runs that one and says every step, "SEED:COUNT" runs COUNT from there on.
const simulateVariable = "DWIARAH_SIMULATE"

// seeds of a usual run.
const seeds = 100_000

// ids is the number of messages of a world, and edits that of their edits.
const ids, edits = 4, 3

// Kinds of item.
const (
	plain     = iota // a message, or an edit of it
	deleted          // a message with the time of its deletion
	bare             // a deletion that says nothing else
	refused          // a message that the store refuses
	foreign          // of no institution: dropped by ingest
	malformed        // no message: dead-lettered by ingest
	garbled          // no message: dead-lettered by enrich
	kinds
)

// item is what a platform gave.
type item struct{ kind, id, edit int }

func (i item) String() string {
	return fmt.Sprintf("%s of message %d, edit %d", []string{"message", "deletion with text", "deletion", "refused message", "foreign message", "malformed item", "garbled record"}[i.kind], i.id, i.edit)
}

// editedFrom is the time of edit 0, in ms: those of later edits follow by a millisecond.
const editedFrom = int64(1775001600000)

// deletedEdit is the edit that a deletion comes with, after all others.
const deletedEdit = edits

// models of enrich; a process that starts may have the later one.
const models = 2

// book has the enriched record of every item and model, encoded.
type book map[entry][]byte

func newBook(t testing.TB) book {
	b := book{}
	for kind := range kinds {
		for id := range ids {
			for edit := range edits {
				for model := 1; model <= models; model++ {
					i := item{kind, id, edit}
					e := storetest.Enriched(id)
					m := e.Message
					m.EditedAtMs = new(editedFrom + int64(edit))
					m.Text = fmt.Sprintf("teks %d", edit)
					e.Enrichment.ModelSeq, e.Enrichment.ModelVersion = uint32(model), strconv.Itoa(model)
					switch kind {
					case deleted, bare:
						if edit > 0 {
							continue
						}
						m.DeletedAtMs, m.EditedAtMs = new(editedFrom+1000), new(editedFrom+deletedEdit)
						if kind == bare {
							m.Text, e.Enrichment = "", nil
						}
					case refused:
						m.Url = refusedURL
						m.MessageKey = fmt.Appendf(nil, "%016d", id+ids) // another message
					case foreign, malformed, garbled:
						continue
					}
					value, err := event.Encode(e)
					if err != nil {
						t.Fatal(err)
					}
					b[entry{i, model}] = value
				}
			}
		}
	}
	return b
}

const refusedURL = "https://refused.example"

// died unwinds a process that was killed in the middle of something.
type died struct{}

// violation unwinds a world whose invariant is broken.
type violation struct{ text string }

// world is one simulation.
type world struct {
	rng    *rand.Rand
	book   book
	quiet  bool // no faults any more
	trace  func(string)
	depth  int
	acting *member

	items                  []item
	next, cursor, page     int // of ingest: where it reads on, what is kept, how far the page under way goes
	acked                  bool
	raw, enriched          topic
	dead                   map[item]bool
	dropped                map[item]bool
	lettered               [partitions]map[int]bool // offsets of the enriched topic
	enrichGroup, sinkGroup *group
	members                []*member
	tables                 *tables
	inFlight               []func()
	registry               *prometheus.Registry
	sink                   *Sink
}

func (w *world) say(format string, args ...any) {
	if w.trace != nil {
		w.trace(fmt.Sprintf(format, args...))
	}
}

func (w *world) broken(invariant, format string, args ...any) {
	panic(violation{invariant + ": " + fmt.Sprintf(format, args...)})
}

// fault is true once in so many times, while there are faults.
func (w *world) fault(oneIn int) bool { return !w.quiet && w.rng.IntN(oneIn) == 0 }

// quietOr is true once in so many times, and always when there are no faults any more.
func (w *world) quietOr(oneIn int) bool { return w.quiet || w.rng.IntN(oneIn) == 0 }

func newWorld(seed uint64, b book, trace func(string)) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 0)), book: b, trace: trace, dead: map[item]bool{}, dropped: map[item]bool{}, tables: newTables(), registry: prometheus.NewRegistry(),
	}
	for range 4 + w.rng.IntN(8) {
		w.items = append(w.items, w.item())
	}
	w.enrichGroup = &group{name: "enrich", log: &w.raw, settled: func(e entry, _, _ int) bool { return w.dead[e.item] || w.isEnriched(e.item) }}
	w.sinkGroup = &group{name: "sink", log: &w.enriched, settled: func(e entry, p, o int) bool { return w.lettered[p][o] || w.isStored(e) }}
	for p := range w.lettered {
		w.lettered[p] = map[int]bool{}
	}
	for n := range 2 {
		w.members = append(w.members,
			&member{name: fmt.Sprint("enrich ", n), group: w.enrichGroup, handle: (*world).enrich, model: 1 + w.rng.IntN(models)},
			&member{name: fmt.Sprint("sink ", n), group: w.sinkGroup, handle: (*world).sinkHandle})
	}
	return w
}

func (w *world) item() item {
	i := item{id: w.rng.IntN(ids)}
	switch n := w.rng.IntN(20); {
	case n < 12:
		i.edit = w.rng.IntN(edits)
	case n < 14:
		i.kind = deleted
	case n < 16:
		i.kind = bare
	default:
		i.kind = []int{refused, foreign, malformed, garbled}[n-16]
		i.edit = w.rng.IntN(edits)
	}
	return i
}

func (w *world) isEnriched(i item) bool {
	for _, e := range w.enriched[i.id%partitions] {
		if e.item == i {
			return true
		}
	}
	return false
}

func (w *world) isStored(e entry) bool {
	switch e.item.kind {
	case plain:
		row := rowID{e.item.edit, e.model}
		return w.tables.landed[e.item.id][row] && w.tables.bodies[e.item.id][rowID{edit: e.item.edit}]
	case deleted:
		return w.tables.landed[e.item.id][rowID{deletedEdit, e.model}] && w.tables.tombstones[e.item.id]
	case bare:
		return w.tables.tombstones[e.item.id]
	}
	return false
}

// send is a request that makes all of its effects durable, sent until it is answered. Whoever sends it may die of it.
func (w *world) send(effects ...func()) {
	all := func(n int) {
		for _, effect := range effects[:n] {
			effect()
		}
		w.check()
	}
	for {
		outcome := 99
		if !w.quiet {
			outcome = w.rng.IntN(30)
		}
		switch outcome {
		case 0: // did not arrive
		case 1: // arrived in part
			all(w.rng.IntN(len(effects) + 1))
		case 2: // the answer is lost
			all(len(effects))
		case 3: // arrives later
			w.inFlight = append(w.inFlight, func() { all(len(effects)) })
		case 4:
			panic(died{})
		case 5:
			all(len(effects))
			panic(died{})
		case 6:
			w.inFlight = append(w.inFlight, func() { all(len(effects)) })
			panic(died{})
		default:
			all(len(effects))
			return
		}
	}
}

// ingestStep reads a page and makes it durable, or keeps the position behind it.
func (w *world) ingestStep() {
	switch {
	case w.next == w.page && w.next < len(w.items):
		w.page = min(len(w.items), w.next+1+w.rng.IntN(3))
		w.acked = false
	case w.next == w.page:
	case !w.acked:
		var effects []func()
		for _, i := range w.items[w.next:w.page] {
			switch i.kind {
			case foreign:
			case malformed:
				effects = append(effects, func() { w.dead[i] = true })
			default:
				effects = append(effects, func() { w.raw.append(entry{item: i}) })
			}
		}
		w.send(effects...)
		w.acked = true
		w.say("ingest has acknowledgements up to item %d", w.page)
	default:
		w.keepCursor()
	}
}

func (w *world) keepCursor() {
	w.cursor = w.page
	for _, i := range w.items[:w.cursor] {
		switch {
		case i.kind == foreign:
			w.dropped[i] = true
		case !w.dead[i] && !w.inRaw(i):
			w.broken("I1", "ingest: the cursor is at %d, %v is not durable", w.cursor, i)
		}
	}
	w.next = w.cursor
	w.say("ingest keeps cursor %d", w.cursor)
}

func (w *world) inRaw(i item) bool {
	for _, e := range w.raw[i.id%partitions] {
		if e.item == i {
			return true
		}
	}
	return false
}

// enrich is the model of enrich's stage: enriched records and dead letters, all acknowledged.
func (w *world) enrich(m *member, batch []taken) {
	var effects []func()
	for _, t := range batch {
		if t.item.kind == garbled {
			effects = append(effects, func() { w.dead[t.item] = true })
			continue
		}
		effects = append(effects, func() { w.enriched.append(entry{t.item, m.model}) })
	}
	w.send(effects...)
}

// sinkHandle hands the batch to the real sink, whose store and dead letters are this world's.
func (w *world) sinkHandle(m *member, batch []taken) {
	before := w.acting
	w.acting = m
	defer func() { w.acting = before }()
	records := make([]kafka.Record, len(batch))
	for n, t := range batch {
		records[n] = kafka.Record{Topic: schemas.TopicEnriched, Partition: t.partition, Offset: int64(t.offset), Value: w.book[t.entry], Headers: simulatedHeaders}
	}
	if err := w.sink.handle(context.Background(), records); err != nil {
		w.broken("I4", "the sink broke: %v", err)
	}
}

var simulatedHeaders = []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}}

// Produce takes the sink's dead letters.
func (w *world) Produce(_ context.Context, records ...kafka.Record) error {
	var effects []func()
	for _, r := range records {
		l := &event.DeadLetter{}
		if err := event.Decode(deadletter.Header(r.Headers, event.SchemaHeader), r.Value, l); err != nil {
			return err
		}
		effects = append(effects, func() {
			w.lettered[l.Partition][int(l.Offset)] = true
			w.dead[w.enriched[l.Partition][l.Offset].item] = true
		})
	}
	w.send(effects...)
	return nil
}

// Close is of producer.
func (w *world) Close() error { return nil }

// insert stands for ClickHouse. An INSERT may land in part, land without an answer, land later, or be refused for a row of it; while it runs others go on.
func (w *world) insert(_ context.Context, block rows.Table) error {
	if w.fault(8) {
		w.others()
	}
	if w.fault(40) {
		panic(died{})
	}
	for _, url := range column[string](block, "url") {
		if url == refusedURL {
			return &clickhouse.Exception{Code: 469} // VIOLATED_CONSTRAINT
		}
	}
	every := func(int) bool { return true }
	land := func(take func(int) bool) {
		w.tables.land(block, take)
		w.check()
	}
	outcome := 99
	if !w.quiet {
		outcome = w.rng.IntN(40)
	}
	switch outcome {
	case 0:
		return io.EOF
	case 1:
		land(func(int) bool { return w.rng.IntN(2) == 0 })
		return io.EOF
	case 2:
		land(every)
		return io.EOF
	case 3:
		w.inFlight = append(w.inFlight, func() { land(every) })
		return io.EOF
	case 4:
		land(every)
		panic(died{})
	case 5:
		w.inFlight = append(w.inFlight, func() { land(every) })
		panic(died{})
	}
	land(every)
	w.say("%s: %d rows in %s", w.acting.name, block.Rows, block.Name)
	return nil
}

// check holds what has to be true whatever has just landed.
func (w *world) check() {
	for id := range ids {
		row, ok := w.tables.visible(id)
		switch {
		case !ok:
		case w.tables.tombstones[id]:
			w.broken("I5", "message %d is visible and has a tombstone", id)
		case row.edit == deletedEdit:
			w.broken("I5", "message %d is visible by what came with its deletion", id)
		case !w.tables.bodies[id][rowID{edit: row.edit}]:
			w.broken("I1", "message %d is visible without its text", id)
		}
	}
}

// others lets others act in the middle of what a member does.
func (w *world) others() {
	if w.depth >= 2 {
		return
	}
	w.depth++
	defer func() { w.depth-- }()
	for range 1 + w.rng.IntN(4) {
		w.step()
	}
}

// act runs a process's step; being killed in it is the end of the process, not of the world.
func (w *world) act(name string, step, die func()) {
	depth, acting := w.depth, w.acting
	defer func() {
		switch r := recover().(type) {
		case nil:
		case died:
			w.depth, w.acting = depth, acting
			w.say("%s dies", name)
			die()
		default:
			panic(r)
		}
	}()
	step()
}

func (w *world) ingestDies() { w.next, w.page, w.acked = w.cursor, w.cursor, false }

func (w *world) move(m *member) {
	if m.busy {
		return
	}
	m.busy = true
	defer func() { m.busy = false }()
	w.act(m.name, func() { m.step(w) }, func() { w.kill(m) })
}

func (w *world) kill(m *member) {
	m.die()
	m.model = min(models, m.model+w.rng.IntN(2)) // the next process may be of a later release
}

func (w *world) step() {
	switch n := w.rng.IntN(100); {
	case n < 20:
		w.act("ingest", w.ingestStep, w.ingestDies)
	case n < 82:
		w.move(w.members[w.rng.IntN(len(w.members))])
	case n < 85:
		w.act("ingest", func() { panic(died{}) }, w.ingestDies)
	case n < 89:
		if m := w.members[w.rng.IntN(len(w.members))]; !m.busy {
			w.act(m.name, func() { panic(died{}) }, func() { w.kill(m) })
		}
	case n < 92:
		m := w.members[w.rng.IntN(len(w.members))]
		m.group.expel(m)
		w.say("%s is expelled and does not know", m.name)
	case n < 93:
		g := []*group{w.enrichGroup, w.sinkGroup}[w.rng.IntN(2)]
		g.rollBack(w.rng)
		w.say("%s is rolled back to %v", g.name, g.committed)
	case n < 96:
		w.arrive()
	default:
		w.tables.merge(w.rng.IntN(ids))
	}
}

// arrive lets one of the requests under way arrive, in any order.
func (w *world) arrive() {
	if len(w.inFlight) == 0 {
		return
	}
	n := w.rng.IntN(len(w.inFlight))
	late := w.inFlight[n]
	w.inFlight = append(w.inFlight[:n], w.inFlight[n+1:]...)
	w.say("a request of the past arrives")
	late()
}

// drain ends the faults and runs until nothing waits.
func (w *world) drain() {
	w.quiet = true
	for len(w.inFlight) > 0 {
		w.arrive()
	}
	for range 2000 {
		if w.cursor == len(w.items) && !w.enrichGroup.behind() && !w.sinkGroup.behind() {
			return
		}
		w.act("ingest", w.ingestStep, w.ingestDies)
		for _, m := range w.members {
			w.move(m)
		}
	}
	w.broken("I4", "nothing moves any more: cursor %d of %d, enrich %v, sink %v", w.cursor, len(w.items), w.enrichGroup.committed, w.sinkGroup.committed)
}

// run is one simulation from its beginning to its end.
func (w *world) run(thorough bool) {
	for range 40 + w.rng.IntN(60) {
		w.step()
	}
	w.drain()
	w.fates()
	before, count := w.view(), w.tables.count()
	w.expect(before, count)

	// The same once more, in other batches.
	w.sinkGroup.sessions = nil
	w.sinkGroup.rebalance()
	w.sinkGroup.committed = [partitions]int{}
	w.drain()
	if after := w.view(); after != before || w.tables.count() != count {
		w.broken("I2", "delivered again, the view changed from %v (%d messages) to %v (%d messages)", before, count, after, w.tables.count())
	}
	w.fates()
	if thorough {
		w.balance()
	}
}

// view is what is visible of every message.
func (w *world) view() (view [ids]rowID) {
	for id := range ids {
		view[id], _ = w.tables.visible(id)
	}
	return view
}

// expect recomputes the view from what the enriched topic holds.
func (w *world) expect(got [ids]rowID, count int) {
	var want [ids]rowID
	gone := [ids]bool{}
	for p := range partitions {
		for _, e := range w.enriched[p] {
			switch row := (rowID{e.item.edit, e.model}); e.item.kind {
			case plain:
				if was := want[e.item.id]; row.edit > was.edit || row.edit == was.edit && row.model > was.model {
					want[e.item.id] = row
				}
			case deleted, bare:
				gone[e.item.id] = true
			}
		}
	}
	n := 0
	for id := range ids {
		if gone[id] {
			want[id] = rowID{}
		}
		if want[id] != (rowID{}) {
			n++
		}
	}
	if got != want || count != n {
		w.broken("I2", "the view is %v with %d messages; a recomputation says %v with %d", got, count, want, n)
	}
}

// fates holds that every item has exactly one.
func (w *world) fates() {
	for _, i := range w.items {
		stored := false
		for model := 1; model <= models; model++ {
			stored = stored || w.isStored(entry{i, model})
		}
		fates := 0
		for _, f := range []bool{stored, w.dropped[i], w.dead[i]} {
			if f {
				fates++
			}
		}
		if fates != 1 {
			w.broken("I3", "%v ended stored: %v, dropped: %v, dead-lettered: %v", i, stored, w.dropped[i], w.dead[i])
		}
	}
}

// balance holds that the real sink's counters add up.
func (w *world) balance() {
	families, err := w.registry.Gather()
	if err != nil {
		w.broken("I3", "%v", err)
	}
	sums := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			sums[f.GetName()] += m.GetCounter().GetValue()
		}
	}
	if c, s, d := sums["dwiarah_sink_consumed_total"], sums["dwiarah_sink_stored_total"], sums["dwiarah_sink_dead_lettered_total"]; c != s+d || c == 0 && w.sinkGroup.committed != [partitions]int{} {
		w.broken("I3", "consumed %v, stored %v, dead-lettered %v", c, s, d)
	}
}

// thoroughEvery is how often a seed also gathers the counters, which takes as long as ten seeds.
const thoroughEvery = 64

// simulate runs a seed, and returns what it broke.
func simulate(seed uint64, b book, trace func(string)) (broke string, err error) {
	w := newWorld(seed, b, trace)
	log := slog.New(slog.DiscardHandler)
	pauses := store.DefaultConfig()
	pauses.RetryFirst, pauses.RetryMost = config.Duration(1), config.Duration(1)
	s, err := store.Open(pauses)
	if err != nil {
		return "", err
	}
	defer s.Close()
	w.sink = &Sink{log: log, store: s, letters: w}
	if w.sink.writer, err = store.NewWriter(s, nil, func() {}, log, w.registry); err != nil {
		return "", err
	}
	w.sink.writer.InsertBy(w.insert)
	if w.sink.metrics, err = newMetrics(w.registry); err != nil {
		return "", err
	}
	defer func() {
		if r := recover(); r != nil {
			v, ok := r.(violation)
			if !ok {
				panic(r)
			}
			broke = v.text
		}
	}()
	w.run(seed%thoroughEvery == 0)
	return "", nil
}

func TestSimulation(t *testing.T) {
	first, count := uint64(1), uint64(seeds)
	if given := os.Getenv(simulateVariable); given != "" {
		from, n, several := strings.Cut(given, ":")
		var err error
		if first, err = strconv.ParseUint(from, 10, 64); err != nil {
			t.Fatalf("%s is %q; allowed: SEED, or SEED:COUNT", simulateVariable, given)
		}
		count = 1
		if several {
			if count, err = strconv.ParseUint(n, 10, 64); err != nil {
				t.Fatalf("%s is %q; allowed: SEED, or SEED:COUNT", simulateVariable, given)
			}
		}
	}
	b := newBook(t)
	var trace func(string)
	if count == 1 {
		trace = func(s string) { t.Log(s) }
	}
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // a world is small and lives for half a millisecond
	var next atomic.Uint64
	var found atomic.Bool
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for !found.Load() {
				n := next.Add(1) - 1
				if n >= count {
					return
				}
				broke, err := simulate(first+n, b, trace)
				if err != nil || broke != "" {
					found.Store(true)
					t.Errorf("seed %d: %s%v; %s=%d go test -run TestSimulation -v . says every step", first+n, broke, err, simulateVariable, first+n)
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d seeds from %d", count, first)
}
