// Package erase takes messages out of ClickHouse for good. Deleting has two steps: a tombstone or a deleted author hides at once and for ever, in whatever
// order messages arrive and are replayed; the job rewrites the data, and proves it.
package erase

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/identitykey"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/sink/internal/rows"
	"github.com/dwiarah/dwiarah/sink/internal/store"
)

// Subject is one message, or an author with all messages. Exactly one of MessageID and Author is set.
type Subject struct {
	Platform  string
	MessageID string // as the platform names it
	Author    string // the author's id or handle, as the source gave it
}

// Check refuses subjects that are not of the form. Its errors do not repeat who is meant.
func (s Subject) Check() error {
	if !schemas.KnownPlatform(s.Platform) {
		return fmt.Errorf("platform %q is not allowed: one of %s", s.Platform, strings.Join(schemas.Platforms(), ", "))
	}
	if (s.MessageID == "") == (s.Author == "") {
		return errors.New("who or what is meant: a message's id or an author, one of the two")
	}
	return nil
}

// Office says whose data are looked after and under which keys.
type Office struct {
	Store     *store.Store
	Directory *institutions.Directory
	Ring      *identitykey.Ring
}

// institutions are those of the directory, and those that have left it and still have messages in the tables.
func (o Office) institutions(ctx context.Context) ([]string, error) {
	var list []string
	for _, in := range o.Directory.All() {
		list = append(list, in.ID)
	}
	found, err := o.Store.Conn().Query(ctx, "SELECT DISTINCT institution FROM message_facts UNION DISTINCT SELECT DISTINCT institution FROM message_bodies")
	if err != nil {
		return nil, fmt.Errorf("looking for institutions with messages: %w", err)
	}
	defer found.Close()
	for found.Next() {
		var id string
		if err := found.Scan(&id); err != nil {
			return nil, fmt.Errorf("looking for institutions with messages: %w", err)
		}
		if !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("looking for institutions with messages: %w", err)
	}
	return list, nil
}

// Bury hides the subject at once and for good, in every institution that is known: a message by a tombstone, an author, under the keys of all epochs that
// the ring holds, as deleted. Whether anything of the subject is there does not matter: what arrives later stays hidden. Run erases it.
func (o Office) Bury(ctx context.Context, subject Subject, now time.Time) error {
	if err := subject.Check(); err != nil {
		return err
	}
	if subject.MessageID == "" {
		return o.mark(ctx, subject, schemas.VisibilityDeleted, "", now)
	}
	institutions, err := o.institutions(ctx)
	if err != nil {
		return err
	}
	key := o.Ring.MessageKey(subject.Platform, subject.MessageID)
	t := struct {
		institution, platform []string
		key                   [][]byte
		at                    []int64
	}{}
	for _, id := range institutions {
		t.institution, t.platform, t.key, t.at = append(t.institution, id), append(t.platform, subject.Platform), append(t.key, key), append(t.at, now.UnixMilli())
	}
	return o.Store.Insert(ctx, rows.Table{Name: "tombstones", Rows: len(t.at), Columns: []rows.Column{
		{Name: "institution", Values: t.institution}, {Name: "platform", Values: t.platform}, {Name: "message_key", Values: t.key}, {Name: "deleted_at", Values: t.at},
	}})
}

// Hide takes everything by an author out of every view, until Show.
func (o Office) Hide(ctx context.Context, subject Subject, now time.Time) error {
	return o.mark(ctx, subject, schemas.VisibilityHidden, schemas.HiddenWithheld, now)
}

// Show undoes Hide. It does not undo a deletion.
func (o Office) Show(ctx context.Context, subject Subject, now time.Time) error {
	return o.mark(ctx, subject, schemas.VisibilityShown, "", now)
}

// mark says of an author, in every institution and under every key, what may be seen.
func (o Office) mark(ctx context.Context, subject Subject, state, reason string, now time.Time) error {
	if err := subject.Check(); err != nil {
		return err
	}
	institutions, err := o.institutions(ctx)
	if err != nil {
		return err
	}
	t := struct {
		institution, platform, subject, state, reason []string
		key                                           [][]byte
		at                                            []int64
	}{}
	for _, id := range institutions {
		for _, key := range o.Ring.AuthorKeys(subject.Platform, subject.Author) {
			t.institution, t.platform, t.subject = append(t.institution, id), append(t.platform, subject.Platform), append(t.subject, "author")
			t.state, t.reason = append(t.state, state), append(t.reason, reason)
			t.key, t.at = append(t.key, rows.AuthorMark(key)), append(t.at, now.UnixMilli())
		}
	}
	return o.Store.Insert(ctx, rows.Table{Name: "visibility_changes", Rows: len(t.at), Columns: []rows.Column{
		{Name: "institution", Values: t.institution}, {Name: "platform", Values: t.platform}, {Name: "subject", Values: t.subject},
		{Name: "subject_key", Values: t.key}, {Name: "at", Values: t.at}, {Name: "state", Values: t.state}, {Name: "reason", Values: t.reason},
	}})
}

// Held is one message of a subject that is in the tables, hidden ones included.
type Held struct {
	Institution, MessageID, Kind, Direction string
	CreatedAt                               time.Time
	Text                                    string // as it was stored, redacted; empty where it has expired
}

// List returns what is held of a subject: the answer to an author's question.
func (o Office) List(ctx context.Context, subject Subject) ([]Held, error) {
	if err := subject.Check(); err != nil {
		return nil, err
	}
	inFacts, inBodies, keys := "message_key", "message_key", [][]byte{}
	if subject.MessageID != "" {
		keys = append(keys, o.Ring.MessageKey(subject.Platform, subject.MessageID))
	} else {
		inFacts, inBodies = "substring(SHA256(author_key), 1, 16)", "author_mark"
		for _, key := range o.Ring.AuthorKeys(subject.Platform, subject.Author) {
			keys = append(keys, rows.AuthorMark(key))
		}
	}
	var marks []string
	for _, key := range keys {
		marks = append(marks, strings.ToUpper(hex.EncodeToString(key)))
	}
	found, err := o.Store.Conn().Query(clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"platform": subject.Platform, "marks": array(marks)})), `
SELECT f.institution, f.message_id, toString(f.kind), toString(f.direction), f.created_at, b.text
FROM (SELECT * FROM message_facts FINAL WHERE platform = {platform:String} AND hex(`+inFacts+`) IN {marks:Array(String)}) AS f
LEFT JOIN (SELECT * FROM message_bodies FINAL WHERE platform = {platform:String} AND hex(`+inBodies+`) IN {marks:Array(String)}) AS b
    ON b.institution = f.institution AND b.message_key = f.message_key
ORDER BY f.created_at, f.institution`)
	if err != nil {
		return nil, fmt.Errorf("looking for a subject's messages: %w", err)
	}
	defer found.Close()
	var list []Held
	for found.Next() {
		var h Held
		if err := found.Scan(&h.Institution, &h.MessageID, &h.Kind, &h.Direction, &h.CreatedAt, &h.Text); err != nil {
			return nil, fmt.Errorf("reading a subject's messages: %w", err)
		}
		list = append(list, h)
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("reading a subject's messages: %w", err)
	}
	return list, nil
}

// array writes values that hold no quotes, as hex digits do, as a parameter of type Array(String).
func array(values []string) string {
	if len(values) == 0 {
		return "[]"
	}
	return "['" + strings.Join(values, "','") + "']"
}
