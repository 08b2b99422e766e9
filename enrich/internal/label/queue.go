package label

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Item is a message that waits for a label. It shows neither the classifier's answer nor anybody else's label: they would be copied.
type Item struct {
	Platform, MessageID string
	Kind                string
	CreatedAt           time.Time
	// Text is redacted; Parent is the text that it answers, if that is stored.
	Text, Parent string
	// Second tells that another person has labelled it: with one more label, agreement can be measured on it.
	Second bool

	modelVersion, predicted string
	p                       float32
	labelled                bool
	stratum                 string
	weight                  float64
}

// Label is the label that annotator gives the item.
func (i *Item) Label(institution, head, annotator, label string, at time.Time) Label {
	p := i.p
	return Label{Institution: institution, Platform: i.Platform, MessageID: i.MessageID, Head: head, Label: label, Annotator: annotator, LabelledAt: at,
		ModelVersion: i.modelVersion, Predicted: i.predicted, P: &p, Stratum: i.stratum, Weight: i.weight}
}

// QueueHeads are the heads that the queue offers: those of messages to the institution.
func QueueHeads() []string { return []string{Sentiment, NeedsReply, RiskTag} }

// answers give the classifier's answer and its probability by head. None of them comes from a user.
var answers = map[string]string{
	Sentiment:  `toString(f.sentiment) AS predicted, toFloat32(ifNull(multiIf(f.sentiment = 'negative', f.p_negative, f.sentiment = 'positive', f.p_positive, f.p_neutral), 0)) AS p`,
	NeedsReply: `if(f.needs_reply, 'yes', 'no') AS predicted, toFloat32(ifNull(if(f.needs_reply, f.p_needs_reply, 1 - f.p_needs_reply), 0)) AS p`,
	RiskTag:    `toString(f.risk_tag) AS predicted, toFloat32(if(f.risk_tag = 'none', 1 - arrayMax(arrayPushBack(mapValues(f.risk_p), 0)), f.risk_p[f.risk_tag])) AS p`,
}

// Candidates beyond this many are left out, by a hash: the strata keep their sizes beside each other.
const mostCandidates = "20000"

const candidates = `
WITH labelled AS (SELECT platform, message_id FROM message_labels WHERE institution = {institution:String} AND head = {head:String} AND annotator = {annotator:String})
SELECT f.platform AS platform, f.message_id AS message_id, f.model_version AS model_version, %s, (f.platform, f.message_id) IN labelled AS labelled
FROM (SELECT * FROM message_facts FINAL WHERE institution = {institution:String} AND direction = 'inbound' AND sentiment != 'unknown') AS f
LEFT SEMI JOIN (SELECT platform, message_id FROM int_messages WHERE institution = {institution:String} AND role = 'addressed' AND deleted_at IS NULL) AS a
    ON a.platform = f.platform AND a.message_id = f.message_id
LEFT SEMI JOIN (SELECT platform, message_id FROM message_texts WHERE institution = {institution:String}) AS t ON t.platform = f.platform AND t.message_id = f.message_id
ORDER BY cityHash64(f.platform, f.message_id, {seed:UInt64})
LIMIT ` + mostCandidates

const seconds = `
SELECT l.platform AS platform, l.message_id AS message_id, any(l.model_version) AS model_version, any(l.predicted) AS predicted, any(ifNull(l.p, 0)) AS p, any(l.stratum) AS stratum, any(l.weight) AS weight
FROM (SELECT * FROM message_labels FINAL WHERE institution = {institution:String} AND head = {head:String} AND annotator != {annotator:String}) AS l
LEFT SEMI JOIN (SELECT platform, message_id FROM message_texts WHERE institution = {institution:String}) AS t ON t.platform = l.platform AND t.message_id = l.message_id
LEFT ANTI JOIN (SELECT platform, message_id FROM message_labels WHERE institution = {institution:String} AND head = {head:String} AND annotator = {annotator:String}) AS o
    ON o.platform = l.platform AND o.message_id = l.message_id
GROUP BY platform, message_id
HAVING uniqExact(l.annotator) = 1
ORDER BY cityHash64(platform, message_id, {seed:UInt64})
LIMIT {most:UInt64}`

