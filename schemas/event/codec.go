// Package event is the wire form of the topics: protobuf bytes as the record's value, the schema number in a header.
package event

import (
	"errors"
	"fmt"
	"strconv"
)

//go:generate sh -c "cd ../proto && buf generate"

// SchemaHeader is the Kafka header that holds the schema number, in decimal.
const SchemaHeader = "dwiarah-schema"

// Schema is the number that this build writes. Fields are only ever added under one number; a change that an old reader would misread gets the next.
const Schema = 1

// ErrUnknownSchema tells that a record was written under a schema number that this build does not read.
var ErrUnknownSchema = errors.New("unknown schema number")

// ErrMalformed tells that a record's bytes are not of its type.
var ErrMalformed = errors.New("malformed record")

// Encode returns the record's value. The headers that go with it are SchemaHeader: SchemaValue.
func Encode(m interface{ MarshalVT() ([]byte, error) }) ([]byte, error) {
	b, err := m.MarshalVT()
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", m, err)
	}
	return b, nil
}

// SchemaValue is the value of SchemaHeader for what this build writes.
func SchemaValue() []byte { return strconv.AppendInt(nil, Schema, 10) }

// Decode reads a record's value into m, given the value of its SchemaHeader (nil where there is none). Errors wrap ErrUnknownSchema or ErrMalformed.
// The texts of m are the bytes of value, not copies: value must not be changed afterwards, and is kept for as long as any of them is.
func Decode(schema, value []byte, m interface{ UnmarshalVTUnsafe([]byte) error }) error {
	if string(schema) != strconv.Itoa(Schema) {
		return fmt.Errorf("%w: header %s is %q, this build reads %d", ErrUnknownSchema, SchemaHeader, schema, Schema)
	}
	if err := m.UnmarshalVTUnsafe(value); err != nil {
		return fmt.Errorf("%w: %T of %d bytes: %w", ErrMalformed, m, len(value), err)
	}
	return nil
}

// PartitionKey is the Kafka key of a message's records, raw and enriched: all versions of a message meet in one partition and stay in order.
func PartitionKey(m *Message) []byte { return []byte(m.GetPlatform() + ":" + m.GetMessageId()) }
