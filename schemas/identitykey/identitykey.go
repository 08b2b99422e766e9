// Package identitykey turns platform ids into the keyed hashes that travel instead of them. Ingest writes them, erasure looks them up; both take
// them from here, so that one form exists.
package identitykey

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/dwiarah/dwiarah/schemas/institutions"
)

// KeyBytes is the length of every secret of a ring; in its text each is twice as many hex digits.
const KeyBytes = 32

// HashBytes is the length of a message key, and half the length of an author key, which is hex.
const HashBytes = 16

// Ring holds the identity key, which never changes, and the author keys by epoch. Its methods are safe for concurrent use.
// It prints as its epochs; the secrets cannot be read back.
type Ring struct {
	identity *secret
	epochs   []string
	authors  []*secret
}

// Parse reads the text of a ring, a key a line, # for comments:
//
//	identity <64 hex digits>
//	author <epoch> <64 hex digits>
//
// Exactly one identity key and at least one author key; the last author key is the current one. Removing the author key of a past epoch leaves
// the authors of that epoch anonymous. Errors name the line and never what stands in it.
func Parse(text string) (*Ring, error) {
	var r Ring
	var problems []error
	for n, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if err := r.add(fields); err != nil {
			problems = append(problems, fmt.Errorf("line %d of the identity keys: %w", n+1, err))
		}
	}
	if r.identity == nil {
		problems = append(problems, errors.New("the identity keys have no line: identity <64 hex digits>"))
	}
	if len(r.authors) == 0 {
		problems = append(problems, errors.New("the identity keys have no line: author <epoch> <64 hex digits>"))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return &r, nil
}

var epochForm = regexp.MustCompile(`^[0-9A-Za-z._-]{1,32}$`)

func (r *Ring) add(fields []string) error {
	switch {
	case fields[0] == "identity" && len(fields) == 2:
		key, err := parseSecret(fields[1])
		if err != nil {
			return err
		}
		if r.identity != nil {
			return errors.New("a second identity key; allowed: one")
		}
		r.identity = key
	case fields[0] == "author" && len(fields) == 3:
		if !epochForm.MatchString(fields[1]) {
			return errors.New("the epoch's name; allowed: 1 to 32 letters, digits, ., _ and -")
		}
		if slices.Contains(r.epochs, fields[1]) {
			return fmt.Errorf("a second author key of epoch %s; allowed: one", fields[1])
		}
		key, err := parseSecret(fields[2])
		if err != nil {
			return err
		}
		r.epochs, r.authors = append(r.epochs, fields[1]), append(r.authors, key)
	default:
		return errors.New("allowed: identity <64 hex digits>, or author <epoch> <64 hex digits>")
	}
	return nil
}

// Generate returns the text of a new ring with one author key, of the named epoch.
func Generate(epoch string) (string, error) {
	if !epochForm.MatchString(epoch) {
		return "", fmt.Errorf("making identity keys: epoch %q; allowed: 1 to 32 letters, digits, ., _ and -", epoch)
	}
	var keys [2 * KeyBytes]byte
	if _, err := rand.Read(keys[:]); err != nil {
		return "", fmt.Errorf("making identity keys: %w", err)
	}
	return fmt.Sprintf("# Whoever has these keys can tell whose message is whose. Keep them as passwords are kept, and keep a copy: without them\n"+
		"# no message can be erased by its author, and the same author gets another key.\nidentity %x\nauthor %s %x\n", keys[:KeyBytes], epoch, keys[KeyBytes:]), nil
}

// MessageKey is the first 16 bytes of HMAC-SHA256(identity key, platform 0x00 message id): what a tombstone remembers of a message.
func (r *Ring) MessageKey(platform, messageID string) []byte {
	return r.identity.sum(platform, messageID)
}

// AuthorKey is the author's pseudonym in the current epoch: 32 lower-case hex digits, the first 16 bytes of
// HMAC-SHA256(author key, platform 0x00 author id), the id without a leading @ and in lower case.
func (r *Ring) AuthorKey(platform, authorID string) string {
	return r.authors[len(r.authors)-1].author(platform, authorID)
}

// AuthorKeys returns the author's pseudonyms of all epochs whose keys are still held, the current one first.
func (r *Ring) AuthorKeys(platform, authorID string) []string {
	keys := make([]string, 0, len(r.authors))
	for _, s := range slices.Backward(r.authors) {
		keys = append(keys, s.author(platform, authorID))
	}
	return keys
}

// Epoch names the current epoch.
func (r *Ring) Epoch() string { return r.epochs[len(r.epochs)-1] }

// String names the epochs and nothing else.
func (r *Ring) String() string { return "identity keys of epochs " + strings.Join(r.epochs, ", ") }

// GoString keeps %#v from printing what String leaves out.
func (r *Ring) GoString() string { return r.String() }

// secret hashes under one key; the states are pooled because preparing one costs as much as a short message.
type secret struct{ states sync.Pool }

func parseSecret(digits string) (*secret, error) {
	key, err := hex.DecodeString(digits)
	if err != nil || len(key) != KeyBytes {
		return nil, fmt.Errorf("a key of %d characters; allowed: %d hex digits", len(digits), 2*KeyBytes)
	}
	return &secret{states: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}, nil
}

func (s *secret) sum(platform, id string) []byte {
	h := s.states.Get().(hash.Hash)
	defer s.states.Put(h)
	h.Reset()
	// Ids hold no control characters, so the zero byte parts the two without doubt.
	in := make([]byte, 0, 128)
	in = append(append(append(in, platform...), 0), id...)
	h.Write(in)
	return h.Sum(make([]byte, 0, sha256.Size))[:HashBytes:HashBytes]
}

func (s *secret) author(platform, id string) string {
	return hex.EncodeToString(s.sum(platform, institutions.Fold(id)))
}
