package config

import (
	"encoding"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"
)

var (
	secretType      = reflect.TypeFor[Secret]()
	levelType       = reflect.TypeFor[slog.Level]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	groupType       = reflect.TypeFor[Group]()
)

// field is a configurable field of a struct.
type field struct {
	name  string // its key
	index []int
	typ   reflect.Type
}

// fields returns the configurable fields in the struct's order; those of a struct tagged ",squash" stand among them.
func fields(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("koanf"), ",")
		switch {
		case squashed(f): // also of an unexported type, whose fields are exported all the same
			for _, inner := range fields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				out = append(out, inner)
			}
		case f.IsExported() && name != "" && name != "-":
			out = append(out, field{name: name, index: []int{i}, typ: f.Type})
		}
	}
	return out
}

func squashed(f reflect.StructField) bool {
	_, option, _ := strings.Cut(f.Tag.Get("koanf"), ",")
	return option == "squash"
}

// isLeaf reports whether values of the type are written as one scalar.
func isLeaf(t reflect.Type) bool {
	return t == secretType || reflect.PointerTo(t).Implements(textUnmarshaler)
}

// isGroup reports whether values of the type are written as a group of keys.
func isGroup(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		return isGroup(t.Elem())
	}
	return !isLeaf(t) && (t.Kind() == reflect.Struct || t.Kind() == reflect.Map)
}

// supported returns an error for a type that Load cannot fill: a mistake of the program, not of its user.
func supported(t reflect.Type, place string) error {
	if isLeaf(t) || t == groupType {
		return nil
	}
	if t == reflect.TypeFor[time.Duration]() {
		return fmt.Errorf("field %s is a time.Duration; make it a config.Duration, which is written as text", place)
	}
	switch t.Kind() {
	case reflect.Struct:
		for _, f := range fields(t) {
			if err := supported(f.typ, join(place, f.name)); err != nil {
				return err
			}
		}
		return nil
	case reflect.Pointer, reflect.Slice:
		return supported(t.Elem(), place)
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return fmt.Errorf("field %s is a map with keys of type %s; make them strings", place, t.Key())
		}
		return supported(t.Elem(), place)
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	}
	return fmt.Errorf("field %s is of type %s, which no text can fill", place, t)
}

func allowedFor(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "a group of keys"
	case reflect.Slice:
		return "a list, each entry " + allowedFor(t.Elem())
	case reflect.Pointer:
		return allowedFor(t.Elem())
	case reflect.String:
		return "a text; numbers, dates, true and false need quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<t.Bits()-1)
	case reflect.Int8, reflect.Int16, reflect.Int32:
		return fmt.Sprintf("a whole number from %d to %d", -int64(1)<<(t.Bits()-1), int64(1)<<(t.Bits()-1)-1)
	case reflect.Uint, reflect.Uint64:
		return "a whole number that is not negative"
	}
	return "a whole number"
}

func join(place, name string) string {
	if place == "" {
		return name
	}
	return place + "." + name
}

// parent returns the place of what holds the value at the place.
func parent(place string) string { return place[:max(0, strings.LastIndexAny(place, ".["))] }

// typeAt returns the type of the value at the place.
func typeAt(root reflect.Type, place string) (reflect.Type, bool) {
	t := root
	for place != "" {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		name := place
		if i := strings.IndexAny(place[1:], ".["); i >= 0 {
			name, place = place[:i+1], strings.TrimPrefix(place[i+1:], ".")
		} else {
			place = ""
		}
		switch {
		case isLeaf(t):
			return nil, false
		case t.Kind() == reflect.Slice && strings.HasPrefix(name, "["):
			t = t.Elem()
		case t.Kind() == reflect.Map:
			t = t.Elem()
		case t.Kind() == reflect.Struct:
			all := fields(t)
			i := slices.IndexFunc(all, func(f field) bool { return f.name == name })
			if i < 0 {
				return nil, false
			}
			t = all[i].typ
		default:
			return nil, false
		}
	}
	return t, true
}

// keys returns the names that may stand under a place.
func keys(root reflect.Type, place string) []string {
	t, ok := typeAt(root, place)
	for ok && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !ok || t.Kind() != reflect.Struct || isLeaf(t) {
		return nil
	}
	var names []string
	for _, f := range fields(t) {
		names = append(names, f.name)
	}
	return names
}

// meant says what the writer of an unknown key may have meant: a key that is written nearly so, the same key elsewhere, or
// else what is allowed at that place.
func meant(root reflect.Type, place string) string {
	above, name := parent(place), strings.TrimPrefix(place[len(parent(place)):], ".")
	siblings := keys(root, above)
	if near := nearest(name, siblings); near != "" {
		return fmt.Sprintf("did you mean %s?", join(above, near))
	}
	if elsewhere := find(root, "", name); len(elsewhere) == 1 {
		return fmt.Sprintf("did you mean %s?", elsewhere[0])
	}
	if len(siblings) == 0 {
		return "nothing is allowed there"
	}
	slices.Sort(siblings)
	return "allowed there: " + strings.Join(siblings, ", ")
}

// find returns the places of all keys of that name, outside of lists and maps.
func find(t reflect.Type, place, name string) (places []string) {
	if t.Kind() != reflect.Struct || isLeaf(t) {
		return nil
	}
	for _, f := range fields(t) {
		if f.name == name {
			places = append(places, join(place, f.name))
		}
		places = append(places, find(f.typ, join(place, f.name), name)...)
	}
	return places
}

// nearest returns the name that is written nearly so, or "".
func nearest(name string, names []string) string {
	best, limit := "", max(1, len(name)/3)
	for _, n := range names {
		if d := distance(name, n); d <= limit {
			best, limit = n, d-1
		}
	}
	return best
}

// distance is the number of letters to insert, drop, change or swap with their neighbour that make a into b.
func distance(a, b string) int {
	row := func(n int) []int { return make([]int, n+1) }
	before, last, now := row(len(b)), row(len(b)), row(len(b))
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
