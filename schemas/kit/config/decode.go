package config

import (
	"encoding"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// decoder puts raw values, as YAML or the environment has them, into the struct, and collects what does not fit.
// A place is the way to a value, such as "sources[2].account"; the root's is "".
type decoder struct {
	environ  func(string) (string, bool)
	source   func(place string) source
	text     bool // values are texts of the environment: numbers and lists are to be parsed
	problems []problem
}

func (d *decoder) report(place, value, allowed string) {
	d.problems = append(d.problems, problem{source: d.source(place), Problem: Problem{Key: place, Value: value, Allowed: allowed}})
}

func (d *decoder) unknown(root reflect.Type, place string, at source) {
	d.problems = append(d.problems, problem{source: at, Problem: Problem{Key: place, Allowed: meant(root, place), Unknown: true}})
}

// object sets the fields of a struct that raw names.
func (d *decoder) object(root reflect.Type, dst reflect.Value, place string, raw map[string]any) {
	known := map[string]reflect.Value{}
	for _, f := range fields(dst.Type()) {
		known[f.name] = dst.FieldByIndex(f.index)
	}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		at := join(place, name)
		if field, ok := known[name]; ok {
			d.value(root, field, at, raw[name])
		} else {
			d.unknown(root, at, d.source(at))
		}
	}
}

func (d *decoder) value(root reflect.Type, dst reflect.Value, place string, raw any) {
	if dst.Type() == secretType {
		reference, ok := raw.(string)
		s, err := secret(reference, d.environ)
		switch {
		case raw != nil && !ok:
			d.report(place, "", secretAllowed)
		case err != nil:
			d.report(place, "", err.Error())
		default:
			dst.Set(reflect.ValueOf(s))
		}
		return
	}
	if dst.Type() == groupType {
		entries, ok := raw.(map[string]any)
		if raw != nil && !ok {
			d.report(place, show(raw), allowedFor(dst.Type()))
			return
		}
		dst.Set(reflect.ValueOf(Group(entries)))
		return
	}
	if u, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		text, _ := scalar(raw) // whatever is no scalar becomes "", which no type here takes
		if err := u.UnmarshalText([]byte(text)); err != nil {
			allowed := err.Error()
			if dst.Type() == levelType { // whose own message says what failed, not what is allowed
				allowed = "debug, info, warn or error"
			}
			d.report(place, show(raw), allowed)
		}
		return
	}
	switch dst.Kind() {
	case reflect.Pointer:
		if raw == nil {
			dst.SetZero()
			return
		}
		target := reflect.New(dst.Type().Elem())
		if !dst.IsNil() {
			target.Elem().Set(dst.Elem())
		}
		d.value(root, target.Elem(), place, raw)
		dst.Set(target)
	case reflect.Struct:
		if object, ok := raw.(map[string]any); ok {
			d.object(root, dst, place, object)
		} else if raw != nil { // a heading with nothing under it leaves the defaults
			d.report(place, show(raw), allowedFor(dst.Type()))
		}
	case reflect.Map:
		entries, ok := raw.(map[string]any)
		if raw != nil && !ok {
			d.report(place, show(raw), allowedFor(dst.Type()))
			return
		}
		merged := reflect.MakeMap(dst.Type())
		for _, key := range dst.MapKeys() {
			merged.SetMapIndex(key, dst.MapIndex(key))
		}
		for _, name := range slices.Sorted(maps.Keys(entries)) {
			key := reflect.ValueOf(name).Convert(dst.Type().Key())
			entry := reflect.New(dst.Type().Elem()).Elem()
			if before := merged.MapIndex(key); before.IsValid() {
				entry.Set(before)
			}
			d.value(root, entry, join(place, name), entries[name])
			merged.SetMapIndex(key, entry)
		}
		dst.Set(merged)
	case reflect.Slice:
		entries, ok := raw.([]any)
		if text, isText := raw.(string); isText && d.text {
			ok = true
			for _, part := range strings.Split(text, ",") {
				entries = append(entries, strings.TrimSpace(part))
			}
		}
		if raw != nil && !ok {
			d.report(place, show(raw), allowedFor(dst.Type()))
			return
		}
		list := reflect.MakeSlice(dst.Type(), len(entries), len(entries))
		for i, entry := range entries {
			d.value(root, list.Index(i), fmt.Sprintf("%s[%d]", place, i), entry)
		}
		dst.Set(list)
	default:
		if !d.basic(dst, raw) {
			d.report(place, show(raw), allowedFor(dst.Type()))
		}
	}
}

