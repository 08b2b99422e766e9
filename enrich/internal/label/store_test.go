package label

import (
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"github.com/dwiarah/dwiarah/schemas/clickhouse/clickhousetest"
	"github.com/dwiarah/dwiarah/schemas/kit/engine"
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

func TestLabelsOfStoredMessages(t *testing.T) {
	conn := migrated(t)
	for _, id := range []string{"m1", "m2"} {
		if err := conn.Exec(t.Context(), `INSERT INTO message_facts (institution, platform, message_id, message_key, created_at, expires_at) VALUES ('kota-contoh', 'x', {id:String}, {key:String}, now(), now() + 1e6)`,
			clickhouse.Named("id", id), clickhouse.Named("key", id+"0123456789abcd")); err != nil {
			t.Fatal(err)
		}
	}
	p := float32(0.5)
	at := defaults.LabelledAt
	of := func(id, annotator, label string, at time.Time) Label {
		return Label{Institution: "kota-contoh", Platform: "x", MessageID: id, Head: Sentiment, Label: label, Annotator: annotator, LabelledAt: at, ModelVersion: "1", Predicted: "neutral", P: &p, Stratum: "random", Weight: 3}
	}
	store := NewStore(conn)
	put := func(labels ...Label) []int {
		t.Helper()
		unknown, err := store.Put(t.Context(), labels)
		if err != nil {
			t.Fatal(err)
		}
		return unknown
	}
	first := []Label{of("m1", "a1", "negative", at), of("m1", "a2", "neutral", at), of("m2", "a1", "positive", at), of("absent", "a1", "positive", at)}
	if unknown := put(first...); !cmp.Equal(unknown, []int{3}) {
		t.Errorf("unknown messages: %v, want the fourth", unknown)
	}
	put(first[:3]...) // a repeat changes nothing
	all := func() []Label {
		t.Helper()
		labels, err := store.All(t.Context(), Selection{Institution: "kota-contoh"})
		if err != nil {
			t.Fatal(err)
		}
		return labels
	}
	if d := cmp.Diff(first[:3], all()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Group{{"kota-contoh", Sentiment, [][]string{{"negative", "neutral"}, {"positive"}}}}, Units(all())); d != "" {
		t.Error(d)
	}
	// Thinking again replaces one's own label and nobody else's.
	changed := of("m1", "a1", "positive", at.Add(time.Minute))
	put(changed)
	if d := cmp.Diff([]Label{changed, first[1], first[2]}, all()); d != "" {
		t.Error(d)
	}
	// What was deleted has no labels any more.
	if err := conn.Exec(t.Context(), `INSERT INTO tombstones (institution, platform, message_key, deleted_at) VALUES ('kota-contoh', 'x', 'm10123456789abcd', now())`); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Label{first[2]}, all()); d != "" {
		t.Error(d)
	}
}

// What is drawn is not labelled yet, and knows how much of the stream is like it, the labelled included; some of it has another person's label.
func TestDraw(t *testing.T) {
	conn := migrated(t)
	const messages = 60
	for _, table := range []string{
		`message_facts (institution, created_at, platform, message_id, message_key, author_key, kind, direction, mentions_account, sentiment, p_negative, p_neutral, model_version, version, expires_at)
		SELECT 'kota-contoh', now(), 'x', concat('m', toString(number)), leftPad(toString(number), 16, '0'), 'u', 'mention', 'inbound', true, if(number < 6, 'negative', 'neutral'), 0.6, 0.9, '1', 1, now() + 1e6`,
		`message_bodies (institution, created_at, platform, message_id, message_key, text, version, expires_at)
		SELECT 'kota-contoh', now(), 'x', concat('m', toString(number)), leftPad(toString(number), 16, '0'), 'kapan buka', 1, now() + 1e6`,
	} {
		if err := conn.Exec(t.Context(), "INSERT INTO "+table+" FROM numbers({n:UInt64})", clickhouse.Named("n", uint64(messages))); err != nil {
			t.Fatal(err)
		}
	}
	store := NewStore(conn)
	weights := map[string]float64{}
	given := map[string]bool{}
	// draw draws and labels n messages for an annotator, and tells how many of them another one had labelled.
	draw := func(annotator string, n int) (drawn, seconds int) {
		t.Helper()
		items, err := store.Draw(t.Context(), "kota-contoh", Sentiment, annotator, n, uint64(len(given)+1))
		if err != nil {
			t.Fatal(err)
		}
		var labels []Label
		for _, i := range items {
			if own := annotator + i.MessageID; given[own] {
				t.Fatalf("%s is asked twice about %s", annotator, i.MessageID)
			} else {
				given[own] = true
			}
			l := i.Label("kota-contoh", Sentiment, annotator, "neutral", defaults.LabelledAt)
			if i.Second {
				seconds++
			}
			if w, known := weights[l.Predicted]; known && w != l.Weight {
				t.Errorf("a %s one counts %v, then %v", l.Predicted, w, l.Weight)
			}
			weights[l.Predicted] = l.Weight
			labels = append(labels, l)
		}
		if unknown, err := store.Put(t.Context(), labels); err != nil || unknown != nil {
			t.Fatal(unknown, err)
		}
		return len(items), seconds
	}
	for _, c := range []struct {
		annotator                            string
		n, drawn, fewestSeconds, mostSeconds int
	}{{"a1", 40, 40, 0, 0}, {"a1", 40, 20, 0, 0}, {"a1", 40, 0, 0, 0}, {"a2", 20, 20, 5, 20}} {
		if drawn, seconds := draw(c.annotator, c.n); drawn != c.drawn || seconds < c.fewestSeconds || seconds > c.mostSeconds {
			t.Errorf("%s drew %d of %d, of which %d had a label", c.annotator, drawn, c.n, seconds)
		}
	}
	texts, err := store.Texts(t.Context(), "kota-contoh", Sentiment)
	if err != nil || len(texts) != messages {
		t.Fatal(len(texts), err)
	}
	// All of the stream is labelled, so each message counts as one.
	for _, x := range texts {
		if x.Weight < 0.999 || x.Weight > 1.001 {
			t.Errorf("%s, %s, counts %v", x.MessageID, x.Stratum, x.Weight)
		}
	}
}
