// Package risk owns the reputation-risk tags: their table, the rules where words are exact, precedence and severity.
package risk

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dwiarah/dwiarah/enrich/internal/text"
)

// None is the tag of a message without risk.
const None = "none"

const policyCriticism = "policy_criticism"

// Modifiers that rules set; they never make a tag, they move its severity.
const (
	Threat           = "threatens_ombudsman_media_legal"
	ViralCall        = "viral_call"
	EvidenceMedia    = "evidence_media"
	EvidenceDocument = "evidence_document"
	Grave            = "grave"
	MoneyAsked       = "money_asked"
)

var modifierNames = []string{Threat, ViralCall, EvidenceMedia, EvidenceDocument, Grave, MoneyAsked}

// What a message threatens or calls for, beside Threat and ViralCall.
const EscalationNone = "none"

// What a message brings forward for what it says.
const (
	EvidenceClaim = "claim"
	evidenceMedia = "media"
	evidenceDoc   = "document"
)

// Whom or what a message with a risk is about.
const (
	TargetInstitution = "institution"
	TargetOfficer     = "officer"
	TargetPolicy      = "policy"
	TargetOther       = "other_institution"
	TargetUnclear     = "unclear"
)

var targetNames = []string{TargetInstitution, TargetOfficer, TargetPolicy, TargetOther}

// Tag is one row of the table.
type Tag struct {
	Tag      string `yaml:"tag"`
	Parent   string `yaml:"parent"`
	Severity int    `yaml:"severity"`
	Cap      int    `yaml:"cap"`
	// AsksReply says that a message with this tag wants an answer, whatever its form.
	AsksReply  bool     `yaml:"asks_reply"`
	Cluster    string   `yaml:"cluster"`
	Principles []string `yaml:"principles"`
	Definition string   `yaml:"definition"`
	Not        string   `yaml:"not"`
}

// Table is the tags with their precedence and the rules, ready to use. It is read-only.
type Table struct {
	// Tags in order of precedence, none left out.
	Tags []Tag
	// RulesVersion is that of rules.yaml.
	RulesVersion int
	index        map[string]int
	// rules are those that raise a tag, and those that only set a modifier.
	rules     []compiledRule
	targets   []compiledRule
	automatic []compiledRule
	// begins knows the words that a phrase of one of the rules begins with, beginning has the phrases: nearly all words begin none.
	begins    text.Filter
	beginning map[uint32][]rulePhrase
	// aboutBegins is begins for targets and automatic replies.
	aboutBegins text.Filter
}

type tagFile struct {
	Precedence    []string `yaml:"precedence"`
	DecisionOrder []string `yaml:"decision_order"`
	Tags          []Tag    `yaml:"tags"`
}

type rule struct {
	Rule     string   `yaml:"rule"`
	Modifier string   `yaml:"modifier"`
	Target   string   `yaml:"target"`
	Tag      string   `yaml:"tag"`
	Any      []string `yaml:"any"`
	Near     []string `yaml:"near"`
	Within   int      `yaml:"within"`
	Unless   []string `yaml:"unless"`
	P        float64  `yaml:"p"`
	Sets     string   `yaml:"sets"`
}

type ruleFile struct {
	Version   int    `yaml:"version"`
	Rules     []rule `yaml:"rules"`
	Modifiers []rule `yaml:"modifiers"`
	Targets   []rule `yaml:"targets"`
	Automatic []rule `yaml:"automatic"`
}

// rulePhrase is a phrase that a rule looks for, with the rule's place among the rules.
type rulePhrase struct {
	rule     int
	sequence []uint32
}

type compiledRule struct {
	// tag is -1 where the rule raises none.
	tag               int
	p                 float64
	sets              int
	within            int
	any, near, unless phrases
}

