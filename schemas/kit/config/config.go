// Package config loads a service's configuration: defaults that stand in a struct, over them a YAML file, over that the
// environment. Whatever is wrong is reported at once, with file, key, value and what is allowed.
//
// A field of the struct is configurable when it has a koanf tag. Its type is a string, bool, integer or float of Go,
// Duration, Size, Secret, Group, anything with encoding.TextUnmarshaler, or a struct, slice, map or pointer of these.
package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

// Prefix begins the environment variables that override keys: DWIARAH_KAFKA__GROUP is the key kafka.group.
const Prefix = "DWIARAH_"

// Validator is implemented by a struct of the configuration that knows what its values may be. It is called after everything
// is loaded, for every struct on the way, with a report that knows the struct's place.
type Validator interface {
	Validate(report Report)
}

// Report tells of one bad value. key is relative to the struct ("policy.max_age"); allowed says what would be good, to be
// read after "want": "a duration from 10ms to 1m".
type Report func(key string, value any, allowed string)

// Option changes how Load works.
type Option func(*loader)

type loader struct {
	environ []string
	prefix  string
}

// WithEnviron replaces os.Environ() as the source of overrides and of secrets.
func WithEnviron(environ []string) Option { return func(l *loader) { l.environ = environ } }

// WithPrefix replaces Prefix, for a process that holds several configurations: "DWIARAH_SINK_".
func WithPrefix(prefix string) Option { return func(l *loader) { l.prefix = prefix } }

// Load reads the YAML file at path (none when path is empty) and then the environment over the defaults that into, a pointer
// to a struct, holds. In the environment levels are parted by two underscores, lists by commas, and an empty variable counts
// as absent; a variable without two underscores that names no key is somebody else's, unless it is nearly a key.
// The error is a *Error unless the file cannot be read or into is of a wrong type.
func Load(path string, into any, opts ...Option) error {
	l := &loader{environ: os.Environ(), prefix: Prefix}
	for _, opt := range opts {
		opt(l)
	}
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("loading the configuration into %T: want a pointer to a struct", into)
	}
	target = target.Elem()
	if err := supported(target.Type(), ""); err != nil {
		return fmt.Errorf("loading the configuration into %T: %w", into, err)
	}
	file, err := l.file(path)
	if err != nil {
		return fmt.Errorf("loading the configuration: %w", err)
	}
	root := target.Type()
	d := &decoder{environ: lookup(l.environ), source: file.source}
	d.object(root, target, "", file.values)

	overrides, variables, err := l.overrides(root, d)
	if err != nil {
		return fmt.Errorf("loading the configuration: %w", err)
	}
	d.source = func(place string) source {
		// An override is one value: its parts, such as the entries of a list, are of the same variable.
		for at := place; at != ""; at = parent(at) {
			if name, ok := variables[at]; ok {
				return source{name: name}
			}
		}
		return file.source(place)
	}
	d.text = true
	d.object(root, target, "", overrides)

	d.validate(target, "")
	if len(d.problems) > 0 {
		return newError(d.problems)
	}
	return nil
}

// yamlFile is a parsed file: its values, and where they stand.
type yamlFile struct {
	values map[string]any
	source func(place string) source
}

func (l *loader) file(path string) (yamlFile, error) {
	if path == "" {
		return yamlFile{source: func(string) source { return source{name: "defaults"} }}, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return yamlFile{}, fmt.Errorf("reading the file: %w", err)
	}
	k := koanf.New("\x00") // a delimiter that no key contains, so that keys keep their dots
	if err := k.Load(rawbytes.Provider(text), yaml.Parser()); err != nil {
		return yamlFile{}, fmt.Errorf("parsing %s: %w", path, err)
	}
	lines, err := linesOf(text)
	if err != nil {
		return yamlFile{}, fmt.Errorf("parsing %s: %w", path, err)
	}
	return yamlFile{values: k.Raw(), source: func(place string) source {
		// A key that is not written is looked for where what holds it stands.
		for at := place; at != ""; at = parent(at) {
			if line, ok := lines[at]; ok {
				return source{name: path, line: line}
			}
		}
		return source{name: path}
	}}, nil
}

// overrides returns the environment's values, and by place the variable that each came from.
func (l *loader) overrides(root reflect.Type, d *decoder) (map[string]any, map[string]string, error) {
	variables := map[string]string{}
	k := koanf.New(".")
	provider := env.Provider(".", env.Opt{Prefix: l.prefix, EnvironFunc: func() []string { return l.environ }, TransformFunc: func(name, value string) (string, any) {
		place := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, l.prefix)), "__", ".")
		if value == "" || place == "" {
			return "", nil
		}
		t, known := typeAt(root, place)
		nested := strings.Contains(place, ".")
		switch {
		case known && (nested || !isGroup(t)):
			variables[place] = name
			return place, value
		case known: // DWIARAH_ENGINE is no way to write a whole group of keys
		case nested || nearest(place, keys(root, "")) != "":
			d.unknown(root, place, source{name: name})
		}
		return "", nil // somebody else's
	}})
	if err := k.Load(provider, nil); err != nil {
		return nil, nil, fmt.Errorf("reading the environment: %w", err)
	}
	return k.Raw(), variables, nil
}

// lookup returns a function like os.LookupEnv for an environment as os.Environ returns it.
func lookup(environ []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, pair := range environ {
			if n, value, ok := strings.Cut(pair, "="); ok && n == name {
				return value, true
			}
		}
		return "", false
	}
}

// Problems returns the single mistakes of an error of Load, or nil when it is of another kind.
func Problems(err error) []Problem {
	var e *Error
	if !errors.As(err, &e) {
		return nil
	}
	return e.Problems
}
