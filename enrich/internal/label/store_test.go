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
