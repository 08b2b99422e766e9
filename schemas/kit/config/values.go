package config

import "time"

// Secret is a value that lives in a file ("file:/path") or in the environment ("env:NAME"), never in the configuration itself.
// It prints as "[redacted]" everywhere; Reveal returns it.
type Secret struct{ value string }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether no secret was configured.
func (s Secret) IsZero() bool { return s.value == "" }

// Duration is a time.Duration written as text: "5ms", "1m30s", "72h".
type Duration time.Duration

// Std returns the standard library's form.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Size is a number of bytes written as text: "512KiB", "32MiB", "1GB", "1000".
type Size int64
