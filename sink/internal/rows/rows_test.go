package rows_test

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/column/orderedmap"
	"github.com/google/go-cmp/cmp"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/sink/internal/rows"
)

var update = flag.Bool("update", false, "write the golden files anew")

const directoryYAML = `
institutions:
  - id: dinas-air
    name: Dinas Air Kota Contoh
    zone: Asia/Jakarta
    accounts: {mastodon: [{id: "1", handle: dinasair}]}
    purpose: menjawab warga
    legal_basis: tugas pelayanan publik
    retention: {text_days: 30, facts_days: 200}
`

func directory(t testing.TB) *institutions.Directory {
	t.Helper()
	d, err := institutions.Parse("institutions.yaml", []byte(directoryYAML))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func ptr[T any](v T) *T { return &v }

func ms(s string) int64 {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return at.UnixMilli()
}

func full() *event.Enriched {
	return &event.Enriched{
		Message: &event.Message{
			Institution: "dinas-air", Platform: "mastodon", MessageId: "110000000000000001", MessageKey: []byte("0123456789abcdef"),
			Account: "dinasair", Kind: schemas.KindReply, Direction: schemas.Inbound, IsAuto: true,
			AuthorKey: strings.Repeat("ab", 16), AuthorFollowers: ptr[int64](120), AuthorCreatedAtMs: ptr(ms("2019-05-01T00:00:00Z")),
			CreatedAtMs: ms("2026-03-01T01:02:03.456Z"), ObservedAtMs: ptr(ms("2026-03-01T01:05:00Z")), EditedAtMs: ptr(ms("2026-03-01T01:04:00Z")),
			IngestedAtMs: ms("2026-03-01T01:05:01.999Z"),
			Text:         "Air mati sejak subuh, tolong dicek ya", Lang: "id", ParentId: "110000000000000000",
			ParentAuthorKey: strings.Repeat("cd", 16), RootId: "109", MentionKeys: []string{strings.Repeat("cd", 16), strings.Repeat("ef", 16)},
			ParentIsAccount: event.Known_KNOWN_YES, MentionsAccount: true, FromAccountStream: true,
			Likes: ptr[int64](3), Replies: ptr[int64](0), Shares: ptr[int64](1), TextHash: 1 << 63, LinkHashes: []uint64{5, 6}, Redacted: []string{"phone"}, Connector: "mastodon:dinasair",
		},
		Enrichment: &event.Enrichment{
			Lang: "id", Sentiment: schemas.Negative, PNegative: 0.75, PNeutral: 0.25, PPositive: 0, RiskTag: "service_outage",
			RiskTags: []string{"service_outage"}, RiskSeverity: 3,
			RiskP:    []*event.TagProbability{{Tag: "service_outage", P: 0.875}, {Tag: "corruption", P: 0.125}},
			Toxicity: 0.0625, NeedsReply: true, PNeedsReply: 0.5, ModelVersion: "2026.3", ModelSeq: 7, BotP: ptr[float32](0.25),
		},
	}
}

func change(e *event.Enriched, f func(m *event.Message, e *event.Enriched)) *event.Enriched {
	f(e.Message, e)
	return e
}

// dump writes rows as a person reads them: a table, then a line a column and row.
func dump(tables []rows.Table) string {
	var b strings.Builder
	for _, table := range tables {
		for row := range table.Rows {
			fmt.Fprintf(&b, "%s row %d\n", table.Name, row)
			for _, c := range table.Columns {
				fmt.Fprintf(&b, "  %s = %s\n", c.Name, value(reflect.ValueOf(c.Values).Index(row)))
			}
		}
	}
	return b.String()
}

func value(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case *int64, *float32:
		if v.IsNil() {
			return "NULL"
		}
		return fmt.Sprint(v.Elem().Interface())
	case *orderedmap.Map[string, float32]:
		var pairs []string
		for it := x.Iterator(); it.Next(); {
			pairs = append(pairs, fmt.Sprintf("%v: %v", it.Key(), it.Value()))
		}
		return "{" + strings.Join(pairs, ", ") + "}"
	case string, []string, []byte:
		return fmt.Sprintf("%q", x)
	default:
		return fmt.Sprint(x)
	}
}