const texts = `
SELECT f.platform AS platform, f.message_id AS message_id, toString(f.kind) AS kind, f.created_at AS created_at, t.text AS text, ifNull(p.text, '') AS parent
FROM (SELECT platform, message_id, kind, created_at, parent_id FROM message_facts FINAL WHERE institution = {institution:String} AND message_id IN {ids:Array(String)}) AS f
INNER JOIN (SELECT platform, message_id, text FROM message_texts WHERE institution = {institution:String} AND message_id IN {ids:Array(String)}) AS t ON t.platform = f.platform AND t.message_id = f.message_id
LEFT JOIN (SELECT platform, message_id, text FROM message_texts WHERE institution = {institution:String}) AS p ON p.platform = f.platform AND p.message_id = f.parent_id AND f.parent_id != ''`

// secondShare of a draw are messages that one other person has labelled: agreement is measured on them.
const secondShare = 0.25

// Draw draws up to n messages that annotator has not labelled under head: by predicted class and certainty, some at random (see Sampler), some that one other
// person has labelled.
func (s *Store) Draw(ctx context.Context, institution, head, annotator string, n int, seed uint64) ([]Item, error) {
	answer, ok := answers[head]
	if !ok {
		return nil, fmt.Errorf("drawing messages: %w", &ValueError{"head", head, fmt.Sprint(QueueHeads())})
	}
	named := func(more ...any) []any {
		return append([]any{clickhouse.Named("institution", institution), clickhouse.Named("head", head), clickhouse.Named("annotator", annotator), clickhouse.Named("seed", seed)}, more...)
	}
	items, err := s.items(ctx, seconds, named(clickhouse.Named("most", uint64(secondShare*float64(n)))), true)
	if err != nil {
		return nil, err
	}
	fresh, err := s.items(ctx, fmt.Sprintf(candidates, answer), named(), false)
	if err != nil {
		return nil, err
	}
	choices := make([]Candidate, len(fresh))
	for i := range fresh {
		choices[i] = Candidate{fresh[i].predicted, fresh[i].p, fresh[i].labelled}
	}
	seen := map[[2]string]bool{}
	for i := range items {
		seen[[2]string{items[i].Platform, items[i].MessageID}] = true
	}
	for sampler := NewSampler(choices, seed); len(items) < n; {
		d, ok := sampler.Next()
		if !ok {
			break
		}
		item := fresh[d.Place]
		if !seen[[2]string{item.Platform, item.MessageID}] {
			item.stratum, item.weight = d.Stratum, d.Weight
			items = append(items, item)
		}
	}
	if items, err = s.withTexts(ctx, institution, items); err != nil {
		return nil, err
	}
	rand.New(rand.NewPCG(seed, 12)).Shuffle(len(items), func(a, b int) { items[a], items[b] = items[b], items[a] })
	return items, nil
}

func (s *Store) items(ctx context.Context, query string, args []any, drawn bool) ([]Item, error) {
	rows, err := s.conn.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("drawing messages: %w", err)
	}
	defer rows.Close()
	var out []Item
	for rows.Next() {
		var i Item
		into := []any{&i.Platform, &i.MessageID, &i.modelVersion, &i.predicted, &i.p}
		if drawn {
			i.Second = true
			into = append(into, &i.stratum, &i.weight)
		} else {
			into = append(into, &i.labelled)
		}
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("drawing messages: %w", err)
		}
		out = append(out, i)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("drawing messages: %w", err)
	}
	return out, nil
}

// withTexts adds the texts; what has none any more is left out.
func (s *Store) withTexts(ctx context.Context, institution string, items []Item) ([]Item, error) {
	if len(items) == 0 {
		return nil, nil
	}
	ids, at := make([]string, len(items)), map[[2]string]int{}
	for i := range items {
		ids[i] = items[i].MessageID
		at[[2]string{items[i].Platform, items[i].MessageID}] = i
	}
	rows, err := s.conn.Query(ctx, texts, clickhouse.Named("institution", institution), clickhouse.Named("ids", ids))
	if err != nil {
		return nil, fmt.Errorf("reading the texts to label: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var i Item
		if err := rows.Scan(&i.Platform, &i.MessageID, &i.Kind, &i.CreatedAt, &i.Text, &i.Parent); err != nil {
			return nil, fmt.Errorf("reading the texts to label: %w", err)
		}
		if n, ok := at[[2]string{i.Platform, i.MessageID}]; ok {
			items[n].Kind, items[n].CreatedAt, items[n].Text, items[n].Parent = i.Kind, i.CreatedAt, i.Text, i.Parent
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the texts to label: %w", err)
	}
	return slices.DeleteFunc(items, func(i Item) bool { return i.Text == "" }), nil
}
