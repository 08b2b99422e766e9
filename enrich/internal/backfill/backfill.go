// Package backfill runs a newer model, or an adaptation, over messages that are stored: their facts and texts are read from ClickHouse, labelled anew, and produced to the
// enriched topic, so that they take the way of every other message. What was deleted, hidden or has lost its text is not read; a tombstone wins over what is produced.
package backfill

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/crashpoint"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

// Producer writes records and returns nil once all of them are acknowledged. *kafka.Producer is one.
type Producer interface {
	Produce(ctx context.Context, records ...kafka.Record) error
}

// Config of a backfill; every field is required but From, To and Rate.
type Config struct {
	Conn        driver.Conn
	Producer    Producer
	Institution string
	// Label answers for a message, Seq is its model's number: messages that a model of this number or a later one has labelled are left alone.
	Label func(*event.Message) *event.Enrichment
	Seq   uint32
	// From (included) and To (excluded) bound created_at; zero: no bound.
	From, To time.Time
	// Page is how many messages are read and produced at a time; Rate bounds how many a second, 0: no bound.
	Page, Rate int
	// Position is where an earlier run got to, zero for the beginning; Save keeps where this one has got to, once everything before is acknowledged.
	Position Position
	Save     func(Position) error
	// Progress is told after every page.
	Progress func(Summary)
}

// Position is the last message that was produced; those after it in the order of the store are still to be done.
type Position struct {
	CreatedAtMs int64  `json:"created_at_ms"`
	Platform    string `json:"platform"`
	MessageID   string `json:"message_id"`
}

// Summary is how far a backfill is. Messages = those to be done when it began; WithoutText = those that keep their older labels, because their text is no longer stored
// or may not be shown.
type Summary struct {
	Messages, Enriched, WithoutText uint64
}

const where = `
    institution = {institution:String}
    AND created_at >= fromUnixTimestamp64Milli({from:Int64}) AND created_at < fromUnixTimestamp64Milli({to:Int64})
    AND (created_at, platform, message_id) > (fromUnixTimestamp64Milli({at:Int64}), {platform:String}, {id:String})
    AND bitAnd(bitShiftRight(version, 12), 1023) < {seq:UInt32}`

const count = `
SELECT countIf(m.text_is_stored), countIf(NOT m.text_is_stored)
FROM
(
    SELECT f.message_id AS message_id, (f.platform, f.message_id) IN (SELECT platform, message_id FROM message_texts WHERE institution = {institution:String}) AS text_is_stored
    FROM (SELECT platform, message_id, message_key FROM message_facts FINAL WHERE` + where + `) AS f
    LEFT ANTI JOIN (SELECT platform, message_key FROM tombstones WHERE institution = {institution:String}) AS d ON d.platform = f.platform AND d.message_key = f.message_key
) AS m`

const read = `
SELECT f.platform, f.message_id, hex(f.message_key), f.account, toString(f.kind), toString(f.direction), f.is_auto, f.author_key, f.author_followers,
    toUnixTimestamp64Milli(f.author_created_at), toUnixTimestamp64Milli(f.created_at), toUnixTimestamp64Milli(f.observed_at), toUnixTimestamp64Milli(f.edited_at), toUnixTimestamp64Milli(f.ingested_at),
    f.lang, f.parent_id, f.parent_author_key, f.root_id, f.mention_keys, toString(f.parent_is_account), f.mentions_account, f.from_account_stream,
    f.likes, f.replies, f.shares, f.views, f.redacted, f.connector, f.text_hash, f.link_hashes, f.bot_p, b.text, b.url
FROM (SELECT * FROM message_facts FINAL WHERE` + where + `) AS f
INNER JOIN (SELECT platform, message_id, text, url FROM message_bodies FINAL WHERE institution = {institution:String} AND created_at >= fromUnixTimestamp64Milli({from:Int64}) AND created_at < fromUnixTimestamp64Milli({to:Int64})) AS b
    ON b.platform = f.platform AND b.message_id = f.message_id
LEFT SEMI JOIN (SELECT platform, message_id FROM message_texts WHERE institution = {institution:String}) AS t ON t.platform = f.platform AND t.message_id = f.message_id
ORDER BY f.created_at, f.platform, f.message_id
LIMIT {page:UInt64}`

