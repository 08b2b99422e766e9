package clickhouse

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
)

// A reviewer looks for words through the view of texts, and the engine answers from the index of words.
func TestWordsAreFoundByTheirIndex(t *testing.T) {
	conn := migrated(t)
	s := &scene{world{institution: "i"}}
	for n := range 20_000 {
		s.add(fmt.Sprint("m", n), "u", schemas.KindMention, schemas.Inbound, float64(n)/100, func(e *event.Enriched) {
			if e.Message.Text = "Jalan rusak di kelurahan kami"; n == 12_345 {
				e.Message.Text = "AIR di sini keruh, Pak!"
			}
		})
	}
	s.putMessages(t, conn, s.messages)
	const found = " FROM message_texts WHERE institution = 'i' AND hasAllTokens(lower(text), ['air', 'keruh'])"
	rows, _ := query(t, conn, "SELECT message_id"+found, nil)
	if len(rows) != 1 || rows[0]["message_id"] != "m12345" {
		t.Errorf("found %v, want m12345", rows)
	}
	rows, _ = query(t, conn, "EXPLAIN indexes = 1 SELECT message_id"+found, nil)
	var plan strings.Builder
	for _, r := range rows {
		fmt.Fprintln(&plan, r["explain"])
	}
	if !regexp.MustCompile(`Name: words\n(?:.*\n){0,3}.*Granules: 1/2\n`).MatchString(plan.String()) {
		t.Errorf("the index of words leaves no granule out:\n%s", plan.String())
	}
	if texts := regexp.MustCompile(`Output: .*\btext\b.*`).FindString(plan.String()); texts != "" || !strings.Contains(plan.String(), "__text_index_words_hasAllTokens") {
		t.Errorf("the index of words does not answer by itself, texts are read: %s\n%s", texts, plan.String())
	}
}

// Counts that a platform reports again are a new version of the row: the latest observation counts, in whatever order the observations come.
func TestTheLatestCountsCount(t *testing.T) {
	conn := migrated(t)
	for _, order := range [][]int{{0, 1, 24}, {24, 0, 1}, {1, 24, 0}} {
		institution := fmt.Sprint("i", order)
		for _, hours := range order {
			e := &scene{world{institution: institution}}
			e.post("p", 0, func(e *event.Enriched) {
				likes, seen := int64(10*hours), hour(float64(hours))
				e.Message.Likes, e.Message.ObservedAtMs = &likes, &seen
			})
			m := e.messages[0]
			insert(t, conn, "message_facts (institution, created_at, platform, message_id, message_key, author_key, kind, direction, observed_at, likes, version, expires_at)", [][]any{{
				institution, day0, "x", "p", string(m.Message.MessageKey), "A", "post", "outbound", optionalTime(m.Message.ObservedAtMs), m.Message.Likes, version(m), forever,
			}})
		}
		rows, _ := query(t, conn, "SELECT likes FROM messages WHERE institution = {i:String}", map[string]string{"i": institution})
		if len(rows) != 1 || rows[0]["likes"] != int64(240) {
			t.Errorf("observed after %v hours: %v, want 240 likes", order, rows)
		}
	}
}
