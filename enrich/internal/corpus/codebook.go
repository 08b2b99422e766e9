package corpus

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"path"
	"regexp"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// family is one entry of families/*.yaml: texts that share a template and labels. A family is wholly in training or wholly held out.
type family struct {
	Name      string `yaml:"family"`
	Tag       string `yaml:"tag"`
	Sentiment string `yaml:"sentiment"`
	Lang      string `yaml:"lang"`
	Function  string `yaml:"function"`
	Reply     *bool  `yaml:"reply"`
	Toxic     *bool  `yaml:"toxic"`
	Sarcasm   *bool  `yaml:"sarcasm"`
	Outbound  *bool  `yaml:"outbound"`
	// Also are tags beside the first; Escalation, Evidence and Target are the modifiers of every text of the family.
	Also       []string `yaml:"also"`
	Escalation string   `yaml:"escalation"`
	Evidence   string   `yaml:"evidence"`
	Target     string   `yaml:"target"`
	Automatic  *bool    `yaml:"automatic"`
	// NearMiss says that the texts have the words of a risk without the risk.
	NearMiss *bool  `yaml:"near_miss"`
	HeldOut  bool   `yaml:"held_out"`
	Copies   int    `yaml:"copies"`
	Texts    string `yaml:"texts"`
}

type familyFile struct {
	family   `yaml:",inline"`
	Families []family `yaml:"families"`
}

// CodeBook is the texts written for this project, as templates.
type CodeBook struct {
	slots    map[string][]string
	families []family
}

var slotPattern = regexp.MustCompile(`\{([a-z_]+)\}`)

var functions = map[string]bool{"": true, "informative": true, "educative": true, "entertaining": true, "mixed": true, "other": true}

// unstated is the sentiment of a family whose tone nobody decided: sentiment neither learns from it nor is measured on it.
const unstated = "unstated"

const defaultCopies = 4

// ReadCodeBook reads and checks the code book; it reports every fault at once. Tags are the allowed risk tags.
func ReadCodeBook(files fs.FS, tags []string) (*CodeBook, error) {
	b := &CodeBook{}
	if err := decodeFile(files, "slots.yaml", &b.slots); err != nil {
		return nil, err
	}
	allowed := map[string]bool{}
	for _, t := range tags {
		allowed[t] = true
	}
	names, err := fs.Glob(files, "families/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing the code book: %w", err)
	}
	sort.Strings(names)
	var faults []error
	seen := map[string]bool{}
	for _, name := range names {
		var file familyFile
		if err := decodeFile(files, name, &file); err != nil {
			return nil, err
		}
		for _, f := range file.Families {
			f.inherit(file.family)
			fault := func(format string, args ...any) {
				faults = append(faults, fmt.Errorf("%s: family %q: %s", path.Base(name), f.Name, fmt.Sprintf(format, args...)))
			}
			if f.Name == "" || seen[f.Name] {
				fault("name is empty or not unique")
			}
			seen[f.Name] = true
			if !allowed[f.Tag] {
				fault("tag is %q; allowed are %s", f.Tag, strings.Join(tags, ", "))
			}
			for _, tag := range f.Also {
				if !allowed[tag] || tag == f.Tag || tag == "none" {
					fault("also has %q beside the tag %q; allowed are other tags", tag, f.Tag)
				}
			}
			for _, m := range []struct{ key, value, allowed string }{
				{"escalation", f.Escalation, " none threatens_ombudsman_media_legal viral_call "},
				{"evidence", f.Evidence, " claim media document "},
				{"target", f.Target, " institution officer policy other_institution unclear "},
			} {
				if m.value != "" && !strings.Contains(m.allowed, " "+m.value+" ") {
					fault("%s is %q; allowed are %s", m.key, m.value, strings.Join(strings.Fields(m.allowed), ", "))
				}
			}
			switch f.Sentiment {
			case Negative, Neutral, Positive, unstated:
			default:
				fault("sentiment is %q; allowed are negative, neutral, positive, unstated", f.Sentiment)
			}
			if !functions[f.Function] {
				fault("function is %q; allowed are informative, educative, entertaining, mixed, other", f.Function)
			}
			if len(f.lines()) == 0 {
				fault("has no texts")
			}
			for _, line := range f.lines() {
				for _, m := range slotPattern.FindAllStringSubmatch(line, -1) {
					if len(b.slots[m[1]]) == 0 {
						fault("slot {%s} is not in slots.yaml", m[1])
					}
				}
			}
			b.families = append(b.families, f)
		}
	}
	return b, errors.Join(faults...)
}