// Run labels every message that is to be done and returns what was done, also with an error; run again from the position that was saved last, it goes on.
func Run(ctx context.Context, cfg Config) (Summary, error) {
	b := backfill{Config: cfg}
	if b.From.IsZero() {
		b.From = schemas.EarliestCreated
	}
	if b.To.IsZero() {
		b.To = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if err := b.Conn.QueryRow(ctx, count, b.arguments()...).Scan(&b.done.Messages, &b.done.WithoutText); err != nil {
		return b.done, fmt.Errorf("counting what is to be labelled: %w", err)
	}
	for {
		begun := time.Now()
		messages, err := b.read(ctx)
		if err != nil || len(messages) == 0 {
			return b.done, err
		}
		records := make([]kafka.Record, len(messages))
		for i, m := range messages {
			if records[i], err = b.record(m); err != nil {
				return b.done, err
			}
		}
		crashpoint.Hit("backfill.before_produce")
		if err := b.Producer.Produce(ctx, records...); err != nil {
			return b.done, fmt.Errorf("producing messages that were labelled anew: %w", err)
		}
		crashpoint.Hit("backfill.after_produce")
		last := messages[len(messages)-1]
		b.Position = Position{last.CreatedAtMs, last.Platform, last.MessageId}
		if err := b.Save(b.Position); err != nil {
			return b.done, err
		}
		b.done.Enriched += uint64(len(messages))
		b.Progress(b.done)
		if b.Rate > 0 {
			pause := time.Duration(float64(len(messages))/float64(b.Rate)*float64(time.Second)) - time.Since(begun)
			select {
			case <-time.After(max(0, pause)):
			case <-ctx.Done():
				return b.done, ctx.Err()
			}
		}
	}
}

type backfill struct {
	Config
	done Summary
}

func (b *backfill) arguments() []any {
	return []any{
		clickhouse.Named("institution", b.Institution), clickhouse.Named("from", b.From.UnixMilli()), clickhouse.Named("to", b.To.UnixMilli()), clickhouse.Named("at", b.Position.CreatedAtMs),
		clickhouse.Named("platform", b.Position.Platform), clickhouse.Named("id", b.Position.MessageID), clickhouse.Named("seq", b.Seq), clickhouse.Named("page", uint64(b.Page)),
	}
}

// read reads the next page as the messages that they once were, but for the language that the platform claimed: the one that was found stands for it.
func (b *backfill) read(ctx context.Context) ([]stored, error) {
	rows, err := b.Conn.Query(ctx, read, b.arguments()...)
	if err != nil {
		return nil, fmt.Errorf("reading what is to be labelled: %w", err)
	}
	defer rows.Close()
	var out []stored
	for rows.Next() {
		m := stored{Message: &event.Message{Institution: b.Institution}}
		var key, parentIsAccount string
		if err := rows.Scan(&m.Platform, &m.MessageId, &key, &m.Account, &m.Kind, &m.Direction, &m.IsAuto, &m.AuthorKey, &m.AuthorFollowers,
			&m.AuthorCreatedAtMs, &m.CreatedAtMs, &m.ObservedAtMs, &m.EditedAtMs, &m.IngestedAtMs,
			&m.Lang, &m.ParentId, &m.ParentAuthorKey, &m.RootId, &m.MentionKeys, &parentIsAccount, &m.MentionsAccount, &m.FromAccountStream,
			&m.Likes, &m.Replies, &m.Shares, &m.Views, &m.Redacted, &m.Connector, &m.TextHash, &m.LinkHashes, &m.botP, &m.Text, &m.Url); err != nil {
			return nil, fmt.Errorf("reading what is to be labelled: %w", err)
		}
		if m.MessageKey, err = hex.DecodeString(key); err != nil {
			return nil, fmt.Errorf("reading the key of a message: %w", err)
		}
		switch parentIsAccount {
		case "yes":
			m.ParentIsAccount = event.Known_KNOWN_YES
		case "no":
			m.ParentIsAccount = event.Known_KNOWN_NO
		}
		if m.Lang == "und" {
			m.Lang = ""
		}
		out = append(out, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading what is to be labelled: %w", err)
	}
	return out, nil
}

// stored is a message with what the labeller does not estimate and must not lose.
type stored struct {
	*event.Message
	botP *float32
}

// record is keyed as ingest keys the message, so that all its versions meet in one partition.
func (b *backfill) record(m stored) (kafka.Record, error) {
	answer := b.Label(m.Message)
	answer.BotP = m.botP
	value, err := event.Encode(&event.Enriched{Message: m.Message, Enrichment: answer})
	if err != nil {
		return kafka.Record{}, fmt.Errorf("labelling a message anew: %w", err)
	}
	return kafka.Record{Topic: schemas.TopicEnriched, Key: event.PartitionKey(m.Message), Value: value, Headers: []kafka.Header{{Key: event.SchemaHeader, Value: event.SchemaValue()}}}, nil
}