// TestAutomaticByPlatformOrByWords holds that either of the two makes a reply automatic, which no metric counts as a person's.
func TestAutomaticByPlatformOrByWords(t *testing.T) {
	f := func(platform, words bool) {
		t.Helper()
		e := change(full(), func(m *event.Message, e *event.Enriched) { m.IsAuto, e.Enrichment.IsAuto = platform, words })
		want := fmt.Sprintf("is_auto = %v\n", platform || words)
		block := rows.NewBlock(directory(t), 1)
		if err := block.AddEnriched(e); err != nil {
			t.Fatal(err)
		}
		if got := dump(block.Tables()); !strings.Contains(got, want) {
			t.Errorf("platform %v, words %v: the row lacks %s", platform, words, want)
		}
	}
	f(false, false)
	f(true, false)
	f(false, true)
}

func TestMappingIsGolden(t *testing.T) {
	for _, c := range []struct {
		name    string
		records []*event.Enriched
		ledger  []*event.LedgerEntry
	}{
		{"full", []*event.Enriched{full()}, nil},
		{"bare outbound post", []*event.Enriched{{
			Message: &event.Message{
				Institution: "unlisted", Platform: "x", MessageId: "1", MessageKey: make([]byte, 16), Account: "kota", Kind: schemas.KindPost,
				Direction: schemas.Outbound, AuthorKey: strings.Repeat("0", 32), CreatedAtMs: ms("2026-01-01T00:00:00Z"),
				IngestedAtMs: ms("2026-01-01T00:00:00Z"), Text: "Selamat tahun baru", Url: "https://x.example/kota/1",
			},
			Enrichment: &event.Enrichment{Lang: "id", Sentiment: schemas.Neutral, PNeutral: 1, ContentFunction: "informative", ModelVersion: "2026.3", ModelSeq: 7},
		}}, nil},
		{"classifier without an answer", []*event.Enriched{change(full(), func(_ *event.Message, e *event.Enriched) {
			e.Enrichment = &event.Enrichment{Sentiment: schemas.SentimentUnknown, ModelVersion: "2026.3", ModelSeq: 7}
		})}, nil},
		{"deleted with text", []*event.Enriched{change(full(), func(m *event.Message, _ *event.Enriched) {
			m.DeletedAtMs = ptr(ms("2026-03-02T00:00:00Z"))
		})}, nil},
		{"deleted with text, not enriched", []*event.Enriched{change(full(), func(m *event.Message, e *event.Enriched) {
			m.DeletedAtMs, e.Enrichment = ptr(ms("2026-03-02T00:00:00Z")), nil
		})}, nil},
		{"deletion alone", []*event.Enriched{{Message: &event.Message{
			Institution: "dinas-air", Platform: "mastodon", MessageKey: []byte("0123456789abcdef"), DeletedAtMs: ptr(ms("2026-03-02T00:00:00Z")),
		}}}, nil},
		{"ledger", nil, []*event.LedgerEntry{
			{Entry: &event.LedgerEntry_Coverage{Coverage: &event.Coverage{
				Institution: "dinas-air", Connector: "mastodon:dinasair", SinceMs: ms("2026-03-01T00:00:00Z"), UntilMs: ms("2026-03-02T00:00:00Z"),
				Status: schemas.CoverageGap, Reason: schemas.GapOutage, RecordedAtMs: ms("2026-03-02T00:00:01Z"),
			}}},
			{Entry: &event.LedgerEntry_Snapshot{Snapshot: &event.AccountSnapshot{
				Institution: "dinas-air", Platform: "mastodon", Account: "dinasair", ObservedAtMs: ms("2026-03-01T00:00:00Z"), Followers: ptr[int64](9000),
			}}},
			{Entry: &event.LedgerEntry_Visibility{Visibility: &event.Visibility{
				Institution: "dinas-air", Platform: "mastodon", MessageKey: []byte("0123456789abcdef"), State: schemas.VisibilityHidden,
				Reason: schemas.HiddenWithheld, AtMs: ms("2026-03-01T00:00:00Z"),
			}}},
			{Entry: &event.LedgerEntry_Visibility{Visibility: &event.Visibility{
				Institution: "dinas-air", Platform: "mastodon", AuthorKey: strings.Repeat("ab", 16), State: schemas.VisibilityDeleted, AtMs: ms("2026-03-02T00:00:00Z"),
			}}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			block := rows.NewBlock(directory(t), 4)
			for _, e := range c.records {
				if err := rows.CheckEnriched(e); err != nil {
					t.Fatal(err)
				}
				if err := block.AddEnriched(e); err != nil {
					t.Fatal(err)
				}
			}
			for _, l := range c.ledger {
				if err := rows.CheckLedger(l); err != nil {
					t.Fatal(err)
				}
				block.AddLedger(l)
			}
			got := dump(block.Tables())
			path := filepath.Join("testdata", strings.NewReplacer(" ", "_", ",", "").Replace(c.name)+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("rows differ from %s (-want +got):\n%s", path, diff)
			}
		})
	}
}

func TestTablesComeInTheirOrderAndAlike(t *testing.T) {
	block := rows.NewBlock(nil, 0)
	block.AddLedger(&event.LedgerEntry{Entry: &event.LedgerEntry_Coverage{Coverage: &event.Coverage{}}})
	block.AddLedger(&event.LedgerEntry{Entry: &event.LedgerEntry_Snapshot{Snapshot: &event.AccountSnapshot{}}})
	block.AddLedger(&event.LedgerEntry{Entry: &event.LedgerEntry_Visibility{Visibility: &event.Visibility{}}})
	for _, e := range []*event.Enriched{full(), change(full(), func(m *event.Message, _ *event.Enriched) { m.DeletedAtMs = ptr(m.CreatedAtMs) })} {
		if err := block.AddEnriched(e); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for _, table := range block.Tables() {
		names = append(names, table.Name)
		for _, c := range table.Columns {
			if n := reflect.ValueOf(c.Values).Len(); n != table.Rows {
				t.Errorf("%s.%s has %d values in %d rows", table.Name, c.Name, n, table.Rows)
			}
		}
	}
	// A deleted or hidden message must not be seen for a moment, and a message that is seen must have its text.
	if diff := cmp.Diff([]string{"tombstones", "visibility_changes", "message_bodies", "message_facts", "coverage_ledger", "account_counts"}, names); diff != "" {
		t.Error(diff)
	}
}

// F13 is among them.
func TestCheckEnrichedRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(m *event.Message, e *event.Enriched)
		reason schemas.DeadReason
		key    string
	}{
		{"no message", func(_ *event.Message, e *event.Enriched) { e.Message = nil }, schemas.DeadMissingField, "message"},
		{"no institution", func(m *event.Message, _ *event.Enriched) { m.Institution = "" }, schemas.DeadMissingField, "institution"},
		{"no platform", func(m *event.Message, _ *event.Enriched) { m.Platform = "" }, schemas.DeadMissingField, "platform"},
		{"platform", func(m *event.Message, _ *event.Enriched) { m.Platform = "friendster" }, schemas.DeadUnknownPlatform, "platform"},
		{"short key", func(m *event.Message, _ *event.Enriched) { m.MessageKey = []byte("short") }, schemas.DeadInvalidField, "message_key"},
		{"no id", func(m *event.Message, _ *event.Enriched) { m.MessageId = "" }, schemas.DeadMissingField, "message_id"},
		{"a megabyte of kind", func(m *event.Message, _ *event.Enriched) { m.Kind = strings.Repeat("ki", 1<<19) }, schemas.DeadInvalidField, "kind"},
		{"no kind", func(m *event.Message, _ *event.Enriched) { m.Kind = "" }, schemas.DeadMissingField, "kind"},
		{"kind", func(m *event.Message, _ *event.Enriched) { m.Kind = "story" }, schemas.DeadInvalidField, "kind"},
		{"direction", func(m *event.Message, _ *event.Enriched) { m.Direction = "" }, schemas.DeadInvalidField, "direction"},
		{"no time", func(m *event.Message, _ *event.Enriched) { m.CreatedAtMs = 0 }, schemas.DeadMissingField, "created_at"},
		{"1970", func(m *event.Message, _ *event.Enriched) { m.CreatedAtMs = 1 }, schemas.DeadInvalidField, "created_at"},
		{"2970", func(m *event.Message, _ *event.Enriched) { m.EditedAtMs = ptr(ms("2970-01-01T00:00:00Z")) }, schemas.DeadInvalidField, "edited_at"},
		{"negative time", func(m *event.Message, _ *event.Enriched) { m.DeletedAtMs = ptr[int64](-5) }, schemas.DeadInvalidField, "deleted_at"},
		{"no ingestion", func(m *event.Message, _ *event.Enriched) { m.IngestedAtMs = 0 }, schemas.DeadMissingField, "ingested_at"},
		{"no author", func(m *event.Message, _ *event.Enriched) { m.AuthorKey = "" }, schemas.DeadMissingField, "author_key"},
		{"handle for a key", func(m *event.Message, _ *event.Enriched) { m.AuthorKey = "@warga" }, schemas.DeadInvalidField, "author_key"},
		{"handle for a parent", func(m *event.Message, _ *event.Enriched) { m.ParentAuthorKey = "@warga" }, schemas.DeadInvalidField, "parent_author_key"},
		{"handle for a mention", func(m *event.Message, _ *event.Enriched) { m.MentionKeys = []string{"@warga"} }, schemas.DeadInvalidField, "mention_keys"},
		{"known", func(m *event.Message, _ *event.Enriched) { m.ParentIsAccount = 9 }, schemas.DeadInvalidField, "parent_is_account"},
		{"count", func(m *event.Message, _ *event.Enriched) { m.Likes = ptr[int64](-1) }, schemas.DeadInvalidField, "likes"},
		{"bytes", func(m *event.Message, _ *event.Enriched) { m.Text = "\xff" }, schemas.DeadInvalidUTF8, "text"},
		{"not enriched", func(_ *event.Message, e *event.Enriched) { e.Enrichment = nil }, schemas.DeadMissingField, "enrichment"},
		{"sentiment", func(_ *event.Message, e *event.Enriched) { e.Enrichment.Sentiment = "meh" }, schemas.DeadInvalidField, "sentiment"},
		{"severity", func(_ *event.Message, e *event.Enriched) { e.Enrichment.RiskSeverity = 256 }, schemas.DeadInvalidField, "risk_severity"},
		{"model", func(_ *event.Message, e *event.Enriched) { e.Enrichment.ModelSeq = 1024 }, schemas.DeadInvalidField, "model_seq"},
		{"NaN", func(_ *event.Message, e *event.Enriched) { e.Enrichment.PNegative = float32(math.NaN()) }, schemas.DeadInvalidField, "p_negative"},
		{"infinite", func(_ *event.Message, e *event.Enriched) { e.Enrichment.BotP = ptr(float32(math.Inf(1))) }, schemas.DeadInvalidField, "bot_p"},
		{"tag", func(_ *event.Message, e *event.Enriched) { e.Enrichment.RiskP[0].P = 1.5 }, schemas.DeadInvalidField, "risk_p"},
	} {
		e := full()
		c.change(e.Message, e)
		err := rows.CheckEnriched(e)
		var field *schemas.FieldError
		if !errors.As(err, &field) || field.Reason != c.reason || field.Key != c.key {
			t.Errorf("%s: %v, want %s of %s", c.name, err, c.reason, c.key)
			continue
		}
		if len(err.Error()) > 300 {
			t.Errorf("%s: the error has %d bytes", c.name, len(err.Error()))
		}
		if strings.Contains(err.Error(), "warga") || strings.Contains(err.Error(), "Air mati") {
			t.Errorf("%s: the error shows what it must not: %v", c.name, err)
		}
	}
	if err := rows.CheckEnriched(full()); err != nil {
		t.Error(err)
	}
}

