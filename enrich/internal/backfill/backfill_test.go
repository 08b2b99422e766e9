package backfill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/clickhouse/clickhousetest"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
	"github.com/dwiarah/dwiarah/schemas/kit/kafka"
)

func TestMain(m *testing.M) {
	engine.RunIfChild()
	os.Exit(m.Run())
}

func migrated(t *testing.T) driver.Conn {
	t.Helper()
	_, conn := clickhousetest.Migrated(t)
	return conn
}

var base = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// full is a message with every field that the store keeps.
func full(i int) *event.Message {
	number := int64(100 + i)
	at := base.Add(time.Duration(i) * time.Minute).UnixMilli()
	later := at + 1000
	return &event.Message{
		Institution: "kota-contoh", Platform: schemas.PlatformX, MessageId: fmt.Sprint("m", i), MessageKey: fmt.Appendf(nil, "\xff\x00%014d", i), Account: "akun", Kind: schemas.KindReply,
		Direction: schemas.Inbound, AuthorKey: "u1", AuthorFollowers: &number, AuthorCreatedAtMs: &number, CreatedAtMs: at, ObservedAtMs: &later, EditedAtMs: &later, IngestedAtMs: time.Now().UnixMilli(),
		Text: fmt.Sprint("teks ke-", i), Lang: "id", ParentId: "p", ParentAuthorKey: "u2", RootId: "r", MentionKeys: []string{"u3", "u4"}, ParentIsAccount: event.Known_KNOWN_YES,
		MentionsAccount: true, FromAccountStream: true, Likes: &number, Replies: &number, Shares: &number, Views: &number, Url: "https://example.org/1", Redacted: []string{"phone"}, Connector: "archive",
		TextHash: 1<<63 + 7, LinkHashes: []uint64{1, 2},
	}
}

