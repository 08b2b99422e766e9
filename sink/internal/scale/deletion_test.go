package scale

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/sink/internal/erase"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

// deletedAuthor tells of one author in 4096 that the account is deleted, with everything by it.
func deletedAuthor(m *event.Message) bool {
	return m.Direction == schemas.Inbound && strings.HasPrefix(m.AuthorKey, "000")
}

// deleted gathers what of the messages is deleted, and every trace that it must not leave.
type deleted struct {
	random   *rand.Rand
	entries  []store.Entry
	messages int // deleted one by one or with their author
	authors  map[string]bool
	traces   storetest.Traces
}

func (d *deleted) choose(entries []store.Entry) {
	pointed := map[string]bool{} // whoever answers a message goes on naming it
	for _, entry := range entries {
		pointed[entry.Enriched.Message.ParentId] = true
	}
	for _, entry := range entries {
		m := entry.Enriched.Message
		alone := m.Direction == schemas.Inbound && d.random.IntN(80) == 0
		if !alone && !deletedAuthor(m) {
			continue
		}
		d.messages++
		d.traces.Add("text", []byte(m.Text[:len("MARK")+32]))
		d.traces.Add("hash of the text", binary.LittleEndian.AppendUint64(nil, m.TextHash))
		d.traces.Add("hash of the id", m.MessageKey)
		if !pointed[m.MessageId] {
			d.traces.Add("id", []byte(m.MessageId))
		}
		if at := m.CreatedAtMs + time.Hour.Milliseconds(); alone {
			d.entries = append(d.entries, store.Entry{Enriched: &event.Enriched{Message: &event.Message{
				Institution: m.Institution, Platform: m.Platform, MessageKey: m.MessageKey, DeletedAtMs: &at,
			}}})
		}
		if deletedAuthor(m) && !d.authors[m.AuthorKey] {
			d.authors[m.AuthorKey] = true
			d.traces.Add("author", []byte(m.AuthorKey))
			d.entries = append(d.entries, store.Entry{Ledger: &event.LedgerEntry{Entry: &event.LedgerEntry_Visibility{Visibility: &event.Visibility{
				Institution: m.Institution, Platform: m.Platform, AuthorKey: m.AuthorKey, State: schemas.VisibilityDeleted, AtMs: end.UnixMilli(),
			}}}})
		}
	}
}

// TestDeletionAtScale deletes one message in a hundred, and some authors: hidden at once, erased by the job down to the bytes of the data folder, and not brought back by a
// replay of everything.
func TestDeletionAtScale(t *testing.T) {
	if *messages == 0 {
		t.Skip("a measurement: make bench-deletion")
	}
	dir := t.TempDir()
	_, s := opened(t, dir)
	storetest.Legible(t, s, "message_bodies", "message_facts")
	w := newWriter(t, s)
	size := min(*messages, 1_000_000)
	all := func(do func([]store.Entry)) {
		for n := range size / (threadsAtOnce * threadSize) {
			do(batch(false, n, threadsAtOnce))
		}
	}
	gone := &deleted{random: rand.New(rand.NewPCG(3, 4)), authors: map[string]bool{}}
	all(func(entries []store.Entry) {
		write(t, w, entries)
		gone.choose(entries)
	})
	stored := storetest.Count(t, s, "SELECT count() FROM messages")
	// Tombstones and settled requests are made of the hashes of message ids.
	left := func() storetest.Found {
		return gone.traces.Under(t, dir, storetest.Folders(t, s, "tombstones", "settled_requests")...)
	}
	before := left()
	for _, kind := range []string{"text", "hash of the text", "hash of the id", "id", "author"} {
		if !strings.Contains(before.String(), kind+" in ") {
			t.Fatalf("the scan does not find the %s of what is there: %s", kind, before)
		}
	}
	slices.SortFunc(gone.entries, func(a, b store.Entry) int {
		return bytes.Compare(a.Enriched.GetMessage().GetMessageKey(), b.Enriched.GetMessage().GetMessageKey())
	})
	begun := time.Now()
	write(t, w, gone.entries)
	shown := func(when string) {
		t.Helper()
		for _, view := range []string{"messages", "message_texts"} {
			if n := storetest.Count(t, s, "SELECT count() FROM "+view); n != stored-uint64(gone.messages) {
				t.Errorf("%s %s has %d, want %d less %d", when, view, n, stored, gone.messages)
			}
		}
	}
	shown("after the deletions")
	t.Logf("%d of %d messages deleted, some with their %d authors, and hidden from every view after %s", gone.messages, stored, len(gone.authors), time.Since(begun).Round(time.Millisecond))
	run := func() {
		t.Helper()
		begun := time.Now()
		proof, err := erase.Run(t.Context(), s, slog.New(slog.DiscardHandler), 5*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("the job took %s: %d messages, %d texts, %d rows of facts, timing of %d requests kept, %d rows lost the key of a deleted author, %d old parts left",
			time.Since(begun).Round(time.Second), proof.Messages, proof.TextsBefore, proof.FactsBefore, proof.Settled, proof.Pointers, proof.OldParts)
		if found := left(); len(found) > 0 {
			t.Errorf("after the job there is left %s", found)
		}
	}
	run()
	shown("after the job")
	all(func(entries []store.Entry) { write(t, w, entries) })
	shown("after a replay of everything")
	run()
	shown("after a replay and the job")
	if !t.Failed() {
		t.Logf("found before: %s; after either run of the job: nothing", before)
	}
}
