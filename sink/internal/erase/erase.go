// Package erase takes messages out of ClickHouse for good, and leaves tombstones, so that no replay brings them back into a view.
package erase

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/identitykey"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/sink/internal/rows"
	"github.com/dwiarah/dwiarah/sink/internal/store"
)

// Subject is what is to be erased: one message, or all messages of an author. Exactly one of MessageID and Author is set.
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
		return errors.New("what is to be erased: a message's id or an author, one of the two")
	}
	return nil
}

// Proof says what an erasure found and what it left. It names nobody.
type Proof struct {
	Tombstones                int // written, of which some may have been there before
	BodiesBefore, BodiesAfter uint64
	FactsBefore, FactsAfter   uint64
}

// Complete tells that nothing of the subject is left in the tables.
func (p Proof) Complete() bool { return p.BodiesAfter == 0 && p.FactsAfter == 0 }

// message is the identity of one message under which it is erased.
type message struct {
	institution string
	key         []byte
}

// keysAtOnce is how many keys go into one statement: they travel as a parameter, which over HTTP is part of the address.
const keysAtOnce = 2000

// Run erases the subject: tombstones first, so that whatever happens afterwards no view shows it, then the text, then the facts, each by a mutation
// that has rewritten the data when it returns, and then counts what is left. It may be repeated, and after an error should be.
//
// A message's tombstone is written whether or not the message is there: one that arrives later stays hidden. An author's later messages are new.
func Run(ctx context.Context, s *store.Store, directory *institutions.Directory, ring *identitykey.Ring, subject Subject) (Proof, error) {
	var proof Proof
	if err := subject.Check(); err != nil {
		return proof, err
	}
	e := eraser{store: s, platform: subject.Platform}
	messages, err := e.find(ctx, directory, ring, subject)
	if err != nil {
		return proof, err
	}
	if err := e.bury(ctx, messages, time.Now()); err != nil {
		return proof, err
	}
	proof.Tombstones = len(messages)
	for _, table := range []struct {
		name          string
		before, after *uint64
	}{{"message_bodies", &proof.BodiesBefore, &proof.BodiesAfter}, {"message_facts", &proof.FactsBefore, &proof.FactsAfter}} {
		for from := 0; from < len(messages); from += keysAtOnce {
			if err := e.erase(ctx, table.name, messages[from:min(from+keysAtOnce, len(messages))], table.before, table.after); err != nil {
				return proof, err
			}
		}
	}
	if !proof.Complete() {
		return proof, errors.New("rows came in while they were being erased; they are hidden by their tombstones: erase again")
	}
	return proof, nil
}

type eraser struct {
	store    *store.Store
	platform string
}

func (e eraser) find(ctx context.Context, directory *institutions.Directory, ring *identitykey.Ring, subject Subject) ([]message, error) {
	if subject.MessageID != "" {
		key := ring.MessageKey(subject.Platform, subject.MessageID)
		messages, err := e.query(ctx, "SELECT DISTINCT institution, message_key FROM message_facts WHERE platform = {platform:String} AND hex(message_key) IN {keys:Array(String)}",
			[]string{hexKey(key)})
		if err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		for _, m := range messages {
			seen[m.institution] = true
		}
		for _, in := range directory.All() {
			if !seen[in.ID] {
				messages = append(messages, message{in.ID, key})
			}
		}
		return messages, nil
	}
	return e.query(ctx, "SELECT DISTINCT institution, message_key FROM message_facts WHERE platform = {platform:String} AND author_key IN {keys:Array(String)}",
		ring.AuthorKeys(subject.Platform, subject.Author))
}

func (e eraser) query(ctx context.Context, sql string, keys []string) ([]message, error) {
	found, err := e.store.Conn().Query(e.parameters(ctx, keys), sql)
	if err != nil {
		return nil, fmt.Errorf("looking for what is to be erased: %w", err)
	}
	defer found.Close()
	var messages []message
	for found.Next() {
		var institution, key string
		if err := found.Scan(&institution, &key); err != nil {
			return nil, fmt.Errorf("looking for what is to be erased: %w", err)
		}
		messages = append(messages, message{institution, []byte(key)})
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("looking for what is to be erased: %w", err)
	}
	return messages, nil
}

// parameters puts the platform and the keys, all of them hex digits, beside a statement.
func (e eraser) parameters(ctx context.Context, keys []string) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"platform": e.platform, "keys": "['" + strings.Join(keys, "','") + "']"}),
		// 2: the statement returns when every replica has done it.
		clickhouse.WithSettings(clickhouse.Settings{"mutations_sync": 2}))
}

func (e eraser) bury(ctx context.Context, messages []message, now time.Time) error {
	if len(messages) == 0 {
		return nil
	}
	t := struct {
		institution, platform []string
		key                   [][]byte
		at                    []int64
	}{}
	for _, m := range messages {
		t.institution, t.platform, t.key, t.at = append(t.institution, m.institution), append(t.platform, e.platform), append(t.key, m.key), append(t.at, now.UnixMilli())
	}
	return e.store.Insert(ctx, rows.Table{Name: "tombstones", Rows: len(messages), Columns: []rows.Column{
		{Name: "institution", Values: t.institution}, {Name: "platform", Values: t.platform}, {Name: "message_key", Values: t.key}, {Name: "deleted_at", Values: t.at},
	}})
}

// erase counts the rows of the messages in a table, deletes them and counts again.
func (e eraser) erase(ctx context.Context, table string, messages []message, before, after *uint64) error {
	keys := make([]string, len(messages))
	for n, m := range messages {
		keys[n] = hexKey(m.key)
	}
	const which = " WHERE platform = {platform:String} AND hex(message_key) IN {keys:Array(String)}"
	ctx = e.parameters(ctx, keys)
	count := func(sum *uint64) error {
		var n uint64
		if err := e.store.Conn().QueryRow(ctx, "SELECT count() FROM "+table+which).Scan(&n); err != nil {
			return fmt.Errorf("counting in %s: %w", table, err)
		}
		*sum += n
		return nil
	}
	if err := count(before); err != nil {
		return err
	}
	if err := e.store.Conn().Exec(ctx, "ALTER TABLE "+table+" DELETE"+which); err != nil {
		return fmt.Errorf("deleting from %s: %w", table, err)
	}
	return count(after)
}

func hexKey(key []byte) string { return strings.ToUpper(hex.EncodeToString(key)) }
