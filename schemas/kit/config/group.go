package config

import (
	"fmt"
	"os"
	"reflect"
)

// Group is a group of keys whose meaning depends on a value beside it, as the settings of the platform that a source names. Load keeps it as it is
// written; who knows its meaning decodes it, in its own Validate and where it is used.
type Group map[string]any

// Decode puts the group over the defaults that into, a pointer to a struct, holds. Every mistake goes to report, with a key relative to the group.
func (g Group) Decode(into any, report Report) {
	target := reflect.ValueOf(into).Elem()
	if err := supported(target.Type(), ""); err != nil {
		report("", nil, fmt.Sprintf("a program without this mistake: %v", err))
		return
	}
	d := &decoder{environ: os.LookupEnv, source: func(string) source { return source{} }}
	d.object(target.Type(), target, "", g)
	d.validate(target, "")
	for _, p := range d.problems {
		if p.Unknown {
			report(p.Key, UnknownKey, p.Allowed)
			continue
		}
		report(p.Key, Written(p.Value), p.Allowed)
	}
}

// Written is a value as it was written, quotes and all.
type Written string

func (w Written) String() string { return string(w) }

// UnknownKey is the value in a report of a key that nobody knows.
const UnknownKey = Written("unknown")
