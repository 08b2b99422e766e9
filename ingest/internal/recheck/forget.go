package recheck

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/dwiarah/dwiarah/ingest/internal/state"
	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

// Subject is one message of a platform, or everything by an author. Exactly one of MessageID and Author is set.
type Subject struct {
	Platform, MessageID string
	Author              string // id or handle, as the source gave it
}

func (s Subject) isAuthor(id string) bool {
	return s.Author != "" && institutions.Fold(id) == institutions.Fold(s.Author)
}

// holds tells that a message is the subject's own.
func (s Subject) holds(m *schemas.Message) bool {
	return m.Platform == s.Platform && (s.MessageID != "" && m.MessageID == s.MessageID || s.isAuthor(m.AuthorID))
}

// names tells that another's message answers or mentions the subject.
func (s Subject) names(m *schemas.Message) bool {
	return m.Platform == s.Platform && (s.isAuthor(m.ParentAuthorID) || slices.ContainsFunc(m.Mentions, s.isAuthor))
}

// Forgotten counts messages: those that were forgotten, and those of others in which the author was named as the one who is answered or mentioned.
type Forgotten struct{ Messages, Named int }

// forget takes a subject out of the entries. The caller holds the lock.
func (b *Book) forget(s Subject) Forgotten {
	var f Forgotten
	for id, e := range b.entries {
		m := &e.Known.Message
		switch {
		case s.holds(m):
			b.remove(id)
			f.Messages++
		case s.names(m):
			// Others may hold the entry's message: it is replaced, not changed.
			changed := *e
			changed.Known.Message.Mentions = slices.DeleteFunc(slices.Clone(m.Mentions), s.isAuthor)
			if s.isAuthor(m.ParentAuthorID) {
				changed.Known.Message.ParentAuthorID = ""
			}
			b.put(&changed)
			f.Named++
		}
	}
	return f
}

// Forget takes a subject out of the book and writes its file anew, so that nothing of it is left there. Another process that has the book open learns of it
// before it writes the next time.
func (b *Book) Forget(s Subject) (f Forgotten, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	err = b.write(func() error {
		f = b.forget(s)
		return b.rewrite()
	})
	return f, err
}

// Forget takes a subject out of every book in a folder, also of sources that are configured no more.
func Forget(dir string, s Subject, now func() time.Time) (Forgotten, error) {
	var all Forgotten
	paths, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return all, fmt.Errorf("looking for known messages in %s: %w", dir, err)
	}
	for _, path := range paths {
		b, err := Open(Config{Path: path, Now: now})
		if err != nil {
			return all, err
		}
		f, err := b.Forget(s)
		if err != nil {
			return all, err
		}
		all.Messages += f.Messages
		all.Named += f.Named
	}
	return all, nil
}

// write has do write the file, after what another process has written there was taken in, and while none writes.
func (b *Book) write(do func() error) (err error) {
	unlock, err := state.Lock(b.cfg.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := b.merge(); err != nil {
		return err
	}
	if err := do(); err != nil {
		return fmt.Errorf("writing the known messages %s: %w", b.cfg.Path, err)
	}
	return b.written()
}
