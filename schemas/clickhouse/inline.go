package clickhouse

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	internalCall = regexp.MustCompile(`\b(FROM|JOIN) (int_[a-z_]+)\(`)
	argument     = regexp.MustCompile(`(?s)^\s*(\w+)\s*=\s*(.*\S)\s*$`)
	// placeholderForm is a parameter of a view: its name and its type.
	placeholderForm = regexp.MustCompile(`\{(\w+):([^}]+)\}`)
)

// inlined returns views in which the text of an internal view stands in the place of each call of it, its parameters replaced by what the call gives. The engine
// analyses a view with parameters twice wherever it is named, and everything below it as well, and computes all its columns whichever are asked for; of a subquery it drops what
// nobody reads. A file may call those before it.
func inlined(views []script) ([]script, error) {
	bodies := map[string]string{}
	list := make([]script, 0, len(views))
	for _, v := range views {
		var err error
		if v.sql, err = inline(v.sql, bodies); err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		if body, ok := v.body(); ok && strings.HasPrefix(v.object(), "int_") && placeholderForm.MatchString(body) {
			bodies[v.object()] = body
		}
		list = append(list, v)
	}
	return list, nil
}

// body is the SELECT of a view; false for something else.
func (s script) body() (string, bool) {
	sql := s.statements()[0]
	made := viewForm.FindStringIndex(sql)
	said := comment.FindStringIndex(sql)
	if made == nil || said == nil {
		return "", false
	}
	return sql[made[1]:said[0]], true
}

// inline puts the bodies, by the name of their view, in the place of the calls in sql. Calls of views that bodies lacks stay.
func inline(sql string, bodies map[string]string) (string, error) {
	var b strings.Builder
	for {
		found := internalCall.FindStringSubmatchIndex(sql)
		if found == nil {
			b.WriteString(sql)
			return b.String(), nil
		}
		name := sql[found[4]:found[5]]
		arguments, length, err := callArguments(sql[found[1]:])
		if err != nil {
			return "", fmt.Errorf("reading the call of %s: %w", name, err)
		}
		end := found[1] + length
		body, known := bodies[name]
		if !known {
			b.WriteString(sql[:end])
			sql = sql[end:]
			continue
		}
		text, err := bound(body, arguments)
		if err != nil {
			return "", fmt.Errorf("reading the call of %s: %w", name, err)
		}
		b.WriteString(sql[:found[4]] + "(" + text + ")")
		sql = sql[end:]
	}
}

// callArguments reads NAME = EXPRESSION, ... up to the parenthesis that ends them, and tells how long that is, the parenthesis included.
func callArguments(sql string) (arguments map[string]string, length int, err error) {
	arguments = map[string]string{}
	take := func(text string) error {
		m := argument.FindStringSubmatch(text)
		if m == nil {
			return fmt.Errorf("argument %q is not of the form NAME = EXPRESSION", text)
		}
		arguments[m[1]] = m[2]
		return nil
	}
	depth, begin, quoted := 0, 0, false
	for i, c := range sql {
		switch {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(' || c == '{' || c == '[':
			depth++
		case c == ')' && depth == 0:
			return arguments, i + 1, take(sql[begin:i])
		case c == ')' || c == '}' || c == ']':
			depth--
		case c == ',' && depth == 0:
			if err := take(sql[begin:i]); err != nil {
				return nil, 0, err
			}
			begin = i + 1
		}
	}
	return nil, 0, fmt.Errorf("no parenthesis ends %.60q", sql)
}

// bound is a view's body with its parameters replaced. What is no parameter of the caller's own is cast to the parameter's type, as the engine would.
func bound(body string, arguments map[string]string) (string, error) {
	var missing string
	text := placeholderForm.ReplaceAllStringFunc(body, func(placeholder string) string {
		m := placeholderForm.FindStringSubmatch(placeholder)
		value, ok := arguments[m[1]]
		switch {
		case !ok:
			missing = m[1]
		case value != placeholder:
			return "CAST(" + value + ", '" + strings.ReplaceAll(m[2], "'", `\'`) + "')"
		}
		return placeholder
	})
	if missing != "" {
		return "", fmt.Errorf("parameter %s is not given", missing)
	}
	return text, nil
}