// Read reads tags.yaml and rules.yaml. Phrases are compared as the analyzer sees them.
func Read(files fs.FS, analyzer *text.Analyzer) (*Table, error) {
	var tags tagFile
	var rules ruleFile
	if err := decode(files, "tags.yaml", &tags); err != nil {
		return nil, err
	}
	if err := decode(files, "rules.yaml", &rules); err != nil {
		return nil, err
	}
	t := &Table{RulesVersion: rules.Version, index: map[string]int{}}
	rows := map[string]Tag{}
	for _, row := range tags.Tags {
		rows[row.Tag] = row
	}
	var faults []error
	for _, name := range tags.Precedence {
		row, ok := rows[name]
		if !ok {
			faults = append(faults, fmt.Errorf("tags.yaml: precedence names %q, which is no tag", name))
			continue
		}
		if name == None {
			continue
		}
		if row.Severity < 0 || row.Severity > 5 || row.Parent == "" {
			faults = append(faults, fmt.Errorf("tags.yaml: tag %q has severity %d and parent %q", name, row.Severity, row.Parent))
		}
		t.index[name] = len(t.Tags)
		t.Tags = append(t.Tags, row)
	}
	if len(tags.Precedence) != len(tags.Tags) {
		faults = append(faults, fmt.Errorf("tags.yaml: %d tags, %d in precedence", len(tags.Tags), len(tags.Precedence)))
	}
	for _, r := range rules.Rules {
		at, ok := t.index[r.Tag]
		if !ok || r.P <= 0 || r.P >= 1 || len(r.Any) == 0 || (len(r.Near) > 0) != (r.Within > 0) {
			faults = append(faults, fmt.Errorf("rules.yaml: rule %q needs a known tag, a p between 0 and 1, any, and within exactly if near", r.Rule))
			continue
		}
		c := compile(analyzer, r)
		c.tag, c.sets = at, -1
		if r.Sets != "" {
			if c.sets = modifierIndex(r.Sets); c.sets < 0 {
				faults = append(faults, fmt.Errorf("rules.yaml: rule %q sets unknown modifier %q", r.Rule, r.Sets))
			}
		}
		t.rules = append(t.rules, c)
	}
	for _, r := range rules.Modifiers {
		c := compile(analyzer, r)
		c.tag = -1
		if c.sets = modifierIndex(r.Modifier); c.sets < 0 {
			faults = append(faults, fmt.Errorf("rules.yaml: unknown modifier %q", r.Modifier))
		}
		t.rules = append(t.rules, c)
	}
	for _, r := range rules.Targets {
		c := compile(analyzer, r)
		if c.sets = slices.Index(targetNames, r.Target); c.sets < 0 {
			faults = append(faults, fmt.Errorf("rules.yaml: unknown target %q; allowed are %s", r.Target, strings.Join(targetNames, ", ")))
		}
		t.targets = append(t.targets, c)
	}
	for _, r := range rules.Automatic {
		if len(r.Any) == 0 || (len(r.Near) > 0) != (r.Within > 0) {
			faults = append(faults, fmt.Errorf("rules.yaml: rule %q needs any, and within exactly if near", r.Rule))
		}
		t.automatic = append(t.automatic, compile(analyzer, r))
	}
	if n := len(t.rules); n > 64 {
		faults = append(faults, fmt.Errorf("rules.yaml: %d rules and modifiers; at most 64 are allowed", n))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("reading the risk table: %w", err)
	}
	t.beginning = map[uint32][]rulePhrase{}
	for i, r := range t.rules {
		for h, sequences := range r.any.byFirst {
			for _, sequence := range sequences {
				t.beginning[h] = append(t.beginning[h], rulePhrase{i, sequence})
			}
		}
	}
	t.begins = text.NewFilter(slices.Collect(maps.Keys(t.beginning)))
	var first []uint32
	for _, r := range slices.Concat(t.targets, t.automatic) {
		first = slices.AppendSeq(first, maps.Keys(r.any.byFirst))
	}
	t.aboutBegins = text.NewFilter(first)
	return t, nil
}

func decode(files fs.FS, name string, into any) error {
	f, err := files.Open(name)
	if err != nil {
		return fmt.Errorf("reading the risk table: %w", err)
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("reading the risk table's %s: %w", name, err)
	}
	return nil
}

func modifierIndex(name string) int {
	for i, n := range modifierNames {
		if n == name {
			return i
		}
	}
	return -1
}

// Names returns the tags in order of precedence.
func (t *Table) Names() []string {
	out := make([]string, len(t.Tags))
	for i, tag := range t.Tags {
		out[i] = tag.Tag
	}
	return out
}

