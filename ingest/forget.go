package ingest

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/recheck"
	"github.com/dwiarah/dwiarah/schemas"
)

// Subject is one message of a platform, or everything by an author.
type Subject = recheck.Subject

// Forgotten counts what was forgotten.
type Forgotten = recheck.Forgotten

// Forget takes a subject out of the files of known messages, beside a running ingest or without one. Errors do not repeat who is meant.
func Forget(cfg Config, s Subject) (Forgotten, error) {
	if !schemas.KnownPlatform(s.Platform) {
		return Forgotten{}, fmt.Errorf("platform: %q; allowed: one of %s", s.Platform, strings.Join(schemas.Platforms(), ", "))
	}
	if (s.MessageID == "") == (s.Author == "") {
		return Forgotten{}, errors.New("who or what is meant: allowed: a message's id or an author, one of the two")
	}
	return recheck.Forget(knownDir(cfg), s, time.Now)
}

// knownDir holds the files of known messages.
func knownDir(cfg Config) string { return filepath.Join(cfg.StateDir, "known") }
