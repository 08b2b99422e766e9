package text

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
)

// maxConcepts is how many concepts a set can hold.
const maxConcepts = 128

// conceptSet is a set of concepts, by their line in concepts.tsv.
type conceptSet [2]uint64

func (s *conceptSet) add(i int) { s[i/64] |= 1 << (i % 64) }

func (s *conceptSet) union(o conceptSet) {
	s[0] |= o[0]
	s[1] |= o[1]
}

// maxListed bounds the pairs: a text that is about everything is about nothing.
const maxListed = 24

// list appends the members, lowest first.
func (s conceptSet) list(dst []uint8) []uint8 {
	for word, members := range s {
		for members != 0 {
			i := bits.TrailingZeros64(members)
			members &^= 1 << i
			dst = append(dst, uint8(64*word+i))
		}
	}
	return dst
}

// conceptTable finds the concepts of a word, or of a pair of words, by its hash: a word is asked for in a text far more often than it has any.
type conceptTable struct {
	may   Filter
	shift int
	slots []conceptSlot
	// sets are the sets that occur; a slot with set 0 is empty.
	sets []conceptSet
}

type conceptSlot struct{ hash, set uint32 }

func newConceptTable(of map[uint32]conceptSet) conceptTable {
	// At least half of the slots are empty, so that a search is short.
	size := bits.Len(uint(2 * len(of)))
	t := conceptTable{may: NewFilter(slices.Collect(maps.Keys(of))), shift: 32 - size, slots: make([]conceptSlot, 1<<size), sets: make([]conceptSet, 1)}
	places := map[conceptSet]uint32{}
	for h, set := range of {
		place, known := places[set]
		if !known {
			place = uint32(len(t.sets))
			places[set] = place
			t.sets = append(t.sets, set)
		}
		slot := t.slot(h)
		t.slots[slot] = conceptSlot{h, place}
	}
	return t
}

// slot is where a hash stands, or would.
func (t *conceptTable) slot(h uint32) int {
	i := int(h >> t.shift)
	for t.slots[i].set != 0 && t.slots[i].hash != h {
		i = (i + 1) & (len(t.slots) - 1)
	}
	return i
}

// of returns the concepts of a word or a pair.
func (t *conceptTable) of(h uint32) conceptSet {
	if !t.may.May(h) {
		return conceptSet{}
	}
	return t.sets[t.slots[t.slot(h)].set]
}

func (a *Analyzer) readConcepts(table string) error {
	concepts := map[uint32]conceptSet{}
	add := func(h uint32, concept int) {
		set := concepts[h]
		set.add(concept)
		concepts[h] = set
	}
	concept := 0
	for i, line := range strings.Split(table, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		_, words, ok := strings.Cut(line, "\t")
		if !ok || concept == maxConcepts {
			return fmt.Errorf("reading concepts.tsv: line %d has no tab, or there are more than %d concepts", i+1, maxConcepts)
		}
		for _, w := range strings.Fields(words) {
			forms := []string{strings.TrimPrefix(w, "=")}
			if forms[0] == w && !strings.ContainsAny(w, "<_-") {
				forms = inflect(w)
			}
			for _, f := range forms {
				add(a.Canonical(f), concept)
				if first, second, two := strings.Cut(f, "_"); two {
					add(pair(a.Canonical(first), a.Canonical(second)), concept)
				}
			}
		}
		concept++
	}
	a.concepts = newConceptTable(concepts)
	return nil
}

// nasal is the form of an Indonesian base word behind meN- and peN-, and what N- alone makes of it in speech: pukul, mukul.
func nasal(w string) (formal, spoken string) {
	vowel := func(c byte) bool { return strings.IndexByte("aiueo", c) >= 0 }
	switch c := w[0]; {
	case c == 'p':
		return "m" + w[1:], "m" + w[1:]
	case c == 't':
		return "n" + w[1:], "n" + w[1:]
	case c == 's':
		return "ny" + w[1:], "ny" + w[1:]
	case c == 'k':
		return "ng" + w[1:], "ng" + w[1:]
	case c == 'b' || c == 'f' || c == 'v':
		return "m" + w, "nge" + w
	case c == 'd' || c == 'c' || c == 'j' || c == 'z':
		return "n" + w, "n" + w
	case vowel(c) || c == 'g' || c == 'h':
		return "ng" + w, "ng" + w
	}
	return w, "nge" + w
}

// inflect returns a base word with the affixes of written and spoken Indonesian. Some of the forms do not exist; nobody writes those.
func inflect(w string) []string {
	if len(w) < 3 {
		return []string{w, w + "nya"}
	}
	formal, spoken := nasal(w)
	stems := []string{w, "di" + w, "ter" + w, "ber" + w, "ke" + w, "se" + w, "me" + formal, "pe" + formal, "pen" + w, spoken, "ku" + w, "memper" + w, "diper" + w}
	out := make([]string, 0, 6*len(stems))
	for _, stem := range stems {
		out = append(out, stem)
		for _, suffix := range []string{"nya", "kan", "an", "i", "in"} {
			out = append(out, stem+suffix)
		}
	}
	return out
}

// conceptFeatures adds each concept of the text, whether it stands negated, and each pair of concepts.
func (a *Analyzer) conceptFeatures(d *Doc) {
	var plain, negated conceptSet
	previous := uint32(0)
	for i := range d.Tokens {
		t := &d.Tokens[i]
		if t.Kind == Punctuation || t.Kind == Emoji {
			continue
		}
		set := a.concepts.of(t.Hash)
		set.union(a.concepts.of(pair(previous, t.Hash)))
		previous = t.Hash
		plain.union(set)
		if t.Negated {
			negated.union(set)
		}
	}
	var listed, denied [maxConcepts]uint8
	members := plain.list(listed[:0])
	for _, c := range members {
		d.Concepts = append(d.Concepts, mix(uint32(c)*2+saltConcept))
	}
	for _, c := range negated.list(denied[:0]) {
		d.Concepts = append(d.Concepts, mix(uint32(c)*2+1+saltConcept))
	}
	if d.Shape.Questions > 0 {
		for _, c := range members {
			d.Concepts = append(d.Concepts, mix(uint32(c)*2+0x2000+saltConcept))
		}
	}
	members = members[:min(len(members), maxListed)]
	for i, c := range members {
		for _, o := range members[i+1:] {
			d.Concepts = append(d.Concepts, mix(uint32(c)<<8+uint32(o)+0x10000+saltConcept))
		}
	}
}