// Index returns the place of a tag in precedence, -1 if there is no such tag.
func (t *Table) Index(tag string) int {
	if i, ok := t.index[tag]; ok {
		return i
	}
	return -1
}

// Modifiers is a set of modifiers.
type Modifiers uint8

// Has reports whether the set holds the named modifier.
func (m Modifiers) Has(name string) bool {
	i := modifierIndex(name)
	return i >= 0 && m&(1<<i) != 0
}

// Lexicon is the words that are abuse wherever they stand.
type Lexicon struct{ strong phrases }

// ReadLexicon reads abusive.yaml.
func ReadLexicon(files fs.FS, analyzer *text.Analyzer) (*Lexicon, error) {
	var file struct {
		Strong []string `yaml:"strong"`
	}
	if err := decode(files, "abusive.yaml", &file); err != nil {
		return nil, err
	}
	return &Lexicon{strong: compilePhrases(analyzer, file.Strong)}, nil
}

// Abusive reports whether the text holds such a word.
func (l *Lexicon) Abusive(d *text.Doc) bool {
	return l.strong.anywhere(d.Tokens[:min(len(d.Tokens), ruleTokens)])
}

// phrases finds sequences of canonical words.
type phrases struct {
	begins  text.Filter
	byFirst map[uint32][][]uint32
}

func compilePhrases(a *text.Analyzer, list []string) phrases {
	p := phrases{byFirst: map[uint32][][]uint32{}}
	for _, s := range list {
		var sequence []uint32
		d := &text.Doc{}
		a.Analyze(d, s)
		for _, tok := range d.Tokens {
			sequence = append(sequence, tok.Hash)
		}
		if len(sequence) > 0 {
			p.byFirst[sequence[0]] = append(p.byFirst[sequence[0]], sequence)
		}
	}
	p.begins = text.NewFilter(slices.Collect(maps.Keys(p.byFirst)))
	return p
}

// at reports whether one of the phrases begins at token i.
func (p *phrases) at(tokens []text.Token, i int) bool {
	if !p.begins.May(tokens[i].Hash) {
		return false
	}
	for _, sequence := range p.byFirst[tokens[i].Hash] {
		if follows(tokens[i:], sequence) {
			return true
		}
	}
	return false
}

// follows reports whether the tokens begin with the sequence.
func follows(tokens []text.Token, sequence []uint32) bool {
	if len(sequence) > len(tokens) {
		return false
	}
	for j, h := range sequence {
		if tokens[j].Hash != h {
			return false
		}
	}
	return true
}

func (p *phrases) anywhere(tokens []text.Token) bool {
	if len(p.byFirst) == 0 {
		return false
	}
	for i := range tokens {
		if p.at(tokens, i) {
			return true
		}
	}
	return false
}

func compile(a *text.Analyzer, r rule) compiledRule {
	return compiledRule{p: r.P, within: r.Within, any: compilePhrases(a, r.Any), near: compilePhrases(a, r.Near), unless: compilePhrases(a, r.Unless)}
}

// fires reports whether a phrase of the rule begins at one of the places, with what the rule wants nearby, and nothing forbids it.
func (r *compiledRule) fires(tokens []text.Token, places []int16) bool {
	for _, place := range places {
		i := int(place)
		if r.any.at(tokens, i) && r.nearby(tokens, i) {
			return !r.unless.anywhere(tokens)
		}
	}
	return false
}

// nearby reports whether what the rule wants near its phrase stands near token i.
func (r *compiledRule) nearby(tokens []text.Token, i int) bool {
	if len(r.near.byFirst) == 0 {
		return true
	}
	for j := max(0, i-r.within); j < len(tokens) && j <= i+r.within; j++ {
		if r.near.at(tokens, j) {
			return true
		}
	}
	return false
}

// ruleTokens bounds how much of a text rules look at, and so their time.
const ruleTokens = 512

