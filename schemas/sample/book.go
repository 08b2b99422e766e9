package sample

import (
	"time"

	"github.com/dwiarah/dwiarah/schemas"
)

// class is what the generator meant a message to count as, for one institution.
type class int

const (
	// other counts nowhere: reposts, side talk, quotes without a name, bots.
	other class = iota
	broadcast
	response
	autoReply
	addressed
)

// book is the generator's own account of what happened to an institution, kept while it happens. It never looks at parents, mentions or threads
// as an importer has to, which makes it a check on the archive and on the reading of it.
type book struct {
	entries []*entry
	asks    []*asked
}

// entry is a message with its meaning.
type entry struct {
	*message
	class     class
	addresses []*author
}

// asked is a request: a question that did not fold into an earlier one.
type asked struct {
	question *message
	answer   *message
}

func (w *world) ask(f *office, question *message) *asked {
	a := &asked{question: question}
	b := w.books[f.id]
	b.asks = append(b.asks, a)
	return a
}

// tally counts a book's standing messages of a period.
type tally struct {
	inbound, outbound, deleted                  int
	broadcasts, replies, autoReplies, addressed int
	// authors wrote to the institution, answered are those of them whom some reply addressed.
	authors, answered int
	// matched is the sum over authors of the lesser of what they wrote and what they got.
	matched int
	// threads in which somebody was answered, and those in which that somebody then wrote again.
	threads, looped int
	byKind          map[string]int
	inboundAuthors  int
}

func (b *book) tally(from, to time.Time) tally {
	t := tally{byKind: map[string]int{}}
	wrote, got, anybody := map[*author]int{}, map[*author]int{}, map[*author]bool{}
	type line struct {
		root *message
		who  *author
	}
	// Entries are walked in order of time: a line goes from written to answered to looped.
	state := map[line]int{}
	answeredThreads, loopedThreads := map[*message]bool{}, map[*message]bool{}
	for _, e := range b.entries {
		if e.at.Before(from) || !e.at.Before(to) {
			continue
		}
		if e.deletedAt != nil {
			t.deleted++
			continue
		}
		t.byKind[e.kind]++
		if e.author.office != nil {
			t.outbound++
		} else {
			t.inbound++
			anybody[e.author] = true
		}
		switch e.class {
		case broadcast:
			t.broadcasts++
		case autoReply:
			t.autoReplies++
		case response:
			t.replies++
			for _, a := range e.addresses {
				got[a]++
				if l := (line{e.root, a}); state[l] == 1 {
					state[l] = 2
					answeredThreads[e.root] = true
				}
			}
		case addressed:
			t.addressed++
			wrote[e.author]++
			switch l := (line{e.root, e.author}); state[l] {
			case 0:
				state[l] = 1
			case 2:
				loopedThreads[e.root] = true
			}
		}
	}
	t.authors, t.inboundAuthors = len(wrote), len(anybody)
	for a, n := range wrote {
		t.matched += min(n, got[a])
		if got[a] > 0 {
			t.answered++
		}
	}
	t.threads, t.looped = len(answeredThreads), len(loopedThreads)
	return t
}

// outcome tells how a request ended, as the specification names it, and when; now is the instant up to which everything was read.
func (a *asked) outcome(now time.Time) (string, time.Time) {
	deleted := a.question.deletedAt
	switch {
	case a.answer != nil && (deleted == nil || !a.answer.at.After(*deleted)):
		return "replied", a.answer.at
	case deleted != nil:
		return "deleted", *deleted
	}
	return "open", now
}

// direction is seen from the institutions.
func (m *message) direction() string {
	if m.author.office != nil {
		return schemas.Outbound
	}
	return schemas.Inbound
}
