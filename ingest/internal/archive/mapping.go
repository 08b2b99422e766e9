package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/dwiarah/dwiarah/schemas"
)

// Mapping says how the columns of a CSV become messages. ingest/README.md describes its file.
type Mapping struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
	// Delimiter parts the fields; a comma when empty.
	Delimiter string `yaml:"delimiter"`
	// Constants are fields that every row shares: platform, institution, account, kind, lang.
	Constants map[string]string `yaml:"constants"`
	// Columns names, for a field of the message, the column that holds it, or several of which the first one present is taken.
	Columns map[string]names `yaml:"columns"`
	// Optional fields may have no column in the file.
	Optional []string     `yaml:"optional"`
	Times    TimeRule     `yaml:"times"`
	Kind     KindRule     `yaml:"kind"`
	Inbound  InboundRule  `yaml:"inbound"`
	Mentions MentionsRule `yaml:"mentions"`
	Missing  MissingRule  `yaml:"missing"`
	// Entities tells that texts hold HTML's entities, as &amp; for &.
	Entities bool `yaml:"html_entities"`

	zone    *time.Location
	pattern *regexp.Regexp
}

// TimeRule says how times are written.
type TimeRule struct {
	// Layouts are tried in order, as Go writes them; RFC 3339 when there are none.
	Layouts []string `yaml:"layouts"`
	// Zone is the IANA zone of times that name none; UTC when empty.
	Zone string `yaml:"zone"`
}

// KindRule derives the kind. The first of the flags that the row raises counts; then whether the row names a parent or the parent's author. Either half of that
// may be empty: then the kind's column or constant counts.
type KindRule struct {
	Flags         []FlagRule `yaml:"flags"`
	WithParent    string     `yaml:"with_parent"`
	WithoutParent string     `yaml:"without_parent"`
}

// FlagRule is a column of yes and no that tells one kind.
type FlagRule struct {
	Column string `yaml:"column"`
	Kind   string `yaml:"kind"`
}

// InboundRule reads the direction from a column of yes and no.
type InboundRule struct {
	Column string `yaml:"column"`
}

// MentionsRule says where mentions are: ids in a column, or handles in the text, found by an expression whose first group is the handle.
type MentionsRule struct {
	Column    string `yaml:"column"`
	Separator string `yaml:"separator"`
	Pattern   string `yaml:"pattern"`
}

// MissingRule says what stands for what an export lacks.
type MissingRule struct {
	// MessageID "hash": the hash of the row's content and of how many equal rows came before it. Empty: the row is dead-lettered.
	MessageID string `yaml:"message_id"`
	// AuthorID "row": each row is an author of its own. Empty: the row is dead-lettered.
	AuthorID string `yaml:"author_id"`
}

type names []string

func (n *names) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*n = names{node.Value}
		return nil
	}
	return node.Decode((*[]string)(n))
}

// Fields that a column can hold, and those that can be constants.
var (
	columnFields = []string{
		"platform", "message_id", "institution", "account", "kind", "author_id", "author_followers", "author_created_at", "created_at", "observed_at",
		"edited_at", "deleted_at", "text", "lang", "parent_id", "parent_author_id", "root_id", "likes", "replies", "shares", "views", "is_auto", "url",
	}
	constantFields = []string{"platform", "institution", "account", "kind", "lang"}
)

// LoadMapping returns a mapping by the name of one that ships in shipped, or else by path.
func LoadMapping(nameOrPath string, shipped fs.FS) (*Mapping, error) {
	all, err := Shipped(shipped)
	if err != nil {
		return nil, err
	}
	var known []string
	for _, m := range all {
		if m.Name == nameOrPath {
			return m, nil
		}
		known = append(known, m.Name)
	}
	b, err := os.ReadFile(nameOrPath)
	if err != nil {
		return nil, fmt.Errorf("reading the mapping: %w; allowed: a file, or one of %s", err, strings.Join(known, ", "))
	}
	return ParseMapping(nameOrPath, b)
}