// store writes messages as the sink does, labelled by a model of that number.
func store(t *testing.T, conn driver.Conn, seq uint64, messages ...*event.Message) {
	t.Helper()
	ms := func(v *int64) *time.Time {
		if v == nil {
			return nil
		}
		x := time.UnixMilli(*v)
		return &x
	}
	known := map[event.Known]string{event.Known_KNOWN_UNSPECIFIED: "unknown", event.Known_KNOWN_NO: "no", event.Known_KNOWN_YES: "yes"}
	facts, err := conn.PrepareBatch(t.Context(), `INSERT INTO message_facts (institution, created_at, platform, message_id, message_key, account, author_key, kind, direction, is_auto, observed_at, edited_at, parent_id,
		parent_author_key, root_id, mention_keys, parent_is_account, mentions_account, from_account_stream, author_followers, author_created_at, likes, replies, shares, views, redacted, connector, lang, sentiment,
		bot_p, ingested_at, text_hash, link_hashes, version, expires_at)`)
	if err != nil {
		t.Fatal(err)
	}
	bodies, err := conn.PrepareBatch(t.Context(), `INSERT INTO message_bodies (institution, created_at, platform, message_id, message_key, text, url, version, expires_at)`)
	if err != nil {
		t.Fatal(err)
	}
	expires, bot := time.Now().AddDate(1, 0, 0), float32(0.25)
	for _, m := range messages {
		version := uint64(max(m.CreatedAtMs, m.GetEditedAtMs(), m.GetObservedAtMs()))<<22 | seq<<12
		if err := facts.Append(m.Institution, time.UnixMilli(m.CreatedAtMs), m.Platform, m.MessageId, string(m.MessageKey), m.Account, m.AuthorKey, m.Kind, m.Direction, m.IsAuto, ms(m.ObservedAtMs), ms(m.EditedAtMs), m.ParentId,
			m.ParentAuthorKey, m.RootId, m.MentionKeys, known[m.ParentIsAccount], m.MentionsAccount, m.FromAccountStream, m.AuthorFollowers, ms(m.AuthorCreatedAtMs), m.Likes, m.Replies, m.Shares, m.Views, m.Redacted, m.Connector, m.Lang, "neutral",
			&bot, time.UnixMilli(m.IngestedAtMs), m.TextHash, m.LinkHashes, version, expires); err != nil {
			t.Fatal(err)
		}
		if m.Text == "" {
			continue
		}
		if err := bodies.Append(m.Institution, time.UnixMilli(m.CreatedAtMs), m.Platform, m.MessageId, string(m.MessageKey), m.Text, m.Url, version, expires); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(facts.Send(), bodies.Send()); err != nil {
		t.Fatal(err)
	}
}

// log takes records, and refuses once those before refuseAt are taken.
type log struct {
	records  []kafka.Record
	refuseAt int
}

var errRefused = errors.New("refused")

func (l *log) Produce(_ context.Context, records ...kafka.Record) error {
	if l.refuseAt > 0 && len(l.records)+len(records) > l.refuseAt {
		return errRefused
	}
	l.records = append(l.records, records...)
	return nil
}

// Also F22: what the classifier had no answer for, of model 0, is labelled as soon as it has one.
func TestBackfill(t *testing.T) {
	conn := migrated(t)
	var old []*event.Message
	for i := range 5 {
		old = append(old, full(i))
	}
	bare := &event.Message{Institution: "kota-contoh", Platform: schemas.PlatformMastodon, MessageId: "bare", MessageKey: []byte("bare456789012345"), Kind: schemas.KindPost, Direction: schemas.Outbound,
		AuthorKey: "akun", CreatedAtMs: base.UnixMilli(), IngestedAtMs: time.Now().UnixMilli(), Text: "hanya teks"}
	old = append(old, bare)
	unanswered := full(25)
	old = append(old, unanswered)
	deleted, hidden, textless, neighbour, newer := full(20), full(21), full(22), full(23), full(24)
	textless.Text = ""
	neighbour.Institution = "dinas-lain"
	store(t, conn, 16, append([]*event.Message{deleted, hidden, textless, neighbour}, old[:len(old)-1]...)...)
	store(t, conn, 0, unanswered)
	store(t, conn, 17, newer)
	if err := conn.Exec(t.Context(), `INSERT INTO tombstones (institution, platform, message_key, deleted_at) VALUES ('kota-contoh', 'x', {key:String}, now())`, clickhouse.Named("key", string(deleted.MessageKey))); err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(t.Context(), `INSERT INTO visibility_changes (institution, platform, subject, subject_key, at, state, reason) VALUES ('kota-contoh', 'x', 'message', {key:String}, now(), 'hidden', 'protected')`, clickhouse.Named("key", string(hidden.MessageKey))); err != nil {
		t.Fatal(err)
	}

	l := &log{refuseAt: 3}
	var kept Position
	run := func() (Summary, error) {
		return Run(t.Context(), Config{
			Conn: conn, Producer: l, Institution: "kota-contoh", Seq: 17, Page: 2, Position: kept,
			Label: func(m *event.Message) *event.Enrichment {
				return &event.Enrichment{Sentiment: "negative", ModelSeq: 17, RiskTag: m.Text}
			},
			Save:     func(p Position) error { kept = p; return nil },
			Progress: func(Summary) {},
		})
	}
	done, err := run()
	if !errors.Is(err, errRefused) || done.Enriched != 2 || done.Messages != uint64(len(old)) || done.WithoutText != 2 {
		t.Fatalf("first run: %+v, %v; want 2 of %d, 2 without a text that may be read", done, err, len(old))
	}
	l.refuseAt = 0
	if done, err = run(); err != nil || done.Enriched != 5 {
		t.Fatalf("second run: %+v, %v; want the other 5", done, err)
	}

	want := map[string]*event.Message{}
	for _, m := range old {
		want[m.MessageId] = m
	}
	for _, r := range l.records {
		e := &event.Enriched{}
		if err := event.Decode(r.Headers[0].Value, r.Value, e); err != nil {
			t.Fatal(err)
		}
		m := want[e.Message.MessageId]
		if d := cmp.Diff(m, e.Message, protocmp.Transform()); d != "" {
			t.Errorf("%s is another message than was stored: %s", e.Message.MessageId, d)
		}
		if r.Topic != schemas.TopicEnriched || string(r.Key) != string(event.PartitionKey(e.Message)) {
			t.Errorf("topic %s, key %q", r.Topic, r.Key)
		}
		if e.Enrichment.RiskTag != e.Message.Text || e.Enrichment.GetBotP() != 0.25 {
			t.Errorf("labelled %v", e.Enrichment)
		}
		delete(want, e.Message.MessageId)
	}
	if len(want) > 0 || len(l.records) != len(old) {
		t.Errorf("%d records; missing: %v", len(l.records), want)
	}
}
