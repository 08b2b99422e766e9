// Package deadletter writes what the sink cannot store to the dead-letter topic, and reads that topic for people: of all stages, to list, show and replay.
package deadletter

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// AttemptHeader says, in decimal, how many times a record has been replayed; absent for never.
const AttemptHeader = "dwiarah-attempt"

// MaxRecordBytes is what the dead-letter topic takes: more than any other topic, because a letter holds a whole record of it, and less than the
// 1,048,588 bytes that a broker takes unless told otherwise.
const MaxRecordBytes = 1_040_000

// room for what the wire adds to a record beside key, value and headers.
const wireRoom = 1_000

// New returns the record for the dead-letter topic that keeps r as it came. detail is for people and holds neither text nor author of the message.
func New(r kafka.Record, reason schemas.DeadReason, detail string, now time.Time) (kafka.Record, error) {
	letter := &event.DeadLetter{
		Stage: schemas.StageSink, Reason: string(reason), Detail: detail, Original: r.Value, Source: r.Topic, Partition: int32(r.Partition), Offset: r.Offset,
		Attempt: attempt(r) + 1, AtMs: now.UnixMilli(), Key: r.Key, Headers: wireHeaders(r.Headers),
	}
	if letter.SizeVT()+len(r.Key)+wireRoom > MaxRecordBytes {
		letter.Detail = fmt.Sprintf("%s; the record, of %d bytes, is larger than this topic takes and stays where it came from for as long as it is kept there", detail, r.Size())
		letter.Original, letter.Headers = nil, nil
	}
	value, err := event.Encode(letter)
	if err != nil {
		return kafka.Record{}, err
	}
	return kafka.Record{
		Topic: schemas.TopicDead, Key: r.Key, Value: value, Headers: []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}},
	}, nil
}

func attempt(r kafka.Record) uint32 {
	n, err := strconv.ParseUint(string(Header(r.Headers, AttemptHeader)), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// Header returns the last value of that key; nil where there is none.
func Header(headers []kafka.Header, key string) []byte {
	for n := len(headers) - 1; n >= 0; n-- {
		if headers[n].Key == key {
			return headers[n].Value
		}
	}
	return nil
}

// Undecodable is the reason under which a record of the dead-letter topic that is no letter is listed and purged.
const Undecodable = "undecodable"

// Letter is a dead letter and its own place in the dead-letter topic.
type Letter struct {
	Partition int
	Offset    int64
	// Undecodable says why what stands there is no letter that this build reads; nil for a letter. The DeadLetter then is the record as it stands there, with the time
	// at which Kafka took it, without stage and source.
	Undecodable error
	*event.DeadLetter
}

// errNoLetter tells of bytes that can be decoded and say nothing.
var errNoLetter = errors.New("it names neither stage nor reason")

// open reads a record of the dead-letter topic.
func open(r kafka.Record) Letter {
	l := Letter{Partition: r.Partition, Offset: r.Offset, DeadLetter: &event.DeadLetter{}}
	err := event.Decode(Header(r.Headers, event.SchemaHeader), r.Value, l.DeadLetter)
	if err == nil && l.GetStage() == "" && l.GetReason() == "" {
		err = errNoLetter
	}
	if err == nil {
		return l
	}
	l.Undecodable = err
	l.DeadLetter = &event.DeadLetter{Reason: Undecodable, Detail: err.Error(), Original: r.Value, Key: r.Key, Headers: wireHeaders(r.Headers), AtMs: r.Time.UnixMilli()}
	return l
}

func wireHeaders(headers []kafka.Header) []*event.Header {
	var wire []*event.Header
	for _, h := range headers {
		wire = append(wire, &event.Header{Key: h.Key, Value: h.Value})
	}
	return wire
}

// ID names a letter on the command line.
func (l Letter) ID() string { return fmt.Sprintf("%d:%d", l.Partition, l.Offset) }

// Record returns the original record for its own topic. It is an error for what is no letter, for letters that did not come from one of Dwiarah's topics, such as a
// line of an archive, and for letters that could not keep the record.
func (l Letter) Record() (kafka.Record, error) {
	if l.Undecodable != nil {
		return kafka.Record{}, fmt.Errorf("replaying letter %s: it cannot be decoded: %w", l.ID(), l.Undecodable)
	}
	switch l.GetSource() {
	case schemas.TopicRaw, schemas.TopicEnriched, schemas.TopicLedger:
	default:
		return kafka.Record{}, fmt.Errorf("replaying letter %s: it came from %q, which is no topic: import the corrected input again", l.ID(), l.GetSource())
	}
	if len(l.GetOriginal()) == 0 {
		return kafka.Record{}, errors.New("replaying letter " + l.ID() + ": it does not hold the original record")
	}
	r := kafka.Record{Topic: l.Source, Key: l.Key, Value: l.Original}
	for _, h := range l.Headers {
		if h.Key != AttemptHeader {
			r.Headers = append(r.Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
	}
	r.Headers = append(r.Headers, kafka.Header{Key: AttemptHeader, Value: strconv.AppendUint(nil, uint64(max(1, l.Attempt)), 10)})
	return r, nil
}