// Apply raises p (one entry a tag, in order of precedence) where a rule is exact, and returns the modifiers of the text.
func (t *Table) Apply(d *text.Doc, p []float64) Modifiers {
	tokens := d.Tokens[:min(len(d.Tokens), ruleTokens)]
	var m Modifiers
	settled := uint64(0)
	for i := range tokens {
		h := tokens[i].Hash
		if !t.begins.May(h) {
			continue
		}
		for _, phrase := range t.beginning[h] {
			r := &t.rules[phrase.rule]
			if settled>>phrase.rule&1 != 0 || !follows(tokens[i:], phrase.sequence) || !r.nearby(tokens, i) {
				continue
			}
			settled |= 1 << phrase.rule
			if r.unless.anywhere(tokens) {
				continue
			}
			if r.tag >= 0 {
				p[r.tag] = max(p[r.tag], r.p)
			}
			if r.sets >= 0 {
				m |= 1 << r.sets
			}
		}
	}
	return m
}

// placesOf appends where a phrase may begin.
func placesOf(begins *text.Filter, tokens []text.Token, into []int16) []int16 {
	for i := range tokens {
		if begins.May(tokens[i].Hash) {
			into = append(into, int16(i))
		}
	}
	return into
}

// Escalation is what the message threatens or calls for: a threat of the ombudsman, media or law outweighs a call to make it viral.
func (m Modifiers) Escalation() string {
	switch {
	case m.Has(Threat):
		return Threat
	case m.Has(ViralCall):
		return ViralCall
	}
	return EscalationNone
}

// Evidence is what the message says it can show: a document outweighs pictures.
func (m Modifiers) Evidence() string {
	switch {
	case m.Has(EvidenceDocument):
		return evidenceDoc
	case m.Has(EvidenceMedia):
		return evidenceMedia
	}
	return EvidenceClaim
}

// Target is whom or what a message with the tag is about: a policy by its tag, else the first of the rules that fires, else unclear.
func (t *Table) Target(d *text.Doc, tag string) string {
	if tag == policyCriticism {
		return TargetPolicy
	}
	tokens := d.Tokens[:min(len(d.Tokens), ruleTokens)]
	var room [ruleTokens]int16
	places := placesOf(&t.aboutBegins, tokens, room[:0])
	for i := range t.targets {
		if t.targets[i].fires(tokens, places) {
			return targetNames[t.targets[i].sets]
		}
	}
	return TargetUnclear
}

// Automatic reports whether the institution's own text says of itself, or shows by its form, that nobody wrote it for this reader.
func (t *Table) Automatic(d *text.Doc) bool {
	tokens := d.Tokens[:min(len(d.Tokens), ruleTokens)]
	var room [ruleTokens]int16
	places := placesOf(&t.aboutBegins, tokens, room[:0])
	for i := range t.automatic {
		if t.automatic[i].fires(tokens, places) {
			return true
		}
	}
	return false
}

// Severity is that of one tag under the modifiers: base, one more for evidence (from base 3 on) and one more for escalation, at most 5, and
// never more than the tag's cap. Ill-treatment that is grave has base 5, a scam that asks for money 4.
func (t *Table) Severity(tag int, m Modifiers) int {
	row := &t.Tags[tag]
	base := row.Severity
	switch {
	case row.Tag == "abuse_discrimination" && m.Has(Grave):
		base = 5
	case row.Tag == "hoax_impersonation" && m.Has(MoneyAsked):
		base = 4
	}
	severity := base
	if base >= 3 && (m.Has(EvidenceMedia) || m.Has(EvidenceDocument)) {
		severity++
	}
	if m.Has(Threat) || m.Has(ViralCall) {
		severity++
	}
	severity = min(severity, 5)
	if row.Cap > 0 {
		severity = min(severity, row.Cap)
	}
	return severity
}

// Parents returns the parent of each tag in order of precedence, and the distinct parents in the order in which they first occur.
func (t *Table) Parents() (of []int, names []string) {
	index := map[string]int{}
	for _, tag := range t.Tags {
		i, ok := index[tag.Parent]
		if !ok {
			i = len(names)
			index[tag.Parent] = i
			names = append(names, tag.Parent)
		}
		of = append(of, i)
	}
	return of, names
}

// String lists the tags for a person.
func (t *Table) String() string { return strings.Join(t.Names(), ", ") }
