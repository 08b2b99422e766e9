package schemas_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
)

var now = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

const good = `{"platform":"x","message_id":"1","kind":"mention","created_at":"2026-05-01T08:00:00+07:00","author_id":"u1","text":"halo min"}`

func TestParseMessage(t *testing.T) {
	m, err := schemas.ParseMessage([]byte(good), now)
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 5, 1, 1, 0, 0, 0, time.UTC); !m.CreatedAt.Equal(want) {
		t.Errorf("created_at: got %s, want %s", m.CreatedAt, want)
	}
	if m.Likes != nil {
		t.Error("a count that the line lacks has to stay nil")
	}
}

func TestParseMessageRefuses(t *testing.T) {
	edit := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	f := func(name, line string, reason schemas.DeadReason, mentions ...string) {
		t.Helper()
		_, err := schemas.ParseMessage([]byte(line), now)
		var fe *schemas.FieldError
		if !errors.As(err, &fe) {
			t.Errorf("%s: got %v, want a FieldError", name, err)
			return
		}
		if fe.Reason != reason {
			t.Errorf("%s: got reason %s (%v), want %s", name, fe.Reason, err, reason)
		}
		for _, part := range mentions {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not say %q", name, err, part)
			}
		}
	}
	f("broken JSON", good[:40], schemas.DeadMalformed)
	f("two objects", good+good, schemas.DeadMalformed)
	f("not an object", `[1]`, schemas.DeadInvalidField)
	f("wrong type", edit(`"u1"`, `17`), schemas.DeadInvalidField, "author_id", "string")
	f("a time that is none", edit("2026-05-01T08:00:00+07:00", "yesterday"), schemas.DeadInvalidField, "yesterday", "RFC 3339")
	f("no platform", edit(`"platform":"x",`, ""), schemas.DeadMissingField, "platform")
	f("unknown platform", edit(`"x"`, `"friendster"`), schemas.DeadUnknownPlatform, "friendster", "mastodon")
	f("unknown kind", edit(`"mention"`, `"shout"`), schemas.DeadInvalidField, "kind", "shout", "repost")
	f("no author", edit(`"u1"`, `""`), schemas.DeadMissingField, "author_id")
	f("no text", edit(`"halo min"`, `""`), schemas.DeadMissingField, "text")
	f("1970", edit("2026-05-01", "1970-01-01"), schemas.DeadInvalidField, "created_at", "1970", "2004-01-01")
	f("2970", edit("2026-05-01", "2970-05-01"), schemas.DeadInvalidField, "created_at", "2970")
	f("invalid UTF-8", edit("halo", "\xff\xfe"), schemas.DeadInvalidUTF8)
	f("a text of 5 MB", edit("halo", strings.Repeat("a", 5<<20)), schemas.DeadTooLarge, "text", "65536")
	f("an id with a line break", edit(`"u1"`, `"u\n1"`), schemas.DeadInvalidField, "author_id", "control")
	f("a negative count", edit(`"text"`, `"likes":-1,"text"`), schemas.DeadInvalidField, "likes", "-1")
	f("an unknown direction", edit(`"text"`, `"direction":"up","text"`), schemas.DeadInvalidField, "direction", "inbound or outbound")
}

func TestDeletedNeedsNoText(t *testing.T) {
	line := strings.Replace(good, `"text":"halo min"`, `"deleted_at":"2026-05-02T00:00:00Z"`, 1)
	if _, err := schemas.ParseMessage([]byte(line), now); err != nil {
		t.Fatal(err)
	}
}

// FuzzParseMessage: foreign bytes never panic, and what is accepted is valid by its own rule.
func FuzzParseMessage(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"mentions":["a","b"],"likes":1e3}`))
	f.Add([]byte("{\"text\":\"\\u0000\xff\"}"))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := schemas.ParseMessage(line, now)
		if err == nil {
			if err := m.Validate(now); err != nil {
				t.Fatalf("accepted and then refused: %v", err)
			}
		}
	})
}
