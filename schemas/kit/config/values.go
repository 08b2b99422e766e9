package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// redacted stands for a secret wherever it is printed.
const redacted = "[redacted]"

// Secret is a value that lives in a file ("file:/run/secrets/password") or in an environment variable ("env:NAME"), never in
// the configuration itself. It prints as "[redacted]" everywhere; Reveal returns it.
type Secret struct {
	reference string
	value     *string // behind a pointer, because fmt prints unexported fields and does not ask String for them
}

// NewSecret returns a secret of a value at hand, for tests and for callers that read secrets by themselves.
func NewSecret(value string) Secret { return Secret{value: &value} }

// Reveal returns the secret itself, without the line break that ends its file; empty when none is configured.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether no secret is configured.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// GoString redacts %#v.
func (s Secret) GoString() string { return "config.Secret(" + strconv.Quote(s.String()) + ")" }

// LogValue redacts logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText redacts JSON, YAML and everything else that is written as text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

const secretAllowed = `"file:PATH" or "env:NAME", which name where the secret is; a secret itself does not belong here`

// secret resolves a reference. Its errors never show the reference's text, which may be a secret put at the wrong place.
func secret(reference string, environ func(string) (string, bool)) (Secret, error) {
	if reference == "" {
		return Secret{}, nil
	}
	kind, name, _ := strings.Cut(reference, ":")
	var value string
	switch {
	case kind == "file" && name != "":
		text, err := os.ReadFile(name)
		if err != nil {
			return Secret{}, fmt.Errorf("a readable file: %w", err)
		}
		value = strings.TrimRight(string(text), "\r\n")
		if value == "" {
			return Secret{}, fmt.Errorf("a file with a secret in it; %s is empty", name)
		}
	case kind == "env" && name != "":
		value, _ = environ(name)
		if value == "" {
			return Secret{}, fmt.Errorf("a variable with a secret in it; %s is not set or empty", name)
		}
	default:
		return Secret{}, fmt.Errorf("%s", secretAllowed)
	}
	return Secret{reference: reference, value: &value}, nil
}

// Duration is a time.Duration written as text: "5ms", "1m30s", "72h".
type Duration time.Duration

// Std returns the standard library's form.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns the shortest text that means the duration: "1m", not "1m0s".
func (d Duration) String() string {
	text := time.Duration(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText writes the form that UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads Go's form of a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("a duration such as 500ms, 30s, 1m30s or 72h")
	}
	*d = Duration(parsed)
	return nil
}

// Size is a number of bytes written as text: "1000", "512KiB", "32MiB", "1GB".
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

// String returns the largest binary unit that divides the size, else plain bytes.
func (s Size) String() string {
	for _, u := range sizeUnits[:3] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText writes the form that UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a whole number of bytes, with a unit or without.
func (s *Size) UnmarshalText(text []byte) error {
	const allowed = "a size such as 1000, 512KiB, 32MiB or 1GB"
	number, bytes := string(text), int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, bytes = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/bytes {
		return errors.New(allowed)
	}
	*s = Size(n * bytes)
	return nil
}
