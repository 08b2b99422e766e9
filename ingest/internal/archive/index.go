package archive

import (
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/identity"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

// Index knows of every message of a file its parent, its author and the institutions it names, so that what a message derives from others (its root,
// its parent's author, its thread's institutions) does not depend on the order of the rows. About a hundred bytes a message.
type Index struct {
	converter *identity.Converter
	byID      map[idHash]int32
	seeds     [2]maphash.Seed
	nodes     []node
	ids       []byte // of all nodes, one after the other
	authors   map[string]int32
	author    []string
	sets      setTable
	threads   map[int32]uint32 // by root node: the set of the thread's institutions

	platforms []string
	present   map[stretch]bool
	first     time.Time
	last      time.Time
}

type idHash [2]uint64

// node is one message id: one that has rows, or one that is only named as a parent or a root.
type node struct {
	idAt      int64
	idLen     int32
	platform  uint8
	rows      bool
	named     bool // a row names its institution: nothing else counts
	parent    int32
	root      int32 // as a row names it; resolved by Seal
	author    int32
	parentBy  int32  // the parent's author as a row names it
	wrote     uint32 // set: the institution whose account wrote it
	addressed uint32 // set: the institutions it addresses
	keyword   uint32 // set: the institutions with a keyword in it
}

const none = int32(-1)

// stretch is what coverage is written for.
type stretch struct{ Institution, Platform string }

// NewIndex returns an empty index that attributes by the converter.
func NewIndex(converter *identity.Converter) *Index {
	return &Index{
		converter: converter,
		byID:      map[idHash]int32{},
		seeds:     [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		authors:   map[string]int32{},
		sets:      newSetTable(),
		threads:   map[int32]uint32{},
		present:   map[stretch]bool{},
	}
}

// Add takes in one message. Several rows of one message (edits, its deletion) add up, in whatever order they come.
func (x *Index) Add(m *schemas.Message) {
	if x.first.IsZero() || m.CreatedAt.Before(x.first) {
		x.first = m.CreatedAt
	}
	for _, t := range []*time.Time{&m.CreatedAt, m.ObservedAt} {
		if t != nil && t.After(x.last) {
			x.last = *t
		}
	}
	concern := x.converter.Concern(m)
	at := x.node(m.Platform, m.MessageID)
	parent, root := none, none
	if m.ParentID != "" {
		parent = x.node(m.Platform, m.ParentID)
	}
	if m.RootID != "" {
		root = x.node(m.Platform, m.RootID)
	}
	author, parentBy := x.intern(m.AuthorID), none
	if m.ParentAuthorID != "" {
		parentBy = x.intern(m.ParentAuthorID)
	}
	n := &x.nodes[at]
	n.rows = true
	n.named = n.named || concern.Named
	n.parent = x.least(n.parent, parent)
	n.root = x.least(n.root, root)
	n.author = x.leastAuthor(n.author, author)
	n.parentBy = x.leastAuthor(n.parentBy, parentBy)
	if concern.Author != nil {
		n.wrote = x.sets.with(n.wrote, concern.Author)
	}
	for _, in := range concern.Addressed {
		n.addressed = x.sets.with(n.addressed, in)
	}
	for _, in := range concern.Keyword {
		n.keyword = x.sets.with(n.keyword, in)
	}
}

// Seal derives what depends on the whole file; afterwards the index is read.
func (x *Index) Seal() {
	x.resolveRoots()
	for i := range x.nodes {
		n := &x.nodes[i]
		if !n.rows {
			continue
		}
		if !n.named && n.parentBy == none && n.parent != none {
			// Whoever answers an account addresses its institution.
			n.addressed = x.sets.union(n.addressed, x.nodes[n.parent].wrote)
		}
		x.threads[n.root] = x.sets.union(x.threads[n.root], x.sets.union(n.wrote, n.addressed))
	}
	for i := range x.nodes {
		if n := &x.nodes[i]; n.rows {
			for _, in := range x.sets.members(x.concerned(n)) {
				x.present[stretch{in.ID, x.platforms[n.platform]}] = true
			}
		}
	}
}

// resolveRoots walks up to the first message whose root a row names, or to the top. Where the top's parent is missing the root is that missing
// message; in a circle, which no platform makes, it is the least id of the circle.
func (x *Index) resolveRoots() {
	const open, walking, done = 0, 1, 2
	state := make([]uint8, len(x.nodes))
	var path []int32
	for start := range x.nodes {
		path = path[:0]
		at := int32(start)
		for state[at] == open {
			n := &x.nodes[at]
			state[at] = walking
			path = append(path, at)
			if n.root != none || n.parent == none {
				break
			}
			at = n.parent
		}
		root := x.nodes[at].root
		switch {
		case state[at] == done || root != none:
		case x.nodes[at].parent == none:
			root = at
		default:
			root = at
			for _, member := range path[slices.Index(path, at):] {
				root = x.least(root, member)
			}
		}
		for _, member := range path {
			x.nodes[member].root = root
			state[member] = done
		}
	}
}

// concerned is the set of institutions that get an event of the message.
func (x *Index) concerned(n *node) uint32 {
	direct := x.sets.union(x.sets.union(n.wrote, n.addressed), n.keyword)
	if direct == emptySet && !n.named {
		return x.threads[n.root]
	}
	return direct
}

// Place returns what the index knows of a message that was added.
func (x *Index) Place(m *schemas.Message) identity.Place {
	n := &x.nodes[x.node(m.Platform, m.MessageID)]
	p := identity.Place{Institutions: x.sets.members(x.concerned(n)), RootID: x.id(n.root)}
	switch {
	case m.ParentAuthorID != "":
		p.ParentAuthorID = m.ParentAuthorID
	case n.parentBy != none:
		p.ParentAuthorID = x.author[n.parentBy]
	case n.parent != none && x.nodes[n.parent].author != none:
		p.ParentAuthorID = x.author[x.nodes[n.parent].author]
	}
	return p
}

// Stretch is a platform of the file as one institution sees it.
type Stretch = stretch

// Stretches returns, sorted, for which institutions and platforms the file has messages.
func (x *Index) Stretches() []Stretch {
	all := make([]Stretch, 0, len(x.present))
	for s := range x.present {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Stretch) int {
		return strings.Compare(a.Institution+"\x00"+a.Platform, b.Institution+"\x00"+b.Platform)
	})
	return all
}

// Span returns the first created_at and the last created_at or observed_at; zero times for a file without a valid row.
func (x *Index) Span() (first, last time.Time) { return x.first, x.last }

// IsOrphan tells that the message has a parent that is not in the file.
func (x *Index) IsOrphan(m *schemas.Message) bool {
	return m.ParentID != "" && !x.nodes[x.node(m.Platform, m.ParentID)].rows
}

func (x *Index) node(platform, id string) int32 {
	p := slices.Index(x.platforms, platform)
	if p < 0 {
		p = len(x.platforms)
		x.platforms = append(x.platforms, platform)
	}
	// 128 bits: the chance that two of a thousand million ids meet is under one in 10^20.
	key := platform + "\x00" + id
	h := idHash{maphash.String(x.seeds[0], key), maphash.String(x.seeds[1], key)}
	if at, known := x.byID[h]; known {
		return at
	}
	at := int32(len(x.nodes))
	x.nodes = append(x.nodes, node{
		idAt: int64(len(x.ids)), idLen: int32(len(id)), platform: uint8(p), parent: none, root: none, author: none, parentBy: none,
	})
	x.ids = append(x.ids, id...)
	x.byID[h] = at
	return at
}

func (x *Index) id(at int32) string {
	n := &x.nodes[at]
	return string(x.ids[n.idAt : n.idAt+int64(n.idLen)])
}

func (x *Index) intern(author string) int32 {
	at, known := x.authors[author]
	if !known {
		at = int32(len(x.author))
		x.authors[author] = at
		x.author = append(x.author, author)
	}
	return at
}

// least decides between two claims in the same way whichever comes first.
func (x *Index) least(a, b int32) int32 {
	switch {
	case a == none:
		return b
	case b == none || x.id(a) <= x.id(b):
		return a
	}
	return b
}

func (x *Index) leastAuthor(a, b int32) int32 {
	switch {
	case a == none:
		return b
	case b == none || x.author[a] <= x.author[b]:
		return a
	}
	return b
}

// setTable numbers sets of institutions: there are many messages and few different sets.
type setTable struct {
	lists [][]*institutions.Institution // sorted by id
	byKey map[string]uint32
	steps map[setStep]uint32 // what with answered before
}

type setStep struct {
	set uint32
	in  *institutions.Institution
}

const emptySet = uint32(0)

func newSetTable() setTable {
	return setTable{lists: [][]*institutions.Institution{nil}, byKey: map[string]uint32{"": emptySet}, steps: map[setStep]uint32{}}
}

func (t *setTable) members(set uint32) []*institutions.Institution { return t.lists[set] }

func (t *setTable) with(set uint32, in *institutions.Institution) uint32 {
	step := setStep{set, in}
	number, known := t.steps[step]
	if !known {
		number = t.add(set, in)
		t.steps[step] = number
	}
	return number
}

func (t *setTable) add(set uint32, in *institutions.Institution) uint32 {
	list := t.lists[set]
	at, there := slices.BinarySearchFunc(list, in.ID, func(a *institutions.Institution, id string) int { return strings.Compare(a.ID, id) })
	if there {
		return set
	}
	list = slices.Insert(slices.Clone(list), at, in)
	var key strings.Builder
	for _, member := range list {
		key.WriteString(member.ID)
		key.WriteByte(0)
	}
	number, known := t.byKey[key.String()]
	if !known {
		number = uint32(len(t.lists))
		t.lists = append(t.lists, list)
		t.byKey[key.String()] = number
	}
	return number
}

func (t *setTable) union(a, b uint32) uint32 {
	for _, in := range t.lists[b] {
		a = t.with(a, in)
	}
	return a
}