// Shipped returns the mappings of a folder, by name.
func Shipped(shipped fs.FS) ([]*Mapping, error) {
	files, err := fs.Glob(shipped, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing the shipped mappings: %w", err)
	}
	var all []*Mapping
	for _, file := range files {
		b, err := fs.ReadFile(shipped, file)
		if err != nil {
			return nil, fmt.Errorf("reading the shipped mapping %s: %w", file, err)
		}
		m, err := ParseMapping(file, b)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// DetectMapping reads the header of a CSV and returns the mapping whose columns it has, of several the one that requires most of them.
func DetectMapping(path string, shipped fs.FS) (*Mapping, error) {
	all, err := Shipped(shipped)
	if err != nil {
		return nil, err
	}
	s, err := open(path)
	if err != nil {
		return nil, err
	}
	defer s.close() //nolint:errcheck // It was only read.
	l, err := newLineReader(s).next()
	if err != nil {
		return nil, fmt.Errorf("reading the header of %s: %w", path, err)
	}
	p := csvParser{comma: ','}
	if problem := p.feed(bytes.TrimPrefix(l.bytes, byteOrderMark)); problem != "" {
		return nil, fmt.Errorf("reading the header of %s: %s", path, problem)
	}
	var best *Mapping
	most := 0
	for _, m := range all {
		required := len(m.Columns) - len(m.Optional) + len(m.Kind.Flags)
		if _, err := m.bind(p.fields, Defaults{Platform: schemas.PlatformWeb}); err == nil && required > most {
			best, most = m, required
		}
	}
	if best == nil {
		var known []string
		for _, m := range all {
			known = append(known, m.Name)
		}
		return nil, fmt.Errorf("%s: no shipped mapping (%s) fits: it has %s; give a mapping file", path, strings.Join(known, ", "), named(p.fields))
	}
	return best, nil
}

// A column is called by something short that begins with a letter, or by nothing; what has an address or a number of many digits in it is no name.
var (
	columnName = regexp.MustCompile(`^([\pL_][\pL\pN_ .:/()#-]{0,39})?$`)
	digits     = regexp.MustCompile(`\d{5}`)
)

// named lists the columns of a header. A file without one begins with what somebody wrote, which no error repeats: where one field cannot be a column's name, none is shown.
func named(header []string) string {
	for _, name := range header {
		if name = strings.TrimSpace(name); !columnName.MatchString(name) || digits.MatchString(name) {
			return fmt.Sprintf("a first line of %d fields that are not all names of columns (a header is missing?)", len(header))
		}
	}
	return "the columns " + strings.Join(header, ", ")
}

// ParseMapping reads a mapping; name stands for the file in errors. The error joins everything that is wrong.
func ParseMapping(name string, b []byte) (*Mapping, error) {
	var m Mapping
	var problems []error
	report := func(key, value, allowed string) {
		problems = append(problems, fmt.Errorf("%s: %s: %q; allowed: %s", name, key, value, allowed))
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&m); err != nil {
		var typ *yaml.TypeError
		if !errors.As(err, &typ) {
			return nil, fmt.Errorf("%s: reading YAML: %w", name, err)
		}
		for _, l := range typ.Errors {
			problems = append(problems, fmt.Errorf("%s: %s", name, l))
		}
	}
	if m.Name == "" {
		m.Name = name
	}
	m.check(report)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return &m, nil
}

func (m *Mapping) check(report func(key, value, allowed string)) {
	if len(m.Delimiter) > 1 || m.Delimiter == `"` || m.Delimiter == "\r" || m.Delimiter == "\n" {
		report("delimiter", m.Delimiter, `one character of one byte, as "," ";" or a tab`)
	}
	for _, key := range sortedKeys(m.Columns) {
		if !slices.Contains(columnFields, key) {
			report("columns."+key, key, "one of "+strings.Join(columnFields, ", "))
		} else if len(m.Columns[key]) == 0 {
			report("columns."+key, "", "the name of a column, or a list of names")
		}
	}
	for _, key := range sortedKeys(m.Constants) {
		if !slices.Contains(constantFields, key) {
			report("constants."+key, m.Constants[key], "one of "+strings.Join(constantFields, ", "))
		}
	}
	for _, key := range m.Optional {
		if _, there := m.Columns[key]; !there {
			report("optional", key, "a field of columns")
		}
	}
	for key, kind := range map[string]string{"kind.with_parent": m.Kind.WithParent, "kind.without_parent": m.Kind.WithoutParent, "constants.kind": m.Constants["kind"]} {
		if kind != "" && !slices.Contains(schemas.Kinds(), kind) {
			report(key, kind, "one of "+strings.Join(schemas.Kinds(), ", "))
		}
	}
	for n, flag := range m.Kind.Flags {
		if !slices.Contains(schemas.Kinds(), flag.Kind) {
			report(fmt.Sprintf("kind.flags[%d].kind", n), flag.Kind, "one of "+strings.Join(schemas.Kinds(), ", "))
		}
		if flag.Column == "" {
			report(fmt.Sprintf("kind.flags[%d].column", n), "", "the name of a column of yes and no")
		}
	}
	if p := m.Constants["platform"]; p != "" && !schemas.KnownPlatform(p) {
		report("constants.platform", p, "one of "+strings.Join(schemas.Platforms(), ", "))
	}
	for _, required := range []string{"text", "created_at"} {
		if _, there := m.Columns[required]; !there {
			report("columns."+required, "", "the name of a column: every message has it")
		}
	}
	if m.Missing.MessageID != "" && m.Missing.MessageID != "hash" {
		report("missing.message_id", m.Missing.MessageID, `"hash", or absent`)
	}
	if m.Missing.AuthorID != "" && m.Missing.AuthorID != "row" {
		report("missing.author_id", m.Missing.AuthorID, `"row", or absent`)
	}
	var err error
	if m.zone, err = time.LoadLocation(m.Times.Zone); err != nil || m.Times.Zone == "Local" {
		report("times.zone", m.Times.Zone, "an IANA zone, as Asia/Jakarta")
	}
	for n, layout := range m.Times.Layouts {
		// A layout is sound when it writes a time that it can read again as the same day.
		probe := time.Date(2021, 11, 28, 0, 0, 0, 0, time.UTC)
		if back, err := time.Parse(layout, probe.Format(layout)); err != nil || !back.Equal(probe) && !unixLayout(layout) {
			report(fmt.Sprintf("times.layouts[%d]", n), layout, "Go's reference time in the export's form, as 2006-01-02 15:04:05")
		}
	}
	if m.Mentions.Pattern != "" {
		if m.pattern, err = regexp.Compile(m.Mentions.Pattern); err != nil || m.pattern.NumSubexp() < 1 {
			report("mentions.pattern", m.Mentions.Pattern, `an RE2 expression whose first group is the handle, as @(\w+)`)
		}
		if m.Mentions.Column != "" {
			report("mentions.column", m.Mentions.Column, "absent when there is a pattern")
		}
	}
}

func unixLayout(layout string) bool { return layout == "unix" || layout == "unix_ms" }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (m *Mapping) comma() byte {
	if m.Delimiter == "" {
		return ','
	}
	return m.Delimiter[0]
}

// columns is a mapping bound to the header of one file.
type columns struct {
	*Mapping
	defaults Defaults
	at       map[string]int
	inbound  int
	mentions int
	flags    []int
	// seen counts equal rows, for the ids of rows that have none.
	seen map[[16]byte]int
}

// bind finds the mapping's columns in a header. The error names every column that is not there.
func (m *Mapping) bind(header []string, defaults Defaults) (*columns, error) {
	c := &columns{Mapping: m, defaults: defaults, at: map[string]int{}, inbound: -1, mentions: -1, seen: map[[16]byte]int{}, flags: make([]int, len(m.Kind.Flags))}
	index := map[string]int{}
	for n, name := range header {
		name = strings.TrimSpace(name)
		if _, twice := index[name]; twice {
			return nil, fmt.Errorf("mapping %s: the file has a column twice: it has %s; allowed: each once", m.Name, named(header))
		}
		index[name] = n
	}
	var absent []string
	for _, field := range sortedKeys(m.Columns) {
		found := false
		for _, name := range m.Columns[field] {
			if n, there := index[name]; there {
				c.at[field], found = n, true
				break
			}
		}
		if !found && !slices.Contains(m.Optional, field) {
			absent = append(absent, fmt.Sprintf("%s (for %s)", strings.Join(m.Columns[field], " or "), field))
		}
	}
	type extra struct {
		column string
		at     *int
	}
	extras := []extra{{m.Inbound.Column, &c.inbound}, {m.Mentions.Column, &c.mentions}}
	for n, flag := range m.Kind.Flags {
		extras = append(extras, extra{flag.Column, &c.flags[n]})
	}
	for _, extra := range extras {
		if extra.column == "" {
			continue
		}
		n, there := index[extra.column]
		if !there {
			absent = append(absent, extra.column)
			continue
		}
		*extra.at = n
	}
	if len(absent) > 0 {
		return nil, fmt.Errorf("mapping %s: the file lacks the columns %s; it has %s", m.Name, strings.Join(absent, ", "), named(header))
	}
	if _, column := c.at["platform"]; !column && m.Constants["platform"] == "" && defaults.Platform == "" {
		return nil, fmt.Errorf("mapping %s: nothing names the platform; give one of %s", m.Name, strings.Join(schemas.Platforms(), ", "))
	}
	return c, nil
}

// message makes a message of the fields of one row and validates it.
func (c *columns) message(fields []string, now time.Time) (*schemas.Message, *schemas.FieldError) {
	m := &schemas.Message{}
	text := func(key string) string {
		n, there := c.at[key]
		if there && (key == "text" || strings.TrimSpace(fields[n]) != "") {
			if key == "text" {
				return fields[n]
			}
			return strings.TrimSpace(fields[n])
		}
		return c.constant(key)
	}
	m.Platform, m.Institution, m.Account, m.Kind, m.Lang = text("platform"), text("institution"), text("account"), text("kind"), text("lang")
	m.MessageID, m.AuthorID, m.ParentID, m.ParentAuthorID, m.RootID = text("message_id"), text("author_id"), text("parent_id"), text("parent_author_id"), text("root_id")
	m.Text, m.URL = text("text"), text("url")

	var created *time.Time
	for _, t := range []struct {
		key string
		at  **time.Time
	}{{"created_at", &created}, {"observed_at", &m.ObservedAt}, {"edited_at", &m.EditedAt}, {"deleted_at", &m.DeletedAt}, {"author_created_at", &m.AuthorCreatedAt}} {
		if value := text(t.key); value != "" {
			at, ok := c.time(value)
			if !ok {
				return nil, &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: t.key, Value: clip(value), Allowed: "a time as " + strings.Join(c.layouts(), " or ")}
			}
			*t.at = &at
		}
	}
	if created != nil {
		m.CreatedAt = *created
	}
	for _, n := range []struct {
		key   string
		count **int64
	}{{"author_followers", &m.AuthorFollowers}, {"likes", &m.Likes}, {"replies", &m.Replies}, {"shares", &m.Shares}, {"views", &m.Views}} {
		if value := text(n.key); value != "" {
			count, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return nil, &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: n.key, Value: clip(value), Allowed: "a whole number, or empty"}
			}
			*n.count = &count
		}
	}
	var err *schemas.FieldError
	if m.IsAuto, err = yes("is_auto", text("is_auto")); err != nil {
		return nil, err
	}
	if c.inbound >= 0 {
		inbound, err := yes(c.Inbound.Column, strings.TrimSpace(fields[c.inbound]))
		if err != nil {
			return nil, err
		}
		m.Direction = schemas.Outbound
		if inbound {
			m.Direction = schemas.Inbound
		}
	}
	if err := c.kind(m, fields); err != nil {
		return nil, err
	}
	if c.Entities {
		m.Text = html.UnescapeString(m.Text)
	}
	c.mention(m, fields)
	c.complete(m, fields)
	if err := m.Validate(now); err != nil {
		return nil, asFieldError(err)
	}
	return m, nil
}

