package rows

import (
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/dwiarah/dwiarah/schemas/event"
)

// The version of a row is, from the highest bit down: the time of the message's last change in milliseconds, the model's sequence number, and
// some bits of the content's hash.
const (
	modelBits   = 10
	contentBits = 12
	changeShift = modelBits + contentBits

	// MaxModelSeq is the largest sequence number of a model that a version can hold.
	MaxModelSeq = 1<<modelBits - 1
)

// Version is the version of the row that a record becomes.
func Version(e *event.Enriched) (uint64, error) { return version(e) }

// version orders all copies of one message, in whatever order they arrive: a later edit or observation beats an earlier one, a newer model beats an
// older one on the same text, and the content decides between copies that claim the same, so that two replays never end in two states.
// e has passed Check.
func version(e *event.Enriched) (uint64, error) {
	m := e.GetMessage()
	hash, err := contentHash(e)
	if err != nil {
		return 0, err
	}
	return uint64(changed(m))<<changeShift | uint64(e.GetEnrichment().GetModelSeq())<<contentBits | hash>>(64-contentBits), nil
}

// changed is the time of a message's last change that is known, in Unix milliseconds.
func changed(m *event.Message) int64 {
	return max(m.GetCreatedAtMs(), m.GetEditedAtMs(), m.GetObservedAtMs())
}

// NotOlder reports whether a row of that version is of m as it is, or of a later change. m may be not enriched yet.
func NotOlder(version uint64, m *event.Message) bool {
	return int64(version>>changeShift) >= changed(m)
}

// contentHash hashes the record's own bytes without the time of ingestion: a second import of the same archive is the same content.
func contentHash(e *event.Enriched) (uint64, error) {
	m := e.GetMessage()
	ingested := m.IngestedAtMs
	m.IngestedAtMs = 0
	b, err := e.MarshalVT()
	m.IngestedAtMs = ingested
	if err != nil {
		return 0, fmt.Errorf("hashing a record: %w", err)
	}
	return xxhash.Sum64(b), nil
}
