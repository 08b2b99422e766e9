package erase_test

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/clickhouse"
	"github.com/dwiarah/dwiarah/schemas/clickhouse/clickhousetest"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/institutions"
	"github.com/dwiarah/dwiarah/sink/internal/erase"
	"github.com/dwiarah/dwiarah/sink/internal/query"
	"github.com/dwiarah/dwiarah/sink/internal/store"
	"github.com/dwiarah/dwiarah/sink/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// office is a store of the test's own whose files can be read, with the columns that name people stored uncompressed.
type office struct {
	*testing.T
	dir    string
	store  *store.Store
	writer *store.Writer
}

func open(t *testing.T, directory *institutions.Directory) *office {
	t.Helper()
	o := &office{T: t, dir: t.TempDir()}
	e := clickhousetest.Start(t, o.dir)
	o.store = storetest.Open(t, storetest.Config(e.Addr(), storetest.Database(t, e.Addr())).Patient())
	if _, err := clickhouse.LoadCalendars(t.Context(), o.store.Conn()); err != nil {
		t.Fatal(err)
	}
	storetest.Legible(t, o.store, "message_bodies", "message_facts", "message_labels")
	for _, statement := range []string{
		// A file for each column says where a trace was found.
		"ALTER TABLE message_bodies MODIFY SETTING min_bytes_for_wide_part = 0", "ALTER TABLE message_facts MODIFY SETTING min_bytes_for_wide_part = 0",
		"INSERT INTO institution_settings VALUES ('" + storetest.Institution + "', 'Dinas Air', 'Asia/Jakarta', 25200, 'id-government', now64(3))",
	} {
		if err := o.store.Conn().Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	o.writer, err = store.NewWriter(o.store, directory, func() {}, slog.New(slog.NewTextHandler(t.Output(), nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *office) write(entries ...store.Entry) {
	o.Helper()
	if refusals, err := o.writer.Write(o.Context(), entries); err != nil || len(refusals) > 0 {
		o.Fatal(refusals, err)
	}
}

func (o *office) run() erase.Proof {
	o.Helper()
	proof, err := erase.Run(o.Context(), o.store, slog.New(slog.NewTextHandler(o.Output(), nil)), time.Minute)
	if err != nil {
		o.Fatal(err)
	}
	if !proof.Complete() || proof.OldParts > 0 {
		o.Errorf("the proof is not complete: %+v", proof)
	}
	return proof
}

// metrics is what the views say of a whole year, without the ids of deleted requests. Messages may have learnt whose message they answer.
func (o *office) metrics() string {
	o.Helper()
	var b strings.Builder
	const of = "(institution='" + storetest.Institution + "', from='2026-01-01', to='2027-01-01'"
	for _, from := range []string{
		"(SELECT * EXCEPT parent_author_key FROM messages)", "message_texts", "metric_reply_share" + of + ")", "metric_response_rate" + of + ", window_s=86400)", "metric_wait" + of + ")", "metric_asymmetry" + of + ")",
		"metric_dialogue" + of + ")", "metric_sentiment" + of + ")", "metric_risk" + of + ")", "series_engagement" + of + ", step_s=86400)",
	} {
		if err := query.Print(o.Context(), o.store.Conn(), "SELECT * FROM "+from+" ORDER BY ALL", nil, &b); err != nil {
			o.Fatal(err)
		}
	}
	if err := query.Print(o.Context(), o.store.Conn(), "SELECT platform, author_key, asked_at, answered_at, deleted_at, outcome, wait_s, business_wait_s FROM requests ORDER BY ALL", nil, &b); err != nil {
		o.Fatal(err)
	}
	return b.String()
}

// left is what the data folder holds of the traces. The hashes of message ids that tombstones and settled requests are made of do not count there.
func (o *office) left(traces *storetest.Traces) storetest.Found {
	o.Helper()
	return traces.Under(o, o.dir, storetest.Folders(o, o.store, "tombstones", "settled_requests")...)
}

// words is how many words of the messages the index of words knows; its files are packed, so that a scan does not see them.
func (o *office) words(of []*event.Enriched) uint64 {
	o.Helper()
	var words []string
	for _, e := range of {
		word, _, _ := strings.Cut(strings.ToLower(e.Message.Text), " ")
		words = append(words, word)
	}
	return storetest.Count(o.T, o.store, "SELECT count() FROM mergeTreeTextIndex(currentDatabase(), 'message_bodies', 'words') WHERE token IN ('"+strings.Join(words, "', '")+"')")
}

// talk is a conversation of citizens with an office: requests, follow-ups that fold, replies to most, mentions of each other. Every second reply says which message it
// answers and not whose that is.
func talk(random *rand.Rand, from, count int) []*event.Enriched {
	var list []*event.Enriched
	for n := from; n < from+count; n++ {
		e := storetest.Enriched(n)
		m := e.Message
		m.MessageId, m.MessageKey = messageID(n), binary.BigEndian.AppendUint64([]byte("key of m"), random.Uint64())
		m.CreatedAtMs = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * 17 * time.Minute).UnixMilli()
		m.AuthorKey, m.MentionKeys = author(random.IntN(12)), []string{author(random.IntN(12))}
		m.RootId = fmt.Sprint("root", random.IntN(15))
		m.ParentId, m.ParentIsAccount, m.ParentAuthorKey = m.RootId, event.Known_KNOWN_YES, strings.Repeat("a", 32)
		m.Text = fmt.Sprintf("MARKER%06dX tolong dicek", n)
		m.TextHash, m.LinkHashes = random.Uint64(), []uint64{random.Uint64()}
		if n%3 == 0 {
			m.Direction, m.AuthorKey, m.ParentIsAccount, m.ParentAuthorKey = schemas.Outbound, strings.Repeat("a", 32), event.Known_KNOWN_NO, author(random.IntN(12))
			e.Enrichment.NeedsReply = false
			if n%2 == 0 && len(list) > 0 {
				asked := list[len(list)-1].Message
				m.RootId, m.ParentId, m.ParentAuthorKey, m.ParentIsAccount, m.MentionKeys = asked.RootId, asked.MessageId, "", event.Known_KNOWN_UNSPECIFIED, nil
			}
		}
		list = append(list, e)
	}
	return list
}

// traces are what a message must not leave behind. Who answers it still names its id: threads hang together by ids.
func traces(of []*event.Enriched, all []*event.Enriched) *storetest.Traces {
	t := &storetest.Traces{}
	pointed := map[string]bool{}
	for _, e := range all {
		pointed[e.Message.ParentId] = true
	}
	for _, e := range of {
		m := e.Message
		t.Add("text", []byte(m.Text[:len("MARKER000000X")]))
		t.Add("hash of the text", binary.LittleEndian.AppendUint64(nil, m.TextHash))
		t.Add("hash of a link", binary.LittleEndian.AppendUint64(nil, m.LinkHashes[0]))
		t.Add("hash of the id", m.MessageKey)
		if !pointed[m.MessageId] {
			t.Add("id", []byte(m.MessageId))
		}
	}
	return t
}

func messageID(n int) string { return fmt.Sprintf("id%08d", n) }

func author(n int) string { return fmt.Sprintf("c0ffee%026d", n) }

func coverage() store.Entry {
	return store.Entry{Ledger: &event.LedgerEntry{Entry: &event.LedgerEntry_Coverage{Coverage: &event.Coverage{
		Institution: storetest.Institution, Connector: "archive", Status: schemas.CoverageComplete,
		SinceMs: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), UntilMs: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli(),
	}}}}
}

func deletion(e *event.Enriched, after time.Duration) store.Entry {
	m := e.Message
	at := m.CreatedAtMs + after.Milliseconds()
	return store.Entry{Enriched: &event.Enriched{Message: &event.Message{Institution: m.Institution, Platform: m.Platform, MessageKey: m.MessageKey, DeletedAtMs: &at}}}
}

// What is deleted is hidden at once. The job then changes nothing that a view shows, and leaves neither text nor key of it on the disk; a replay of
// everything brings nothing back, and the next run erases the replay.
func TestErasureLeavesNothingAndChangesNothing(t *testing.T) {
	o := open(t, nil)
	random := rand.New(rand.NewPCG(1, 2))
	messages := talk(random, 0, 400)
	entries := []store.Entry{coverage()}
	for _, e := range messages {
		entries = append(entries, store.Entry{Enriched: e})
	}
	o.write(entries...)

	var gone []*event.Enriched
	deletions := []store.Entry{{Ledger: &event.LedgerEntry{Entry: &event.LedgerEntry_Visibility{Visibility: &event.Visibility{
		Institution: storetest.Institution, Platform: schemas.PlatformMastodon, AuthorKey: author(0), State: schemas.VisibilityDeleted,
		AtMs: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC).UnixMilli(),
	}}}}}
	for n, e := range messages {
		if n%7 == 0 || e.Message.AuthorKey == author(0) {
			gone = append(gone, e)
		}
		if n%7 == 0 {
			deletions = append(deletions, deletion(e, time.Duration(random.IntN(72))*time.Hour))
		}
	}
	erased := traces(gone, messages)
	erased.Add("author", []byte(author(0)))
	o.write(deletions...)
	if err := o.store.Conn().Exec(t.Context(), `INSERT INTO message_labels (institution, head, platform, message_id, annotator, message_key, label, labelled_at, expires_at)
		SELECT institution, 'sentiment', platform, message_id, 'a1', message_key, 'neutral', now(), expires_at FROM message_facts FINAL`); err != nil {
		t.Fatal(err)
	}
	if known := o.words(gone); known < uint64(len(gone)) {
		t.Errorf("the index knows %d words of %d messages", known, len(gone))
	}
	for _, what := range []string{
		"text in text.bin", "id in message_id.bin", "hash of the text in text_hash.bin", "hash of a link in link_hashes.bin", "hash of the id in message_key.bin",
		"author in author_key.bin", "author in parent_author_key.bin", "author in mention_keys.bin",
	} {
		if o.left(erased)[what] == 0 {
			t.Errorf("the scan does not find the %s, which is there", what)
		}
	}
	hidden := o.metrics()
	if strings.Contains(hidden, "MARKER000007") || !strings.Contains(hidden, "MARKER000001") {
		t.Fatal("the deletions are not what the views hide")
	}

	proof := o.run()
	if proof.Messages < len(gone)-1 || proof.Settled == 0 || proof.Pointers == 0 || proof.TextsBefore == 0 {
		t.Errorf("the run did not do its work: %+v", proof)
	}
	same := func(when, want string) {
		t.Helper()
		got := o.metrics()
		// Others' pointers to a deleted author are no longer its key.
		want = strings.ReplaceAll(want, author(0), strings.Repeat("0", 32))
		got = strings.ReplaceAll(got, author(0), strings.Repeat("0", 32))
		if got == want {
			return
		}
		before, after := strings.Split(want, "\n"), strings.Split(got, "\n")
		for n := range min(len(before), len(after)) {
			if before[n] != after[n] {
				t.Errorf("%s, line %d was\n%s\nand is\n%s", when, n, before[n], after[n])
			}
		}
		if len(before) != len(after) {
			t.Errorf("%s: %d lines, were %d", when, len(after), len(before))
		}
	}
	if left, all := storetest.Count(t, o.store, "SELECT count() FROM message_labels"), storetest.Count(t, o.store, "SELECT count() FROM message_facts FINAL"); proof.LabelsBefore == 0 || left == 0 || left != all {
		t.Errorf("%d labels of %d messages that are left, %d were erased", left, all, proof.LabelsBefore)
	}
	same("after the job", hidden)
	if left, known := o.left(erased), o.words(gone); len(left) > 0 || known > 0 {
		t.Errorf("after the job there is left %s, and %d words in the index", left, known)
	}

	// Whoever labels a message while it is being erased leaves a label without a message.
	if err := o.store.Conn().Exec(t.Context(), `INSERT INTO message_labels (institution, head, platform, message_id, annotator, message_key, label, labelled_at, expires_at)
		SELECT institution, 'sentiment', platform, 'late', 'a1', message_key, 'neutral', now(), now() + INTERVAL 1 YEAR FROM tombstones LIMIT 1`); err != nil {
		t.Fatal(err)
	}
	if late := o.run(); late.LabelsBefore != 1 || storetest.Count(t, o.store, "SELECT count() FROM message_labels WHERE message_id = 'late'") != 0 {
		t.Errorf("a late label: %+v", late)
	}
	slices.Reverse(entries)
	o.write(entries...)
	same("after a replay", hidden)
	again := o.run()
	if again.Messages == 0 || again.Settled != 0 {
		t.Errorf("the replay: %+v", again)
	}
	same("after a replay and the job", hidden)
	if left, known := o.left(erased), o.words(gone); len(left) > 0 || known > 0 {
		t.Errorf("after a replay and the job there is left %s, and %d words in the index", left, known)
	}
	if n := storetest.Count(t, o.store, "SELECT count() FROM privacy_log FINAL WHERE outcome = 'done' AND texts_after = 0 AND facts_after = 0"); n != 3 {
		t.Errorf("%d runs are on record, want 3", n)
	}
}

// What has reached the end of its retention goes; figures over at least five people stay, once.
func TestExpiryKeepsFiguresOfFivePeople(t *testing.T) {
	o := open(t, nil)
	yesterday := time.Now().AddDate(0, 0, -396).UnixMilli() // its facts expired yesterday
	many, few := talk(rand.New(rand.NewPCG(1, 2)), 0, 60), talk(rand.New(rand.NewPCG(1, 2)), 100, 30)
	entries := []store.Entry{coverage()}
	for _, e := range many {
		e.Message.IngestedAtMs = yesterday
		entries = append(entries, store.Entry{Enriched: e})
	}
	for n, e := range few { // a month later, four people
		e.Message.IngestedAtMs = yesterday
		e.Message.CreatedAtMs += 40 * 24 * time.Hour.Milliseconds()
		if e.Message.Direction == schemas.Inbound {
			e.Message.AuthorKey = author(n % 4)
		}
		entries = append(entries, store.Entry{Enriched: e})
	}
	o.write(entries...)
	var want strings.Builder
	const january = "(institution='" + storetest.Institution + "', from='2026-01-01', to='2026-02-01')"
	if err := query.Print(t.Context(), o.store.Conn(), "SELECT toDate('2026-01-01'), a.authors, w.n, w.open, w.rmst_7d_s FROM metric_asymmetry"+january+" AS a CROSS JOIN metric_wait"+january+" AS w", nil, &want); err != nil {
		t.Fatal(err)
	}
	if proof := o.run(); proof.Expired < 90 {
		t.Errorf("%d rows expired, want 90 of facts at least", proof.Expired)
	}
	o.run()
	var got strings.Builder
	if err := query.Print(t.Context(), o.store.Conn(), "SELECT month, authors, requests, open, rmst_7d_s FROM kept_months FINAL", nil, &got); err != nil {
		t.Fatal(err)
	}
	figures := func(s string) string {
		_, rest, _ := strings.Cut(s, "\n")
		return strings.Join(strings.Fields(rest), " ")
	}
	if figures(got.String()) != figures(want.String()) {
		t.Errorf("kept\n%s\nof\n%s", got.String(), want.String())
	}
	if n := storetest.Count(t, o.store, "SELECT (SELECT count() FROM message_facts) + (SELECT count() FROM message_bodies)"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}
