package field

import (
	"fmt"
	"slices"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/conversation"
	"github.com/dwiarah/dwiarah/ingest/internal/meta/metatest"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/sample"
)

// line is what somebody says: the first of a thread addresses the institution, the others answer the line at parent.
type line struct {
	official bool
	text     string
	parent   int
}

// script is the threads that are held, and what is under way.
type script struct {
	threads [][]line
	open    []*thread
	citizen int
}

// thread is one that has begun. ids are those of its lines so far.
type thread struct {
	lines   []line
	citizen string
	ids     []string
}

// deepest is how far below its root a line stands at most: Instagram has no third level. Below it, and below other citizens, the platforms differ in what they show.
const deepest = 2

// read takes the institution's threads on X out of the generated sample, the oldest first.
func read(seed uint64) (script, error) {
	s, err := sample.Generate(sample.Options{Seed: seed})
	if err != nil {
		return script{}, fmt.Errorf("reading the field's conversations: %w", err)
	}
	outbound := map[string]bool{}
	for _, t := range s.Truth {
		if t.Platform == schemas.PlatformX && slices.Contains(t.Institutions, Institution) {
			outbound[t.MessageID] = t.Direction == schemas.Outbound
		}
	}
	type place struct{ thread, line, depth int }
	var sc script
	places := map[string]place{}
	for _, m := range s.Messages {
		official, ours := outbound[m.MessageID]
		_, seen := places[m.MessageID]
		if m.Platform != schemas.PlatformX || !ours || seen || m.Text == "" || m.DeletedAt != nil || m.IsAuto {
			continue
		}
		above, answers := places[m.ParentID]
		switch {
		case m.ParentID == "" && !official:
			places[m.MessageID] = place{len(sc.threads), 0, 0}
			sc.threads = append(sc.threads, []line{{text: m.Text}})
		case answers && above.depth < deepest && official != sc.threads[above.thread][above.line].official:
			places[m.MessageID] = place{above.thread, len(sc.threads[above.thread]), above.depth + 1}
			sc.threads[above.thread] = append(sc.threads[above.thread], line{official: official, text: m.Text, parent: above.line})
		}
	}
	return sc, nil
}

// begin opens the next thread.
func (f *Field) begin() *thread {
	s := &f.script
	s.citizen++
	t := &thread{lines: s.threads[s.citizen%len(s.threads)], citizen: fmt.Sprintf("warga%d", s.citizen)}
	s.open = append(s.open, t)
	return t
}

// say writes the next line of a thread at a time, or a little later where the world is ahead of it.
func (f *Field) say(t *thread, at time.Time) line {
	l := t.lines[len(t.ids)]
	author, parent := t.citizen, ""
	if l.official {
		author = f.world.Official
	}
	if len(t.ids) > 0 {
		parent = t.ids[l.parent]
	}
	f.world.Skip(at.Add(-time.Second)) // the next post is a second later
	t.ids = append(t.ids, f.world.Write(author, parent, l.text))
	if len(t.ids) == len(t.lines) {
		f.script.open = slices.DeleteFunc(f.script.open, func(o *thread) bool { return o == t })
	}
	return l
}

// hold holds n whole threads in the two hours before now, some beside one another, so that answers take a while.
func (f *Field) hold(n int, now time.Time) {
	const span, until = 2 * time.Hour, 5 * time.Minute
	lines := 0
	for i := range n {
		lines += len(f.script.threads[(f.script.citizen+i+1)%len(f.script.threads)])
	}
	for said := range lines {
		if len(f.script.open) < talks && n > 0 {
			f.begin()
			n--
		}
		f.say(f.script.open[f.random.IntN(len(f.script.open))], now.Add(-span+time.Duration(said)*(span-until)/time.Duration(lines)))
	}
}

// Kinds of what a Step does.
const (
	Asks    = "asks"
	Answers = "answers"
	Edits   = "edits"
	Deletes = "deletes"
)

// Event is what a Step did: who (the institution or a citizen) did what.
type Event struct {
	Kind     string
	Official bool
	Text     string
}

// editEvery and deleteEvery are after how many steps one changes an older post.
const (
	editEvery, deleteEvery = 5, 7
	// talks is how many threads go on beside one another.
	talks = 4
)

// Step lets one more thing happen: a line of a thread, an edit, or a deletion. Streams push it at once.
func (f *Field) Step() Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.steps++
	f.gone = ""
	defer f.mirror()
	now := time.Now()
	if f.steps%editEvery == 0 || f.steps%deleteEvery == 0 {
		if p, ok := f.pick(); ok && f.steps%editEvery == 0 {
			f.edited[p.ID] = true
			text := p.Text + " (diralat)"
			f.world.Edit(p.ID, text, later(now.Truncate(time.Second), p.Created.Add(time.Second)))
			p.Text = text
			f.deliver(metatest.Edited, p)
			return Event{Kind: Edits, Text: text}
		} else if ok {
			f.world.Delete(p.ID)
			f.removed(p.ID)
			f.deliver(metatest.Removed, p)
			return Event{Kind: Deletes, Text: p.Text}
		}
	}
	var t *thread
	if len(f.script.open) < talks {
		t = f.begin()
	} else {
		t = f.script.open[f.random.IntN(len(f.script.open))]
	}
	kind := Answers
	if len(t.ids) == 0 {
		kind = Asks
	}
	l := f.say(t, now)
	f.deliver(metatest.Added, f.last())
	return Event{Kind: kind, Official: l.official, Text: l.text}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// last is the newest post.
func (f *Field) last() conversation.Post {
	f.world.Lock()
	defer f.world.Unlock()
	return f.world.Posts[len(f.world.Posts)-1]
}

// pick draws a citizen's post that nobody has answered, nor will: what an edit or a deletion is for.
func (f *Field) pick() (conversation.Post, bool) {
	f.world.Lock()
	defer f.world.Unlock()
	busy := map[string]bool{}
	for _, p := range f.world.Posts {
		busy[p.Parent] = true
	}
	for _, t := range f.script.open {
		for _, id := range t.ids {
			busy[id] = true
		}
	}
	var free []conversation.Post
	for _, p := range f.world.Inbound() {
		if !busy[p.ID] && !f.edited[p.ID] {
			free = append(free, p)
		}
	}
	if len(free) == 0 {
		return conversation.Post{}, false
	}
	return free[f.random.IntN(len(free))], true
}