func decodeFile(files fs.FS, name string, into any) error {
	f, err := files.Open(name)
	if err != nil {
		return fmt.Errorf("reading the code book: %w", err)
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("reading the code book's %s: %w", name, err)
	}
	return nil
}

// inherit takes what the family leaves open from its file.
func (f *family) inherit(from family) {
	if f.Tag == "" {
		f.Tag = from.Tag
	}
	if f.Sentiment == "" {
		f.Sentiment = from.Sentiment
	}
	if f.Lang == "" {
		f.Lang = from.Lang
	}
	if f.Lang == "" {
		f.Lang = "id"
	}
	if f.Reply == nil {
		f.Reply = from.Reply
	}
	if f.Outbound == nil {
		f.Outbound = from.Outbound
	}
	if f.NearMiss == nil {
		f.NearMiss = from.NearMiss
	}
	if f.Copies == 0 {
		f.Copies = defaultCopies
	}
}

func (f *family) lines() []string {
	var out []string
	for _, line := range strings.Split(f.Texts, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

func (f *family) example() Example {
	e := Example{Source: "codebook/" + f.Name, Group: f.Name, Sentiment: f.Sentiment, HasRisk: true, Function: f.Function,
		Reply: tristate(f.Reply, Unknown), Toxic: tristate(f.Toxic, No), Sarcasm: tristate(f.Sarcasm, No),
		Outbound: f.Outbound != nil && *f.Outbound, HeldOut: f.HeldOut,
		Escalation: f.Escalation, Evidence: f.Evidence, Target: f.Target, Automatic: tristate(f.Automatic, No)}
	if f.Lang != "mixed" {
		e.Lang = f.Lang
	}
	if f.Sentiment == unstated {
		e.Sentiment = ""
	}
	if f.Tag != "none" {
		e.Risk = append([]string{f.Tag}, f.Also...)
	}
	return e
}

func tristate(b *bool, absent Tristate) Tristate {
	switch {
	case b == nil:
		return absent
	case *b:
		return Yes
	}
	return No
}

// Training expands the families that train: each template several times with drawn slots, one copy as written and the rest the way people
// type. A template without slots is copied as often, differently typed. Weights of the copies of a template sum to 1.
func (b *CodeBook) Training(seed uint64) []Example {
	var out []Example
	for i := range b.families {
		f := &b.families[i]
		if f.HeldOut {
			continue
		}
		for l, line := range f.lines() {
			for c := range f.Copies {
				r := random(seed, f.Name, l, c)
				e := f.example()
				e.Weight = 1 / float64(f.Copies)
				e.Text = b.fill(line, r)
				if c > 0 {
					e.Text = retype(e.Text, r)
				}
				out = append(out, e)
			}
		}
	}
	return out
}

// HeldOut expands the families that measure: each template twice, as written and in lower case without punctuation.
func (b *CodeBook) HeldOut(seed uint64) []Example {
	var out []Example
	for i := range b.families {
		f := &b.families[i]
		if !f.HeldOut {
			continue
		}
		for l, line := range f.lines() {
			for c := range 2 {
				e := f.example()
				e.Weight = 1
				e.Text = b.fill(line, random(seed, f.Name, l, c))
				if c == 1 {
					e.Text = plain(e.Text)
				}
				out = append(out, e)
			}
		}
	}
	return out
}

// Sarcastic expands the held-out families of sarcasm, as written.
func (b *CodeBook) Sarcastic(seed uint64) []Example {
	var out []Example
	for i := range b.families {
		f := &b.families[i]
		if !f.HeldOut || f.Sarcasm == nil || !*f.Sarcasm {
			continue
		}
		for l, line := range f.lines() {
			e := f.example()
			e.Text = b.fill(line, random(seed, f.Name, l, 0))
			out = append(out, e)
		}
	}
	return out
}

// Count is how many templates a tag has: in all, by language ("mixed" if it has no one), of sarcasm, of near-misses, and that measure.
type Count struct {
	All, Sarcasm, NearMiss, HeldOut int
	Lang                            map[string]int
}

// Templates counts the templates of each tag; the institution's own texts are not among them.
func (b *CodeBook) Templates() map[string]Count {
	out := map[string]Count{}
	for i := range b.families {
		f := &b.families[i]
		if f.Outbound != nil && *f.Outbound {
			continue
		}
		n := len(f.lines())
		c := out[f.Tag]
		if c.Lang == nil {
			c.Lang = map[string]int{}
		}
		c.All += n
		c.Lang[f.Lang] += n
		if f.Sarcasm != nil && *f.Sarcasm {
			c.Sarcasm += n
		}
		if f.NearMiss != nil && *f.NearMiss {
			c.NearMiss += n
		}
		if f.HeldOut {
			c.HeldOut += n
		}
		out[f.Tag] = c
	}
	return out
}

// Lines returns the templates of the families that train, or of those that are held out, without their slots.
func (b *CodeBook) Lines(heldOut bool) []string {
	var out []string
	for i := range b.families {
		if f := &b.families[i]; f.HeldOut == heldOut {
			for _, line := range f.lines() {
				out = append(out, slotPattern.ReplaceAllString(line, ""))
			}
		}
	}
	return out
}

func random(seed uint64, name string, line, copies int) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d/%d", name, line, copies)
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

func (b *CodeBook) fill(line string, r *rand.Rand) string {
	s := slotPattern.ReplaceAllStringFunc(line, func(slot string) string {
		words := b.slots[slot[1:len(slot)-1]]
		return words[r.IntN(len(words))]
	})
	return strings.Join(strings.Fields(s), " ")
}

func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune(",.!?;:\"()", r) {
			return -1
		}
		return r
	}, strings.ToLower(s))
	return strings.Join(strings.Fields(s), " ")
}