// constant is what stands for a field that the row lacks; what the caller names comes before the mapping's own.
func (c *columns) constant(key string) string {
	given := map[string]string{"platform": c.defaults.Platform, "institution": c.defaults.Institution, "account": c.defaults.Account}[key]
	if given != "" {
		return given
	}
	return c.Constants[key]
}

func (c *columns) kind(m *schemas.Message, fields []string) *schemas.FieldError {
	for n, flag := range c.Kind.Flags {
		raised, err := yes(flag.Column, strings.TrimSpace(fields[c.flags[n]]))
		if err != nil {
			return err
		}
		if raised {
			m.Kind = flag.Kind
			return nil
		}
	}
	kind := c.Kind.WithoutParent
	if m.ParentID != "" || m.ParentAuthorID != "" {
		kind = c.Kind.WithParent
	}
	if kind != "" {
		m.Kind = kind
	}
	return nil
}

func (c *columns) mention(m *schemas.Message, fields []string) {
	if c.pattern != nil {
		for _, found := range c.pattern.FindAllStringSubmatch(m.Text, -1) {
			if !slices.Contains(m.Mentions, found[1]) {
				m.Mentions = append(m.Mentions, found[1])
			}
		}
	}
	if c.mentions >= 0 {
		separator := c.Mentions.Separator
		if separator == "" {
			separator = " "
		}
		for id := range strings.SplitSeq(fields[c.mentions], separator) {
			if id = strings.TrimSpace(id); id != "" {
				m.Mentions = append(m.Mentions, id)
			}
		}
	}
}

