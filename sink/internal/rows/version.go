package rows

import (
	"fmt"
	"slices"

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
func Version(e *event.Enriched) (uint64, error) {
	v, _, err := version(e, nil)
	return v, err
}

// version orders all copies of one message, in whatever order they arrive: a later edit or observation beats an earlier one, a newer model beats an
// older one on the same text, and the content decides between copies that claim the same, so that two replays never end in two states.
// e has passed Check. buf is room to work in; it comes back, perhaps larger, for the next record.
func version(e *event.Enriched, buf []byte) (uint64, []byte, error) {
	m := e.GetMessage()
	hash, buf, err := contentHash(e, buf)
	if err != nil {
		return 0, buf, err
	}
	return uint64(changed(m))<<changeShift | uint64(e.GetEnrichment().GetModelSeq())<<contentBits | hash>>(64-contentBits), buf, nil
}

// changed is the time of a message's last change that is known, in Unix milliseconds.
func changed(m *event.Message) int64 {
	return max(m.GetCreatedAtMs(), m.GetEditedAtMs(), m.GetObservedAtMs())
}

// NotOlder reports whether a row of that version is of m as it is, or of a later change; version is 0 where there is no row. m may be not enriched yet.
func NotOlder(version uint64, m *event.Message) bool {
	return version != 0 && int64(version>>changeShift) >= changed(m)
}

// contentHash hashes the record's own bytes without the time of ingestion: a second import of the same archive is the same content.
func contentHash(e *event.Enriched, buf []byte) (uint64, []byte, error) {
	m := e.GetMessage()
	ingested := m.IngestedAtMs
	m.IngestedAtMs = 0
	size := e.SizeVT()
	buf = slices.Grow(buf[:0], size)[:size]
	n, err := e.MarshalToSizedBufferVT(buf) // the last n bytes
	m.IngestedAtMs = ingested
	if err != nil {
		return 0, buf, fmt.Errorf("hashing a record: %w", err)
	}
	return xxhash.Sum64(buf[size-n:]), buf, nil
}