// basic sets a string, bool, integer or float, and reports whether raw is one that fits.
func (d *decoder) basic(dst reflect.Value, raw any) bool {
	if text, ok := raw.(string); ok && d.text && dst.Kind() != reflect.String {
		return parse(dst, text)
	}
	switch v := raw.(type) {
	case string:
		if dst.Kind() != reflect.String {
			return false
		}
		dst.SetString(v)
		return true
	case bool:
		if dst.Kind() != reflect.Bool {
			return false
		}
		dst.SetBool(v)
		return true
	case int, int64, uint64:
		// A number is no string: 1.10 would become "1.1", and 007 "7".
		return dst.Kind() != reflect.String && dst.Kind() != reflect.Bool && parse(dst, fmt.Sprint(v))
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 && !dst.CanFloat() { // 1e6 is a whole number, though YAML calls it a float
			return dst.Kind() != reflect.String && dst.Kind() != reflect.Bool && parse(dst, strconv.FormatInt(int64(v), 10))
		}
		return dst.CanFloat() && parse(dst, strconv.FormatFloat(v, 'g', -1, 64))
	}
	return false
}

func parse(dst reflect.Value, text string) bool {
	switch {
	case dst.Kind() == reflect.Bool:
		dst.SetBool(text == "true")
		return text == "true" || text == "false"
	case dst.CanInt():
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || dst.OverflowInt(n) {
			return false
		}
		dst.SetInt(n)
		return true
	case dst.CanUint():
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || dst.OverflowUint(n) {
			return false
		}
		dst.SetUint(n)
		return true
	case dst.CanFloat():
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) || dst.OverflowFloat(x) {
			return false
		}
		dst.SetFloat(x)
		return true
	}
	return false
}

// validate asks every struct on the way that has an opinion.
func (d *decoder) validate(v reflect.Value, place string) {
	var validator Validator
	if p, ok := v.Addr().Interface().(Validator); ok {
		validator = p
	}
	if validator != nil {
		validator.Validate(func(key string, value any, allowed string) {
			at := place
			if key != "" {
				at = join(place, key)
			}
			if !d.reported(at) {
				d.report(at, show(value), allowed)
			}
		})
	}
	if v.Type() == secretType || v.Type() == groupType {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() { // what is squashed into this struct has an opinion of its own
			if f := v.Field(i); squashed(v.Type().Field(i)) && f.CanInterface() {
				d.validate(f, place)
			}
		}
		for _, f := range fields(v.Type()) {
			d.validate(v.FieldByIndex(f.index), join(place, f.name))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			d.validate(v.Elem(), place)
		}
	case reflect.Slice:
		for i := range v.Len() {
			d.validate(v.Index(i), fmt.Sprintf("%s[%d]", place, i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			entry := reflect.New(v.Type().Elem()).Elem() // an entry of a map has no address of its own
			entry.Set(v.MapIndex(key))
			d.validate(entry, join(place, key.String()))
		}
	}
}

// reported says whether the value at the place, or what holds it, could not be read in the first place.
func (d *decoder) reported(place string) bool {
	for at := place; at != ""; at = parent(at) {
		if slices.ContainsFunc(d.problems, func(p problem) bool { return p.Key == at && !p.Unknown }) {
			return true
		}
	}
	return false
}

// scalar returns a single value as text.
func scalar(raw any) (string, bool) {
	switch v := raw.(type) {
	case string:
		return v, true
	case bool, int, int64, uint64, float64:
		return fmt.Sprint(v), true
	}
	return "", false
}

func show(value any) string {
	switch v := value.(type) {
	case nil:
		return "empty"
	case string:
		return strconv.Quote(v)
	case Secret:
		return v.String()
	case fmt.Stringer:
		return v.String()
	case map[string]any:
		return "a group of keys"
	case []any:
		return "a list"
	}
	return fmt.Sprint(value)
}
