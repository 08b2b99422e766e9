package sink

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// partitions of each topic of the simulation.
const partitions = 2

// entry is a record of a topic: what it is about and, once enriched, by which model.
type entry struct {
	item  item
	model int
}

// topic is a topic's log.
type topic [partitions][]entry

func (t *topic) append(e entry) {
	p := e.item.id % partitions
	t[p] = append(t[p], e)
}

// group is a consumer group as its coordinator sees it.
type group struct {
	name      string
	log       *topic
	settled   func(e entry, partition, offset int) bool // whether the record's fate is durable
	gen       int
	sessions  []*member // that the coordinator counts in, in order
	committed [partitions]int
}

// rebalance begins a new generation of the present sessions.
func (g *group) rebalance() { g.gen++ }

// assigned are the partitions of a session in the present generation.
func (g *group) assigned(m *member) []int {
	at := slices.Index(g.sessions, m)
	var mine []int
	for p := range partitions {
		if at >= 0 && p%len(g.sessions) == at {
			mine = append(mine, p)
		}
	}
	return mine
}

// commit takes the positions of a member of the present generation, and refuses all others.
func (g *group) commit(w *world, m *member, positions map[int]int) bool {
	if m.gen != g.gen || !slices.Contains(g.sessions, m) {
		return false
	}
	for p, offset := range positions {
		if offset < g.committed[p] {
			w.broken("I1", "%s: the position of partition %d went back from %d to %d", g.name, p, g.committed[p], offset)
		}
		for o := g.committed[p]; o < offset; o++ {
			if !g.settled(g.log[p][o], p, o) {
				w.broken("I1", "%s: position %d of partition %d is committed, %v at offset %d is not durable", g.name, offset, p, g.log[p][o], o)
			}
		}
		g.committed[p] = offset
	}
	return true
}

// expel takes a session out: its heartbeats did not come. The member does not know.
func (g *group) expel(m *member) {
	if at := slices.Index(g.sessions, m); at >= 0 {
		g.sessions = slices.Delete(g.sessions, at, at+1)
		g.rebalance()
	}
}

// rollBack moves positions back, as an operator may while the group has no members.
func (g *group) rollBack(rng *rand.Rand) {
	g.sessions = nil
	g.rebalance()
	for p := range partitions {
		g.committed[p] = rng.IntN(g.committed[p] + 1)
	}
}

func (g *group) behind() bool {
	for p := range partitions {
		if g.committed[p] < len(g.log[p]) {
			return true
		}
	}
	return false
}

// taken is a record that a member holds.
type taken struct {
	entry
	partition, offset int
}

// member is one process that consumes: it fetches a batch, handles it, and commits it on the generation in which it fetched.
type member struct {
	name   string
	group  *group
	handle func(w *world, m *member, batch []taken)
	model  int // of enrich

	joined  bool
	gen     int
	next    map[int]int // by partition of its own
	batch   []taken
	handled bool
	busy    bool // within handle, while others act
}

func (m *member) die() {
	// The coordinator learns of it later, when the session has run out, or never: the next process joins before.
	m.joined, m.batch, m.handled = false, nil, false
}

// step does the member's next thing. Whether it dies of it is the world's affair.
func (m *member) step(w *world) {
	switch {
	case !m.joined:
		m.join(w)
	case m.gen != m.group.gen && w.quietOr(3): // a heartbeat tells of the new generation; until then the member goes on
		m.rejoin(w)
	case m.batch == nil:
		m.fetch(w)
	case !m.handled:
		m.handle(w, m, m.batch)
		m.handled = true
		w.say("%s handled %d records", m.name, len(m.batch))
	default:
		m.settle(w)
	}
}

func (m *member) join(w *world) {
	m.group.expel(m)
	m.group.sessions = append(m.group.sessions, m)
	m.group.rebalance()
	m.learn(w)
	m.joined = true
}

// rejoin follows the group into its present generation, in which its session may not be counted any more.
func (m *member) rejoin(w *world) {
	if slices.Contains(m.group.sessions, m) {
		m.learn(w)
		return
	}
	m.joined, m.batch, m.handled = false, nil, false
}

// learn takes the present generation's assignment, and begins where the group has committed.
func (m *member) learn(w *world) {
	m.gen, m.next, m.batch, m.handled = m.group.gen, map[int]int{}, nil, false
	for _, p := range m.group.assigned(m) {
		m.next[p] = m.group.committed[p]
	}
	w.say("%s joins generation %d, from %v", m.name, m.gen, m.next)
}

func (m *member) fetch(w *world) {
	for p := range partitions { // not by ranging over the map: a seed has to be the same schedule again
		next, mine := m.next[p]
		if !mine {
			continue
		}
		most := 4
		if w.quiet {
			most = 16
		}
		n := min(len(m.group.log[p])-next, 1+w.rng.IntN(most))
		for range n {
			m.batch = append(m.batch, taken{m.group.log[p][next], p, next})
			next++
		}
		m.next[p] = next
	}
}

// settle commits the batch, or gives it up when the commit is refused or unanswered.
func (m *member) settle(w *world) {
	positions := map[int]int{}
	for _, t := range m.batch {
		positions[t.partition] = t.offset + 1
	}
	lost := w.fault(20)
	accepted := (lost && w.rng.IntN(2) == 0) || m.group.commit(w, m, positions)
	w.say("%s commits %v on generation %d: %v, answer lost: %v", m.name, positions, m.gen, accepted, lost)
	m.batch, m.handled = nil, false
	if !accepted || lost {
		m.rejoin(w)
	}
}

func (e entry) String() string { return fmt.Sprintf("%v model %d", e.item, e.model) }
