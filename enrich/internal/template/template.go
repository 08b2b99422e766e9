// Package template owns the templates of an institution's own replies: near-identical texts that one account sent to many people. Find reads them off an
// account's replies; a Set tells whether a reply was made from one. A text alone cannot show that it was sent before, so what is known of repetition is
// a file, as the model is: found by a command, read by people, loaded by the service.
package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/dwiarah/dwiarah/enrich/internal/lines"
)

// Reply is one of an institution's own replies.
type Reply struct {
	// Account is the official account, Person whom the reply went to; any names that tell them apart.
	Account, Person string
	Text            string
}

// Template is what near-identical replies of one account have in common.
type Template struct {
	Account string `json:"account"`
	// Text is the words in common, in their order; Gap stands where the replies differ.
	Text string `json:"text"`
	// Messages and People are how many replies were made from it, and to how many people.
	Messages int `json:"messages"`
	People   int `json:"people"`
}

// Gap stands for words that differ from reply to reply.
const Gap = "…"

// Limits say what is a template.
type Limits struct {
	// Messages and People are the fewest of either.
	Messages, People int
}

const (
	// fewestWords: shorter texts ("sama-sama kak, terima kasih") are everybody's courtesy.
	fewestWords = 8
	// mostWords bounds the comparison of two texts; what lies beyond is not compared.
	mostWords = 96
	// fixedShare is the least share of the longer text's words that two near-identical texts have in common, in one order.
	fixedShare = 0.75
	// mostFamilies bounds how many beginnings of a template are compared with a reply.
	mostFamilies = 64
)

type family struct {
	seed     []string
	common   []string
	messages int
	people   map[string]bool
}

// Find returns the templates of each account, the most used first. The order of the replies decides nothing but between near-identical candidates.
func Find(replies []Reply, l Limits) []Template {
	byAccount := map[string][]*family{}
	// Families are looked up by a run of three words of their first text.
	type run struct {
		account string
		hash    uint64
	}
	index := map[run][]*family{}
	for _, r := range replies {
		w := words(r.Text)
		if len(w) < fewestWords {
			continue
		}
		var found *family
		var common []string
		tried := map[*family]bool{}
	search:
		for i := 0; i+3 <= len(w); i++ {
			for _, f := range index[run{r.Account, hash(w[i : i+3])}] {
				if tried[f] {
					continue
				}
				if tried[f] = true; len(tried) > mostFamilies {
					break search
				}
				if c := inCommon(f.seed, w); alike(len(c), len(f.seed), len(w)) {
					found, common = f, inCommon(f.common, w)
					break search
				}
			}
		}
		if found == nil {
			found = &family{seed: w, people: map[string]bool{}}
			common = w
			byAccount[r.Account] = append(byAccount[r.Account], found)
			for i := 0; i+3 <= len(w); i++ {
				k := run{r.Account, hash(w[i : i+3])}
				index[k] = append(index[k], found)
			}
		}
		found.common = common
		found.messages++
		found.people[r.Person] = true
	}
	var out []Template
	for account, families := range byAccount {
		for _, f := range families {
			if f.messages >= l.Messages && len(f.people) >= l.People && len(f.common) >= fewestWords {
				out = append(out, Template{Account: account, Text: withGaps(f.seed, f.common), Messages: f.messages, People: len(f.people)})
			}
		}
	}
	slices.SortFunc(out, func(a, b Template) int {
		if a.Account != b.Account {
			return strings.Compare(a.Account, b.Account)
		}
		if a.Messages != b.Messages {
			return b.Messages - a.Messages
		}
		return strings.Compare(a.Text, b.Text)
	})
	return out
}

func alike(common, a, b int) bool { return float64(common) >= fixedShare*float64(max(a, b)) }

func hash(words []string) uint64 {
	h := fnv.New64a()
	for _, w := range words {
		io.WriteString(h, w)
		h.Write([]byte{0})
	}
	return h.Sum64()
}

// words are lower-case and without mentions, addresses and punctuation; a word with a digit is "#", because numbers are what differs between
// replies from one template.
func words(s string) []string {
	var out []string
	for _, field := range strings.Fields(strings.ToLower(s)) {
		if strings.HasPrefix(field, "@") || strings.Contains(field, "://") {
			continue
		}
		for _, w := range strings.FieldsFunc(field, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }) {
			if strings.ContainsFunc(w, unicode.IsNumber) {
				w = "#"
			}
			if out = append(out, w); len(out) == mostWords {
				return out
			}
		}
	}
	return out
}

// inCommon is the longest common subsequence.
func inCommon(a, b []string) []string {
	width := len(b) + 1
	length := make([]uint8, (len(a)+1)*width)
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				length[i*width+j] = length[(i+1)*width+j+1] + 1
			} else {
				length[i*width+j] = max(length[(i+1)*width+j], length[i*width+j+1])
			}
		}
	}
	var out []string
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			out = append(out, a[i])
			i++
			j++
		case length[(i+1)*width+j] >= length[i*width+j+1]:
			i++
		default:
			j++
		}
	}
	return out
}

// withGaps writes the words in common, with a gap wherever the text they come from has others.
func withGaps(of, common []string) string {
	var out []string
	at := 0
	for _, w := range of {
		if at < len(common) && common[at] == w {
			out = append(out, w)
			at++
		} else if len(out) == 0 || out[len(out)-1] != Gap {
			out = append(out, Gap)
		}
	}
	return strings.Join(out, " ")
}

// Set is the known templates, ready to use. The zero value knows none. It is read-only.
type Set struct {
	of      map[string][][]string
	version string
}

// Read reads a set, a template a line in JSON. The error names the line.
func Read(r io.Reader) (*Set, error) {
	s := &Set{of: map[string][][]string{}}
	content := fnv.New32a()
	err := lines.Each(r, func(number int, line []byte) error {
		var t Template
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&t); err != nil {
			return fmt.Errorf("line %d is not a JSON object of {account, text, messages, people}: %w", number, err)
		}
		w := words(t.Text)
		switch {
		case t.Account == "":
			return fmt.Errorf("line %d has no account", number)
		case len(w) < fewestWords:
			return fmt.Errorf("line %d has %d words; %d or more are wanted, because shorter texts are everybody's", number, len(w), fewestWords)
		}
		s.of[t.Account] = append(s.of[t.Account], w)
		fmt.Fprintf(content, "%s\x00%s\x00", t.Account, strings.Join(w, " "))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading templates: %w", err)
	}
	if len(s.of) > 0 {
		s.version = fmt.Sprintf("templates-%08x", content.Sum32())
	}
	return s, nil
}

// Version names the templates by their content; it is empty for none.
func (s *Set) Version() string { return s.version }

// Made reports whether a reply of the account was made from one of its templates: it has all words of the template in their order, and few others.
func (s *Set) Made(account, text string) bool {
	templates := s.of[account]
	if len(templates) == 0 {
		return false
	}
	w := words(text)
	return slices.ContainsFunc(templates, func(t []string) bool {
		at := 0
		for _, x := range w {
			if at < len(t) && t[at] == x {
				at++
			}
		}
		return at == len(t) && alike(at, len(t), len(w))
	})
}

// Write writes templates as Read reads them.
func Write(w io.Writer, templates []Template) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for i := range templates {
		if err := e.Encode(&templates[i]); err != nil {
			return fmt.Errorf("writing templates: %w", err)
		}
	}
	return nil
}
