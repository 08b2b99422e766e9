package chhttp

import "strings"

// statement is what the handler must know of a SQL text to run it: the engine itself parses it in full.
type statement struct {
	// insert is true for an INSERT whose rows follow the text: everything after FORMAT or VALUES is data and no longer SQL.
	insert bool
	// target is the INSERT up to its FORMAT or VALUES; dataAt is where the rows begin.
	target string
	dataAt int
	// format is the FORMAT of the rows of an insert, or that of the result of any other statement, or "" where the text names none.
	format string
	// file is "INTO OUTFILE" or "FROM INFILE" where the text has such a clause: libchdb would obey it as clickhouse-local does, a server refuses it.
	file string
	// input is true for an INSERT that selects from input(): the library would read the rows for it from the standard input of this process.
	input bool
}

// parseStatement looks at the tokens of a SQL text that stand outside of brackets.
func parseStatement(text string) statement {
	s := scanner{text: text}
	t := s.next()
	for t.is("(") {
		t = s.next()
	}
	if t.is("INSERT") {
		return parseInsert(&s)
	}
	return parseOther(&s, t)
}

func parseInsert(s *scanner) statement {
	t := s.next()
	if t.is("INTO") {
		t = s.next()
	}
	if t.is("TABLE") {
		t = s.next()
	}
	if t.is("FUNCTION") {
		t = s.next() // Its name; the arguments are in brackets.
	} else {
		// The table's name may be a keyword of its own (db.values, `format`).
		for t.kind != end {
			after := s.mark()
			if !s.next().is(".") {
				s.reset(after)
				break
			}
			t = s.next()
		}
	}
	var before token
	for t = s.nextOutside(); t.kind != end; t = s.nextOutside() {
		switch {
		case t.is("VALUES"):
			return statement{insert: true, target: s.text[:t.from], dataAt: t.to, format: "Values"}
		case t.is("FORMAT"):
			name := s.next()
			if name.kind != word {
				break
			}
			return statement{insert: true, target: s.text[:t.from], dataAt: skipLineEnd(s.text, name.to), format: s.text[name.from:name.to]}
		case t.is("SELECT"), t.is("WITH"):
			// The rows come from a query: the engine reads the whole text itself.
			after := s.mark()
			input := callsInput(s)
			s.reset(after)
			found := parseOther(s, t)
			found.input = input
			return found
		case t.is("INFILE") && before.is("FROM"):
			return statement{file: "FROM INFILE"}
		}
		before = t
	}
	return statement{}
}

// callsInput looks for input( in the rest of the text.
func callsInput(s *scanner) bool {
	for t := s.next(); t.kind != end; {
		next := s.next()
		if t.is("input") && next.is("(") {
			return true
		}
		t = next
	}
	return false
}

func parseOther(s *scanner, t token) statement {
	found := statement{}
	var before token
	for ; t.kind != end; t = s.nextOutside() {
		switch {
		case t.is("OUTFILE") && before.is("INTO"):
			found.file = "INTO OUTFILE"
		case t.is("FORMAT"):
			after := s.mark()
			name := s.next()
			if next := s.next(); name.kind == word && (next.kind == end || next.is(";") || next.is("SETTINGS") || next.is("INTO") || next.is("PARALLEL")) {
				found.format = s.text[name.from:name.to]
			}
			s.reset(after)
		}
		before = t
	}
	return found
}

// skipLineEnd skips what ClickHouse's parser skips between the name of the format and the rows: blanks and one line end.
func skipLineEnd(text string, at int) int {
	for at < len(text) && strings.IndexByte(" \t\f", text[at]) >= 0 {
		at++
	}
	if at < len(text) && text[at] == '\r' {
		at++
	}
	if at < len(text) && text[at] == '\n' {
		at++
	}
	return at
}

type kind uint8

const (
	end kind = iota
	word
	quoted // a string or a quoted name
	symbol // one byte of anything else
)

type token struct {
	text     string
	kind     kind
	from, to int
}

// is compares with a keyword or a symbol; a quoted name is never a keyword.
func (t token) is(s string) bool {
	return (t.kind == word || t.kind == symbol) && strings.EqualFold(t.text, s)
}

// scanner cuts a SQL text into tokens as ClickHouse's lexer does, and skips blanks and comments.
type scanner struct {
	text  string
	at    int
	depth int
}

type mark struct{ at, depth int }

func (s *scanner) mark() mark   { return mark{s.at, s.depth} }
func (s *scanner) reset(m mark) { s.at, s.depth = m.at, m.depth }

// nextOutside gives the next token that is not in brackets.
func (s *scanner) nextOutside() token {
	for {
		t := s.next()
		if t.kind == end || s.depth <= 0 && !t.is(")") && !t.is("]") && !t.is("}") {
			return t
		}
	}
}

func (s *scanner) next() token {
	s.skipBlanks()
	from := s.at
	if from >= len(s.text) {
		return token{kind: end, from: from, to: from}
	}
	k := symbol
	switch c := s.text[from]; {
	case isWordByte(c):
		k = word
		for s.at < len(s.text) && isWordByte(s.text[s.at]) {
			s.at++
		}
	case c == '\'' || c == '"' || c == '`':
		k = quoted
		s.skipQuoted(c)
	case c == '$':
		k = quoted
		s.skipHeredoc()
	default:
		s.at++
		switch c {
		case '(', '[', '{':
			s.depth++
		case ')', ']', '}':
			s.depth--
		}
	}
	return token{text: s.text[from:s.at], kind: k, from: from, to: s.at}
}

func isWordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

func (s *scanner) skipBlanks() {
	for s.at < len(s.text) {
		rest := s.text[s.at:]
		switch {
		case strings.IndexByte(" \t\r\n\f\v\x00", rest[0]) >= 0:
			s.at++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "# "), strings.HasPrefix(rest, "#!"):
			s.skipPast(rest, "\n")
		case strings.HasPrefix(rest, "/*"):
			s.skipPast(rest, "*/")
		default:
			return
		}
	}
}

func (s *scanner) skipPast(rest, stop string) {
	if i := strings.Index(rest, stop); i >= 0 {
		s.at += i + len(stop)
	} else {
		s.at = len(s.text)
	}
}

func (s *scanner) skipQuoted(quote byte) {
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case quote:
			s.at++
			if s.at >= len(s.text) || s.text[s.at] != quote { // A doubled quote is a quote.
				return
			}
		}
	}
	s.at = len(s.text) // It is never closed; a backslash may have led past the end.
}

// skipHeredoc skips $tag$ ... $tag$, or a lone dollar.
func (s *scanner) skipHeredoc() {
	rest := s.text[s.at:]
	i := 1
	for i < len(rest) && isWordByte(rest[i]) {
		i++
	}
	if i < len(rest) && rest[i] == '$' {
		if j := strings.Index(rest[i+1:], rest[:i+1]); j >= 0 {
			s.at += i + 1 + j + i + 1
			return
		}
	}
	s.at++
}
