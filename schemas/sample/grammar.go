package sample

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/dwiarah/dwiarah/schemas"
)

// section is a named list of texts; one that a whole message can be made of has labels.
type section struct {
	name    string
	lang    string
	options []string
	weight  int
	truth   *labels
}

// labels is what is true of a text.
type labels struct {
	needsReply bool
	sentiment  string
	riskTag    string
	severity   int
}

// grammar holds one institution's sections over the common ones, in the order of the files.
type grammar struct {
	sections []*section
	byName   map[string]*section
}

// parseGrammar reads files of the form that texts/common.txt describes.
func parseGrammar(files ...string) (*grammar, error) {
	g := &grammar{byName: map[string]*section{}}
	for _, file := range files {
		b, err := texts.ReadFile("texts/" + file)
		if err != nil {
			return nil, fmt.Errorf("reading the sample's texts: %w", err)
		}
		var current *section
		for n, line := range strings.Split(string(b), "\n") {
			switch {
			case line == "" || strings.HasPrefix(line, "# "):
			case strings.HasPrefix(line, "== "):
				current, err = parseHeader(strings.TrimPrefix(line, "== "))
				if err != nil {
					return nil, fmt.Errorf("reading the sample's texts: %s, line %d: %w", file, n+1, err)
				}
				g.sections = append(g.sections, current)
				g.byName[current.name] = current
			case current == nil:
				return nil, fmt.Errorf("reading the sample's texts: %s, line %d: a text before the first section", file, n+1)
			default:
				current.options = append(current.options, line)
			}
		}
	}
	return g, nil
}

// parseHeader reads "name@lang : need|rest sentiment tag severity *weight"; all but the name may be absent.
func parseHeader(header string) (*section, error) {
	name, described, labelled := strings.Cut(header, " : ")
	s := &section{name: name, lang: "id", weight: 1}
	if _, lang, ok := strings.Cut(name, "@"); ok {
		s.lang = lang
	}
	if !labelled {
		return s, nil
	}
	fields := strings.Fields(described)
	if len(fields) == 5 {
		weight, err := strconv.Atoi(strings.TrimPrefix(fields[4], "*"))
		if err != nil {
			return nil, fmt.Errorf("section %s: weight: %w", name, err)
		}
		s.weight, fields = weight, fields[:4]
	}
	if len(fields) != 4 || !slices.Contains([]string{"need", "rest"}, fields[0]) ||
		!slices.Contains([]string{schemas.Negative, schemas.Neutral, schemas.Positive}, fields[1]) {
		return nil, fmt.Errorf("section %s: labels %q; allowed: need or rest, a sentiment, a risk tag, a severity, *weight", name, described)
	}
	severity, err := strconv.Atoi(fields[3])
	if err != nil {
		return nil, fmt.Errorf("section %s: severity: %w", name, err)
	}
	s.truth = &labels{needsReply: fields[0] == "need", sentiment: fields[1], riskTag: fields[2], severity: severity}
	return s, nil
}

// family returns the labelled sections whose names begin with a prefix, in one language.
func (g *grammar) family(prefix, lang string) []*section {
	var found []*section
	for _, s := range g.sections {
		if strings.HasPrefix(s.name, prefix) && s.lang == lang && s.truth != nil {
			found = append(found, s)
		}
	}
	return found
}

// topic is the last part of a section's name: what the answer to it is named after.
func (s *section) topic() string {
	name, _, _ := strings.Cut(s.name, "@")
	return name[strings.LastIndex(name, "/")+1:]
}

// slots fills what only the moment knows, and remembers within one conversation what was talked about, so that an answer is about the question.
type slots struct {
	// moment holds the values of this text: the greeting, handles, numbers.
	moment map[string]func() string
	// subject holds the values that the conversation is about.
	subject map[string]string
}

// subjects are the slots that a conversation remembers.
var subjects = []string{"dok", "kec", "urus", "kampung", "blok", "air", "wilayah", "kapal", "rute", "halte", "dermaga", "tempat", "armada"}

// expand writes one text of a section. Within one text the first use of a subject is the conversation's, later ones are drawn anew.
func (g *grammar) expand(rng *rand.Rand, name string, in *slots) string {
	used := map[string]bool{}
	text := g.write(rng, "{"+name+"}", in, used)
	text = strings.Join(strings.Fields(text), " ")
	return strings.NewReplacer(" ,", ",", " .", ".", " ?", "?", ",,", ",", "?.", "?", "..", ".", "!.", "!").Replace(text)
}

func (g *grammar) write(rng *rand.Rand, template string, in *slots, used map[string]bool) string {
	var out strings.Builder
	for template != "" {
		switch at := strings.IndexAny(template, "{<"); {
		case at < 0:
			out.WriteString(template)
			template = ""
		case template[at] == '{':
			end := at + strings.IndexByte(template[at:], '}')
			out.WriteString(template[:at])
			out.WriteString(g.fill(rng, template[at+1:end], in, used))
			template = template[end+1:]
		default:
			end := at + strings.IndexByte(template[at:], '>')
			out.WriteString(template[:at])
			choices := strings.Split(template[at+1:end], "|")
			out.WriteString(g.write(rng, choices[rng.IntN(len(choices))], in, used))
			template = template[end+1:]
		}
	}
	return out.String()
}

func (g *grammar) fill(rng *rand.Rand, name string, in *slots, used map[string]bool) string {
	if value, ok := in.moment[name]; ok {
		return value()
	}
	remembered := slices.Contains(subjects, name)
	if value, ok := in.subject[name]; ok && remembered && !used[name] {
		used[name] = true
		return value
	}
	s := g.byName[name]
	if s == nil {
		return "" // the texts' test proves that no such slot is named
	}
	value := g.write(rng, s.options[rng.IntN(len(s.options))], in, used)
	if remembered && !used[name] {
		used[name], in.subject[name] = true, value
	}
	return value
}