// typed are spellings that people use, beyond those that the analyser resolves to one canonical form.
var typed = map[string][]string{
	"tidak": {"ga", "gak", "nggak", "tdk", "ndak"}, "ga": {"tidak", "gak", "tdk", "enggak"}, "sudah": {"udah", "sdh", "udh"}, "udah": {"sudah", "sdh"},
	"saya": {"sy", "aku", "gue", "saya"}, "yang": {"yg"}, "dengan": {"dgn", "sama"}, "kalau": {"kalo", "klo"}, "bisa": {"bs", "bisa"},
	"belum": {"blm", "belom"}, "min": {"kak", "admin", "min", "mimin"}, "kak": {"min", "gan", "kak"}, "tolong": {"tlg", "mohon", "tolong"},
	"gimana": {"bagaimana", "gmn", "gmna"}, "berapa": {"brp", "berapa"}, "banget": {"bgt", "sekali"}, "terus": {"trs", "mulu"}, "untuk": {"utk", "buat"},
	"karena": {"krn", "soalnya"}, "semua": {"smua"}, "juga": {"jg"}, "sampai": {"sampe", "smpe"}, "di": {"di", "d"}, "apa": {"apa", "ap"}, "mau": {"mo", "pengen", "mau"},
	"kok": {"ko", "kok", "lho kok"}, "padahal": {"pdhl", "padahal"}, "dari": {"dr", "dari"},
}

// retype writes a text the way people type: another spelling, a lost capital, no punctuation, a slip of the finger.
func retype(s string, r *rand.Rand) string {
	words := strings.Fields(s)
	for i, w := range words {
		lower := strings.ToLower(w)
		if forms := typed[lower]; forms != nil && r.IntN(2) == 0 {
			words[i] = forms[r.IntN(len(forms))]
			continue
		}
		if len(w) > 4 && r.IntN(14) == 0 && !strings.ContainsAny(w, "<>@#{}/") {
			words[i] = slip(w, r)
		}
	}
	s = strings.Join(words, " ")
	switch r.IntN(4) {
	case 0:
		s = plain(s)
	case 1:
		s = strings.ToLower(s)
	case 2:
		s = strings.TrimRight(s, ".!?")
	}
	if r.IntN(5) == 0 {
		s = "@user " + s
	}
	return s
}

// slip changes one inner letter of an ASCII word: dropped, doubled or swapped with the next.
func slip(w string, r *rand.Rand) string {
	for i := range len(w) {
		if w[i] >= 0x80 {
			return w
		}
	}
	i := 1 + r.IntN(len(w)-2)
	switch r.IntN(3) {
	case 0:
		return w[:i] + w[i+1:]
	case 1:
		return w[:i] + w[i:i+1] + w[i:]
	}
	return w[:i] + w[i+1:i+2] + w[i:i+1] + w[i+2:]
}
