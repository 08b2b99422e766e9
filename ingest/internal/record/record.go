// Package record makes the Kafka records that ingest produces.
package record

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

func encode(topic, key string, m interface{ MarshalVT() ([]byte, error) }) (kafka.Record, error) {
	value, err := event.Encode(m)
	if err != nil {
		return kafka.Record{}, err
	}
	return kafka.Record{
		Topic: topic, Key: []byte(key), Value: value,
		Headers: []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}},
	}, nil
}

// Message is keyed by platform and id, so that all versions of a message meet in one partition.
func Message(m *event.Message) (kafka.Record, error) {
	return encode(schemas.TopicRaw, string(event.PartitionKey(m)), m)
}

// Dead is a dead letter of ingest.
type Dead struct {
	Reason schemas.DeadReason
	// Detail is for a person; it holds no text and no author.
	Detail string
	// Original is what came, as it came.
	Original []byte
	// Source and Offset are its place: a file and a line, or a connector.
	Source string
	Offset int64
	At     time.Time
}

// maxOriginal bounds the original in a dead letter.
const maxOriginal = 256 << 10

// Record returns the dead letter's record.
func (d Dead) Record() (kafka.Record, error) {
	letter := &event.DeadLetter{
		Stage: schemas.StageIngest, Reason: string(d.Reason), Detail: d.Detail, Original: d.Original,
		Source: d.Source, Offset: d.Offset, Attempt: 1, AtMs: d.At.UnixMilli(),
	}
	if len(letter.Original) > maxOriginal {
		letter.Original = letter.Original[:maxOriginal]
		letter.Detail += "; the original is cut to " + strconv.Itoa(maxOriginal) + " bytes"
	}
	return encode(schemas.TopicDead, d.Source+":"+strconv.FormatInt(d.Offset, 10), letter)
}

// Coverage is keyed by connector and institution, so that a stretch and its growth stay in order.
func Coverage(c *event.Coverage) (kafka.Record, error) {
	return encode(schemas.TopicLedger, "coverage:"+c.Connector+":"+c.Institution, &event.LedgerEntry{Entry: &event.LedgerEntry_Coverage{Coverage: c}})
}

// Visibility is keyed by its subject, so that what is said of one message or author stays in order.
func Visibility(v *event.Visibility) (kafka.Record, error) {
	return encode(schemas.TopicLedger, "visibility:"+v.Platform+":"+hex.EncodeToString(v.MessageKey)+v.AuthorKey, &event.LedgerEntry{Entry: &event.LedgerEntry_Visibility{Visibility: v}})
}

// Snapshot is keyed by account.
func Snapshot(s *event.AccountSnapshot) (kafka.Record, error) {
	return encode(schemas.TopicLedger, "account:"+s.Platform+":"+s.Account, &event.LedgerEntry{Entry: &event.LedgerEntry_Snapshot{Snapshot: s}})
}
