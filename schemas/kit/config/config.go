// Package config loads a service's configuration from a YAML file and the environment into a struct that holds the defaults.
package config

import "errors"

// Validator is implemented by a struct of the configuration that knows what its values may be.
// Validate calls report for each bad value: key is relative to the struct ("policy.max_age"), allowed says what would be good.
type Validator interface {
	Validate(report Report)
}

// Report tells of one bad value.
type Report func(key string, value any, allowed string)

// Option changes how Load works.
type Option func(*loader)

type loader struct{}

// WithEnviron replaces os.Environ() as the source of overrides.
func WithEnviron(environ []string) Option { return func(*loader) {} }

// Load reads the YAML file at path (none when path is empty) and then the environment (DWIARAH_ and the key, levels parted by
// two underscores: DWIARAH_KAFKA__GROUP) over the defaults that into, a pointer to a struct with koanf tags, holds.
func Load(path string, into any, opts ...Option) error { return errors.ErrUnsupported }

// Dump returns the configuration as YAML, secrets redacted.
func Dump(from any) ([]byte, error) { return nil, errors.ErrUnsupported }