func TestCheckLedgerRefuses(t *testing.T) {
	coverage := func(f func(*event.Coverage)) *event.LedgerEntry {
		c := &event.Coverage{Institution: "dinas-air", Connector: "c", Status: schemas.CoverageComplete, SinceMs: 1, UntilMs: 2}
		f(c)
		return &event.LedgerEntry{Entry: &event.LedgerEntry_Coverage{Coverage: c}}
	}
	snapshot := func(f func(*event.AccountSnapshot)) *event.LedgerEntry {
		s := &event.AccountSnapshot{Institution: "dinas-air", Platform: "x", Account: "a", ObservedAtMs: ms("2026-03-01T00:00:00Z")}
		f(s)
		return &event.LedgerEntry{Entry: &event.LedgerEntry_Snapshot{Snapshot: s}}
	}
	visibility := func(f func(*event.Visibility)) *event.LedgerEntry {
		v := &event.Visibility{Institution: "dinas-air", Platform: "x", AuthorKey: strings.Repeat("ab", 16), State: schemas.VisibilityShown, AtMs: ms("2026-03-01T00:00:00Z")}
		f(v)
		return &event.LedgerEntry{Entry: &event.LedgerEntry_Visibility{Visibility: v}}
	}
	message := func(v *event.Visibility) { v.AuthorKey, v.MessageKey = "", make([]byte, 16) }
	for _, c := range []struct {
		entry *event.LedgerEntry
		key   string
	}{
		{visibility(func(v *event.Visibility) { v.Institution = "" }), "institution"},
		{visibility(func(v *event.Visibility) { v.Platform = "friendster" }), "platform"},
		{visibility(func(v *event.Visibility) { v.AuthorKey = "" }), "message_key"},
		{visibility(func(v *event.Visibility) { v.MessageKey = make([]byte, 16) }), "message_key"},
		{visibility(func(v *event.Visibility) { v.AuthorKey, v.MessageKey = "", make([]byte, 15) }), "message_key"},
		{visibility(func(v *event.Visibility) { v.AuthorKey = "@warga" }), "author_key"},
		{visibility(func(v *event.Visibility) { v.State = "gone" }), "state"},
		{visibility(func(v *event.Visibility) { message(v); v.State = schemas.VisibilityDeleted }), "state"},
		{visibility(func(v *event.Visibility) { v.State = schemas.VisibilityHidden }), "reason"},
		{visibility(func(v *event.Visibility) { v.Reason = schemas.HiddenSuspended }), "reason"},
		{visibility(func(v *event.Visibility) { v.AtMs = 0 }), "at"},
		{&event.LedgerEntry{}, "entry"},
		{coverage(func(c *event.Coverage) { c.Institution = "" }), "institution"},
		{coverage(func(c *event.Coverage) { c.Connector = "" }), "connector"},
		{coverage(func(c *event.Coverage) { c.Status = "half" }), "status"},
		{coverage(func(c *event.Coverage) { c.UntilMs = 0 }), "until"},
		{coverage(func(c *event.Coverage) { c.SinceMs = -1 }), "since"},
		{snapshot(func(s *event.AccountSnapshot) { s.Institution = "" }), "institution"},
		{snapshot(func(s *event.AccountSnapshot) { s.Platform = "y" }), "platform"},
		{snapshot(func(s *event.AccountSnapshot) { s.Account = "" }), "account"},
		{snapshot(func(s *event.AccountSnapshot) { s.ObservedAtMs = 0 }), "observed_at"},
		{snapshot(func(s *event.AccountSnapshot) { s.Posts = ptr[int64](-1) }), "posts"},
	} {
		var field *schemas.FieldError
		if err := rows.CheckLedger(c.entry); !errors.As(err, &field) || field.Key != c.key {
			t.Errorf("%v: %v, want one of %s", c.entry, err, c.key)
		}
	}
	if err := errors.Join(rows.CheckLedger(coverage(func(*event.Coverage) {})), rows.CheckLedger(snapshot(func(*event.AccountSnapshot) {})),
		rows.CheckLedger(visibility(message))); err != nil {
		t.Error(err)
	}
}
