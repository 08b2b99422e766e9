package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// linesOf returns the line on which each place of a YAML document is written.
func linesOf(text []byte) (map[string]int, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("reading its lines: %w", err)
	}
	lines := map[string]int{}
	var walk func(n *yaml.Node, place string)
	walk = func(n *yaml.Node, place string) {
		switch n.Kind {
		case yaml.DocumentNode:
			for _, c := range n.Content {
				walk(c, place)
			}
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				at := join(place, n.Content[i].Value)
				lines[at] = n.Content[i].Line
				walk(n.Content[i+1], at)
			}
		case yaml.SequenceNode:
			for i, c := range n.Content {
				at := fmt.Sprintf("%s[%d]", place, i)
				lines[at] = c.Line
				walk(c, at)
			}
		}
	}
	walk(&document, "")
	return lines, nil
}

// Dump returns the configuration, a struct or a pointer to one, as YAML that Load reads. Secrets appear as their references.
func Dump(from any) ([]byte, error) {
	v := reflect.Indirect(reflect.ValueOf(from))
	if v.Kind() != reflect.Struct {
		return nil, fmt.Errorf("dumping the configuration from %T: want a struct", from)
	}
	n, err := node(v)
	if err != nil {
		return nil, fmt.Errorf("dumping the configuration: %w", err)
	}
	text, err := yaml.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("dumping the configuration: %w", err)
	}
	return text, nil
}

func node(v reflect.Value) (*yaml.Node, error) {
	if s, ok := v.Interface().(Secret); ok {
		text := s.reference
		if text == "" { // a secret without a reference came from the program
			text = s.String()
		}
		return textNode(text), nil
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok && isLeaf(v.Type()) {
		text, err := m.MarshalText()
		if err != nil {
			return nil, fmt.Errorf("writing a %s: %w", v.Type(), err)
		}
		return textNode(string(text)), nil
	}
	out := &yaml.Node{}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return out, out.Encode(nil)
		}
		return node(v.Elem())
	case reflect.Struct:
		out.Kind = yaml.MappingNode
		for _, f := range fields(v.Type()) {
			value, err := node(v.FieldByIndex(f.index))
			if err != nil {
				return nil, err
			}
			out.Content = append(out.Content, textNode(f.name), value)
		}
		return out, nil
	case reflect.Map:
		out.Kind = yaml.MappingNode
		entries := map[string]reflect.Value{}
		for _, key := range v.MapKeys() {
			entries[key.String()] = v.MapIndex(key)
		}
		for _, name := range slices.Sorted(maps.Keys(entries)) {
			value, err := node(entries[name])
			if err != nil {
				return nil, err
			}
			out.Content = append(out.Content, textNode(name), value)
		}
		return out, nil
	case reflect.String:
		return textNode(v.String()), nil
	case reflect.Slice:
		out.Kind = yaml.SequenceNode
		for i := range v.Len() {
			value, err := node(v.Index(i))
			if err != nil {
				return nil, err
			}
			out.Content = append(out.Content, value)
		}
		return out, nil
	}
	if err := out.Encode(v.Interface()); err != nil {
		return nil, fmt.Errorf("writing a %s: %w", v.Type(), err)
	}
	return out, nil
}

func textNode(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	if n.Style == yaml.LiteralStyle { // a block that begins with an empty line is not read again as it was written
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}
