package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxTextBytes is the longest text that a message may have. The longest public post of any platform read here is a tenth of it.
const MaxTextBytes = 64 << 10

// EarliestCreated is the earliest believable created_at: no platform read here is older.
var EarliestCreated = time.Date(2004, 1, 1, 0, 0, 0, 0, time.UTC)

// FutureTolerance is how far a platform's clock may run ahead of ours.
const FutureTolerance = 24 * time.Hour

// Message is a public message as a platform or an archive gives it, one JSON object a line in the archive form. It still names its author:
// it lives inside ingest only, and becomes an event.Message, redacted and pseudonymised, before Kafka.
//
// Required: platform, message_id, kind, created_at, author_id, and text unless deleted_at is set. Institution, account and direction are
// derived from the institutions file when empty. A count that the platform lacks is nil, never 0.
type Message struct {
	Platform        string     `json:"platform"`
	MessageID       string     `json:"message_id"`
	Institution     string     `json:"institution,omitempty"`
	Account         string     `json:"account,omitempty"`
	Kind            string     `json:"kind"`
	Direction       string     `json:"direction,omitempty"`
	AuthorID        string     `json:"author_id"`
	AuthorFollowers *int64     `json:"author_followers,omitempty"`
	AuthorCreatedAt *time.Time `json:"author_created_at,omitempty"`
	CreatedAt       time.Time  `json:"created_at"`
	ObservedAt      *time.Time `json:"observed_at,omitempty"`
	EditedAt        *time.Time `json:"edited_at,omitempty"`
	DeletedAt       *time.Time `json:"deleted_at,omitempty"`
	Text            string     `json:"text"`
	Lang            string     `json:"lang,omitempty"`
	ParentID        string     `json:"parent_id,omitempty"`
	ParentAuthorID  string     `json:"parent_author_id,omitempty"`
	RootID          string     `json:"root_id,omitempty"`
	Mentions        []string   `json:"mentions,omitempty"`
	Likes           *int64     `json:"likes,omitempty"`
	Replies         *int64     `json:"replies,omitempty"`
	Shares          *int64     `json:"shares,omitempty"`
	Views           *int64     `json:"views,omitempty"`
	IsAuto          bool       `json:"is_auto,omitempty"`
	URL             string     `json:"url,omitempty"`
}

// FieldError is one thing wrong with one field of one message. Its text names the key, the value and what is allowed; values of fields that
// could name a person are left out.
type FieldError struct {
	Reason  DeadReason
	Key     string
	Value   string
	Allowed string
}

func (e *FieldError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("%s: %s: %s", e.Key, e.Reason, e.Allowed)
	}
	return fmt.Sprintf("%s: %s: %q is not allowed: %s", e.Key, e.Reason, e.Value, e.Allowed)
}

// ParseMessage reads one line of the archive form and validates it against now. The error is a *FieldError.
func ParseMessage(line []byte, now time.Time) (*Message, error) {
	m, err := DecodeMessage(line)
	if err != nil {
		return nil, err
	}
	if err := m.Validate(now); err != nil {
		return nil, err
	}
	return m, nil
}

// DecodeMessage is ParseMessage without the validation, for a caller that fills in defaults before it validates. The error is a *FieldError.
func DecodeMessage(line []byte) (*Message, error) {
	if !utf8.Valid(line) {
		return nil, &FieldError{Reason: DeadInvalidUTF8, Key: "line", Allowed: "the line has to be UTF-8"}
	}
	var m Message
	dec := json.NewDecoder(bytes.NewReader(line))
	if err := dec.Decode(&m); err != nil {
		return nil, jsonFieldError(err)
	}
	if dec.InputOffset() < int64(len(bytes.TrimRight(line, " \t\r\n"))) {
		return nil, &FieldError{Reason: DeadMalformed, Key: "line", Allowed: "one JSON object a line, nothing after it"}
	}
	return &m, nil
}

func jsonFieldError(err error) *FieldError {
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		return &FieldError{Reason: DeadInvalidField, Key: typ.Field, Value: typ.Value, Allowed: "the type is " + typ.Type.String()}
	}
	var parse *time.ParseError
	if errors.As(err, &parse) {
		return &FieldError{Reason: DeadInvalidField, Key: "time", Value: strings.Trim(parse.Value, `"`), Allowed: "times are RFC 3339, as 2026-03-01T08:00:00+07:00"}
	}
	return &FieldError{Reason: DeadMalformed, Key: "line", Allowed: "one JSON object a line: " + err.Error()}
}

