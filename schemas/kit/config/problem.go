package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one mistake in a configuration.
type Problem struct {
	Source  string // file:line, or the name of an environment variable
	Key     string // "kafka.policy.max_age"
	Value   string // as written, quoted; empty for an unknown key and for a secret
	Allowed string // what would be good, to be read after "want"
	Unknown bool   // the key itself is the mistake; Allowed says what was meant
}

func (p Problem) String() string {
	switch {
	case p.Unknown:
		return fmt.Sprintf("%s: unknown key %s; %s", p.Source, p.Key, p.Allowed)
	case p.Value == "":
		return fmt.Sprintf("%s: %s: want %s", p.Source, p.Key, p.Allowed)
	}
	return fmt.Sprintf("%s: %s is %s: want %s", p.Source, p.Key, p.Value, p.Allowed)
}

// Error is everything that is wrong with a configuration, one line a mistake.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return "configuration: " + e.Problems[0].String()
	}
	lines := []string{fmt.Sprintf("configuration has %d mistakes:", len(e.Problems))}
	for _, p := range e.Problems {
		lines = append(lines, "  "+p.String())
	}
	return strings.Join(lines, "\n")
}

// problem is a Problem before its place is written out.
type problem struct {
	Problem
	source source
}

// source is where a value was written.
type source struct {
	name string
	line int // 0 where a source has no lines
}

func (s source) String() string {
	if s.line == 0 {
		return s.name
	}
	return s.name + ":" + strconv.Itoa(s.line)
}

func newError(problems []problem) *Error {
	slices.SortStableFunc(problems, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.source.name, b.source.name), cmp.Compare(a.source.line, b.source.line), cmp.Compare(a.Key, b.Key))
	})
	e := &Error{}
	for _, p := range problems {
		p.Problem.Source = p.source.String()
		e.Problems = append(e.Problems, p.Problem)
	}
	return e
}
