package scale

import (
	"bytes"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/sink/internal/erase"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

// TestDeletionAtScale deletes one message in a hundred: hidden at once, erased by the job down to the bytes of the data folder, and not brought back by a
// replay of everything.
func TestDeletionAtScale(t *testing.T) {
	if *messages == 0 {
		t.Skip("a measurement: make bench-deletion")
	}
	dir := t.TempDir()
	_, s := opened(t, dir)
	for _, statement := range []string{ // so that a scan sees the texts
		"ALTER TABLE message_bodies MODIFY COLUMN text String CODEC(NONE), MODIFY SETTING old_parts_lifetime = 1",
		"ALTER TABLE message_facts MODIFY SETTING old_parts_lifetime = 1",
	} {
		if err := s.Conn().Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	w := newWriter(t, s)
	size := min(*messages, 1_000_000)
	all := func(do func([]store.Entry)) {
		for n := range size / (threadsAtOnce * threadSize) {
			do(batch(false, n, threadsAtOnce))
		}
	}
	// The mark of a text is its first 36 bytes.
	const mark = len("MARK") + 32
	random, gone := rand.New(rand.NewPCG(3, 4)), map[string]bool{}
	var deletions []store.Entry
	all(func(entries []store.Entry) {
		write(t, w, entries)
		for _, entry := range entries {
			if m := entry.Enriched.Message; bytes.HasPrefix([]byte(m.Text), []byte("MARK")) && random.IntN(80) == 0 {
				at := m.CreatedAtMs + time.Hour.Milliseconds()
				gone[m.Text[:mark]] = true
				deletions = append(deletions, store.Entry{Enriched: &event.Enriched{Message: &event.Message{
					Institution: m.Institution, Platform: m.Platform, MessageKey: m.MessageKey, DeletedAtMs: &at,
				}}})
			}
		}
	})
	stored := storetest.Count(t, s, "SELECT count() FROM messages")
	if scan(t, dir, gone) == 0 {
		t.Fatal("the scan does not find what is there")
	}
	slices.SortFunc(deletions, func(a, b store.Entry) int {
		return bytes.Compare(a.Enriched.Message.MessageKey, b.Enriched.Message.MessageKey)
	})
	begun := time.Now()
	write(t, w, deletions)
	shown := func(when string) {
		t.Helper()
		for _, view := range []string{"messages", "message_texts"} {
			if n := storetest.Count(t, s, "SELECT count() FROM "+view); n != stored-uint64(len(deletions)) {
				t.Errorf("%s %s has %d, want %d less %d", when, view, n, stored, len(deletions))
			}
		}
	}
	shown("after the deletions")
	t.Logf("%d of %d messages deleted, and hidden from every view after %s", len(deletions), stored, time.Since(begun).Round(time.Millisecond))
	run := func() {
		t.Helper()
		begun := time.Now()
		proof, err := erase.Run(t.Context(), s, slog.New(slog.DiscardHandler), 5*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("the job took %s: %d messages, %d texts, %d rows of facts, timing of %d requests kept, %d old parts left", time.Since(begun).Round(time.Second),
			proof.Messages, proof.TextsBefore, proof.FactsBefore, proof.Settled, proof.OldParts)
		if n := scan(t, dir, gone); n > 0 {
			t.Errorf("after the job %d erased texts are in the data folder", n)
		}
	}
	run()
	shown("after the job")
	all(func(entries []store.Entry) { write(t, w, entries) })
	shown("after a replay of everything")
	run()
	shown("after a replay and the job")
}

// scan counts the marks of gone texts in the files of a folder.
func scan(t *testing.T, dir string, gone map[string]bool) (found int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // ClickHouse removes files meanwhile
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		for {
			n := bytes.Index(b, []byte("MARK"))
			if n < 0 || n+36 > len(b) {
				return nil
			}
			if gone[string(b[n:n+36])] {
				found++
			}
			b = b[n+4:]
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