// Validate checks the message's own fields; now bounds how far in the future a time may lie. The error is a *FieldError.
func (m *Message) Validate(now time.Time) error {
	switch {
	case m.Platform == "":
		return missing("platform")
	case !KnownPlatform(m.Platform):
		return &FieldError{Reason: DeadUnknownPlatform, Key: "platform", Value: m.Platform, Allowed: "one of " + strings.Join(Platforms(), ", ")}
	case m.MessageID == "":
		return missing("message_id")
	case m.Kind == "":
		return missing("kind")
	case !slices.Contains(Kinds(), m.Kind):
		return &FieldError{Reason: DeadInvalidField, Key: "kind", Value: m.Kind, Allowed: "one of " + strings.Join(Kinds(), ", ")}
	case m.AuthorID == "":
		return missing("author_id")
	case m.CreatedAt.IsZero():
		return missing("created_at")
	case m.Text == "" && m.DeletedAt == nil:
		return missing("text")
	case m.Direction != "" && m.Direction != Inbound && m.Direction != Outbound:
		return &FieldError{Reason: DeadInvalidField, Key: "direction", Value: m.Direction, Allowed: "inbound or outbound, or absent to have it derived"}
	case len(m.Text) > MaxTextBytes:
		return &FieldError{Reason: DeadTooLarge, Key: "text", Value: fmt.Sprintf("%d bytes", len(m.Text)), Allowed: fmt.Sprintf("at most %d bytes", MaxTextBytes)}
	}
	if err := m.validateIDs(); err != nil {
		return err
	}
	latest := now.Add(FutureTolerance)
	for _, t := range []struct {
		key string
		at  *time.Time
	}{{"created_at", &m.CreatedAt}, {"observed_at", m.ObservedAt}, {"edited_at", m.EditedAt}, {"deleted_at", m.DeletedAt}, {"author_created_at", m.AuthorCreatedAt}} {
		if t.at != nil && (t.at.Before(EarliestCreated) || t.at.After(latest)) {
			return &FieldError{
				Reason: DeadInvalidField, Key: t.key, Value: t.at.UTC().Format(time.RFC3339),
				Allowed: fmt.Sprintf("from %s to a day from now", EarliestCreated.Format(time.DateOnly)),
			}
		}
	}
	for _, c := range []struct {
		key   string
		count *int64
	}{{"author_followers", m.AuthorFollowers}, {"likes", m.Likes}, {"replies", m.Replies}, {"shares", m.Shares}, {"views", m.Views}} {
		if c.count != nil && *c.count < 0 {
			return &FieldError{Reason: DeadInvalidField, Key: c.key, Value: fmt.Sprint(*c.count), Allowed: "a count of at least 0, or absent when the platform has none"}
		}
	}
	return nil
}

// maxIDBytes bounds every identifier; the longest in use, an at:// address, is under 200.
const maxIDBytes = 512

// maxURLBytes bounds a message's address.
const maxURLBytes = 2048

// maxMentions bounds the mentions of one message; platforms allow some tens.
const maxMentions = 1000

func (m *Message) validateIDs() error {
	if len(m.Mentions) > maxMentions {
		return &FieldError{Reason: DeadTooLarge, Key: "mentions", Value: fmt.Sprint(len(m.Mentions)), Allowed: fmt.Sprintf("at most %d", maxMentions)}
	}
	if len(m.URL) > maxURLBytes {
		return &FieldError{Reason: DeadTooLarge, Key: "url", Value: fmt.Sprintf("%d bytes", len(m.URL)), Allowed: fmt.Sprintf("at most %d bytes", maxURLBytes)}
	}
	for _, id := range []struct{ key, value string }{
		{"message_id", m.MessageID}, {"author_id", m.AuthorID}, {"parent_id", m.ParentID}, {"parent_author_id", m.ParentAuthorID}, {"root_id", m.RootID},
		{"institution", m.Institution}, {"account", m.Account}, {"lang", m.Lang},
	} {
		if len(id.value) > maxIDBytes {
			return &FieldError{Reason: DeadTooLarge, Key: id.key, Value: fmt.Sprintf("%d bytes", len(id.value)), Allowed: fmt.Sprintf("at most %d bytes", maxIDBytes)}
		}
		if strings.ContainsFunc(id.value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return &FieldError{Reason: DeadInvalidField, Key: id.key, Allowed: "no control characters"}
		}
	}
	return nil
}

func missing(key string) *FieldError {
	return &FieldError{Reason: DeadMissingField, Key: key, Allowed: "required"}
}