// complete gives ids to rows of an export that has none.
func (c *columns) complete(m *schemas.Message, fields []string) {
	if m.MessageID == "" && c.Missing.MessageID == "hash" {
		h := sha256.New()
		for _, f := range fields {
			h.Write(strconv.AppendInt(nil, int64(len(f)), 10))
			h.Write([]byte{0})
			h.Write([]byte(f))
		}
		var content [16]byte
		copy(content[:], h.Sum(nil))
		m.MessageID = "row-" + hex.EncodeToString(content[:])
		if n := c.seen[content]; n > 0 {
			m.MessageID += "-" + strconv.Itoa(n+1)
		}
		c.seen[content]++
	}
	if m.AuthorID == "" && c.Missing.AuthorID == "row" && m.MessageID != "" {
		m.AuthorID = "author-of-" + m.MessageID
	}
}

func (c *columns) layouts() []string {
	if len(c.Times.Layouts) == 0 {
		return []string{time.RFC3339}
	}
	return c.Times.Layouts
}

func (c *columns) time(value string) (time.Time, bool) {
	for _, layout := range c.layouts() {
		if unixLayout(layout) {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				continue
			}
			if layout == "unix" {
				return time.Unix(n, 0).UTC(), true
			}
			return time.UnixMilli(n).UTC(), true
		}
		if at, err := time.ParseInLocation(layout, value, c.zone); err == nil {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}

func yes(key, value string) (bool, *schemas.FieldError) {
	switch strings.ToLower(value) {
	case "true", "1", "yes", "t", "y", "ya":
		return true, nil
	case "", "false", "0", "no", "f", "n", "tidak":
		return false, nil
	}
	return false, &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: key, Value: clip(value), Allowed: "true or false"}
}

// clip returns a value for an error to quote, or nothing where it is no date or number at all: a row that slipped a column may have a text there,
// and errors hold no text of a message.
func clip(value string) string {
	const most = 40
	if len(value) > most || strings.ContainsFunc(value, func(r rune) bool { return !strings.ContainsRune("0123456789:+-./,TZ ", r) }) {
		return ""
	}
	return value
}
