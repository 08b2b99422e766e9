package recheck

import (
	"sync"

	"github.com/dwiarah/dwiarah/ingest/internal/source"
)

// Library is all books of one platform: what one connector has read, another may see change. Safe for concurrent use.
type Library struct {
	mu    sync.RWMutex
	books []*Book
}

// Add adds a book.
func (l *Library) Add(b *Book) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.books = append(l.books, b)
}

// Message finds a known message in any book: its latest version.
func (l *Library) Message(id string) (latest source.Known, found bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, b := range l.books {
		k, ok := b.Message(id)
		if !ok {
			continue
		}
		if at := k.Message.EditedAt; !found || at != nil && (latest.Message.EditedAt == nil || at.After(*latest.Message.EditedAt)) {
			latest = k
		}
		found = true
	}
	return latest, found
}

// Author tells whether a message of the author is in any book.
func (l *Library) Author(id string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, b := range l.books {
		if b.Author(id) {
			return true
		}
	}
	return false
}
