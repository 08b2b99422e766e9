package deadletter

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// Replay puts the letters' records back on the topics they came from, all or, after an error, some of them; a record that is there twice changes no
// view. It returns how many were replayed, and why each of the others was not. A dry run does everything but produce.
func Replay(ctx context.Context, conn kafka.Conn, letters []Letter, dryRun bool, log *slog.Logger) (replayed int, left []error, err error) {
	var records []kafka.Record
	for _, l := range letters {
		r, err := l.Record()
		if err != nil {
			left = append(left, err)
			continue
		}
		records = append(records, r)
	}
	if dryRun || len(records) == 0 {
		return len(records), left, nil
	}
	producer, err := kafka.NewProducer(kafka.ProducerConfig{Conn: conn, MaxRecordBytes: MaxRecordBytes, Log: log})
	if err != nil {
		return 0, left, err
	}
	if err := errors.Join(producer.Produce(ctx, records...), producer.Close()); err != nil {
		return 0, left, err
	}
	return len(records), left, nil
}

// Render shows the record that a letter keeps to a person: as JSON when it is one of Dwiarah's, as it is when it is text, as a hex dump otherwise.
func Render(l *event.DeadLetter) string {
	var headers []kafka.Header
	for _, h := range l.GetHeaders() {
		headers = append(headers, kafka.Header{Key: h.GetKey(), Value: h.GetValue()})
	}
	schema := Header(headers, event.SchemaHeader)
	var shown proto.Message
	switch l.GetSource() {
	case schemas.TopicRaw:
		m := &event.Message{}
		if event.Decode(schema, l.GetOriginal(), m) == nil {
			shown = m
		}
	case schemas.TopicEnriched:
		m := &event.Enriched{}
		if event.Decode(schema, l.GetOriginal(), m) == nil {
			shown = m
		}
	case schemas.TopicLedger:
		m := &event.LedgerEntry{}
		if event.Decode(schema, l.GetOriginal(), m) == nil {
			shown = m
		}
	}
	if shown != nil {
		if b, err := (protojson.MarshalOptions{Multiline: true, UseProtoNames: true}).Marshal(shown); err == nil {
			return string(b)
		}
	}
	if utf8.Valid(l.GetOriginal()) && !bytes.ContainsFunc(l.GetOriginal(), func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }) {
		return string(l.GetOriginal())
	}
	return hex.Dump(l.GetOriginal())
}
