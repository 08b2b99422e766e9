package label

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/dwiarah/dwiarah/schemas/shares"
)

// Store is the table of labels.
type Store struct{ conn driver.Conn }

// NewStore returns the table of labels behind conn, whose database is Dwiarah's.
func NewStore(conn driver.Conn) *Store { return &Store{conn} }

const lookup = `
SELECT institution, platform, message_id, any(message_key) AS message_key, max(expires_at) AS expires_at
FROM message_facts
WHERE institution IN {institutions:Array(String)} AND message_id IN {ids:Array(String)}
GROUP BY institution, platform, message_id`

// chunk bounds what one statement asks for or inserts.
const chunk = 2_000

type identity struct{ institution, platform, messageID string }

// Put stores labels; a repeat changes nothing. It returns the places of those whose message is not stored: a label of nothing could never be erased with its message.
func (s *Store) Put(ctx context.Context, labels []Label) (unknown []int, err error) {
	for from := 0; from < len(labels); from += chunk {
		part := labels[from:min(from+chunk, len(labels))]
		messages, err := s.messages(ctx, part)
		if err != nil {
			return nil, err
		}
		batch, err := s.conn.PrepareBatch(ctx, `INSERT INTO message_labels (institution, head, platform, message_id, annotator, message_key, label, labelled_at, model_version, predicted, p, stratum, weight, expires_at)`)
		if err != nil {
			return nil, fmt.Errorf("storing labels: %w", err)
		}
		for i := range part {
			l := &part[i]
			m, known := messages[identity{l.Institution, l.Platform, l.MessageID}]
			if !known {
				unknown = append(unknown, from+i)
				continue
			}
			if err := batch.Append(l.Institution, l.Head, l.Platform, l.MessageID, l.Annotator, m.key, l.Label, l.LabelledAt, l.ModelVersion, l.Predicted, l.P, l.Stratum, l.Weight, m.expiresAt); err != nil {
				return nil, fmt.Errorf("storing labels: %w", err)
			}
		}
		if batch.Rows() == 0 {
			if err := batch.Abort(); err != nil {
				return nil, fmt.Errorf("storing labels: %w", err)
			}
			continue
		}
		if err := batch.Send(); err != nil {
			return nil, fmt.Errorf("storing labels: %w", err)
		}
	}
	return unknown, nil
}

// message is what a label takes over from its message.
type message struct {
	key       string
	expiresAt time.Time
}

func (s *Store) messages(ctx context.Context, labels []Label) (map[identity]message, error) {
	var institutions, ids []string
	for i := range labels {
		institutions = append(institutions, labels[i].Institution)
		ids = append(ids, labels[i].MessageID)
	}
	rows, err := s.conn.Query(ctx, lookup, clickhouse.Named("institutions", institutions), clickhouse.Named("ids", ids))
	if err != nil {
		return nil, fmt.Errorf("looking for the labelled messages: %w", err)
	}
	defer rows.Close()
	found := map[identity]message{}
	for rows.Next() {
		var i identity
		var m message
		if err := rows.Scan(&i.institution, &i.platform, &i.messageID, &m.key, &m.expiresAt); err != nil {
			return nil, fmt.Errorf("looking for the labelled messages: %w", err)
		}
		found[i] = m
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("looking for the labelled messages: %w", err)
	}
	return found, nil
}

// Selection says which labels are meant; an empty field means any.
type Selection struct{ Institution, Head, Annotator string }

const selected = `
SELECT institution, platform, message_id, head, label, annotator, labelled_at, model_version, predicted, p, stratum, weight
FROM message_labels AS l FINAL
LEFT SEMI JOIN (SELECT institution, platform, message_id FROM messages WHERE {institution:String} = '' OR institution = {institution:String}) AS m
    ON m.institution = l.institution AND m.platform = l.platform AND m.message_id = l.message_id
WHERE ({institution:String} = '' OR institution = {institution:String}) AND ({head:String} = '' OR head = {head:String}) AND ({annotator:String} = '' OR annotator = {annotator:String})
ORDER BY institution, head, platform, message_id, annotator`

// All returns the labels that are meant, of messages that are neither deleted nor hidden.
func (s *Store) All(ctx context.Context, sel Selection) ([]Label, error) {
	rows, err := s.conn.Query(ctx, selected, clickhouse.Named("institution", sel.Institution), clickhouse.Named("head", sel.Head), clickhouse.Named("annotator", sel.Annotator))
	if err != nil {
		return nil, fmt.Errorf("reading labels: %w", err)
	}
	defer rows.Close()
	var out []Label
	for rows.Next() {
		var l Label
		if err := rows.Scan(&l.Institution, &l.Platform, &l.MessageID, &l.Head, &l.Label, &l.Annotator, &l.LabelledAt, &l.ModelVersion, &l.Predicted, &l.P, &l.Stratum, &l.Weight); err != nil {
			return nil, fmt.Errorf("reading labels: %w", err)
		}
		out = append(out, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading labels: %w", err)
	}
	return out, nil
}

// Text is what people say of a message, with its text.
type Text struct {
	Platform, MessageID string
	Label               string
	// ModelVersion and Stratum are whose answer it was chosen by and what that was; Stratum is empty where it came from elsewhere.
	ModelVersion, Stratum string
	// Weight is what it counts among all of them, beside a message drawn at random.
	Weight float64
	Text   string
}

const withTexts = `
SELECT platform, message_id, label, model_version, if(stratum = '', NULL, p) AS drawn_p, predicted, weight, t.text AS text
FROM (SELECT * FROM message_labels FINAL WHERE institution = {institution:String} AND head = {head:String}) AS l
INNER JOIN (SELECT platform, message_id, text FROM message_texts WHERE institution = {institution:String}) AS t ON t.platform = l.platform AND t.message_id = l.message_id
ORDER BY platform, message_id, annotator`

// Texts returns what people say under one head of an institution's messages that may still be read: neither deleted nor hidden nor past the retention of texts. Where annotators
// differ, most of them decide; of a tie nothing can be learnt, and the message is left out.
func (s *Store) Texts(ctx context.Context, institution, head string) ([]Text, error) {
	rows, err := s.conn.Query(ctx, withTexts, clickhouse.Named("institution", institution), clickhouse.Named("head", head))
	if err != nil {
		return nil, fmt.Errorf("reading labelled texts: %w", err)
	}
	defer rows.Close()
	var all []Text
	for rows.Next() {
		var t Text
		var p *float32
		var predicted string
		if err := rows.Scan(&t.Platform, &t.MessageID, &t.Label, &t.ModelVersion, &p, &predicted, &t.Weight, &t.Text); err != nil {
			return nil, fmt.Errorf("reading labelled texts: %w", err)
		}
		if p != nil {
			t.Stratum = Candidate{Predicted: predicted, P: *p}.Stratum()
		}
		all = append(all, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading labelled texts: %w", err)
	}
	out := decided(all)
	Weigh(out)
	return out, nil
}

// decided folds the labels of each message, which stand together, into one.
func decided(all []Text) []Text {
	var out []Text
	for from := 0; from < len(all); {
		to, votes, best, tie := from, map[string]int{}, all[from].Label, false
		for ; to < len(all) && all[to].Platform == all[from].Platform && all[to].MessageID == all[from].MessageID; to++ {
			votes[all[to].Label]++
		}
		for l, n := range votes {
			if n > votes[best] {
				best = l
			}
		}
		for l, n := range votes {
			tie = tie || l != best && n == votes[best]
		}
		if !tie {
			t := all[from]
			t.Label = best
			out = append(out, t)
		}
		from = to
	}
	return out
}

// PutConfusion stores a measurement, which replaces an earlier one of the same model version: c has all cells, those without a label too.
func (s *Store) PutConfusion(ctx context.Context, c *shares.Confusion, at time.Time) error {
	batch, err := s.conn.PrepareBatch(ctx, `INSERT INTO stream_confusions (institution, head, model_version, gold, predicted, labels, weight, weight_sq, measured_at)`)
	if err != nil {
		return fmt.Errorf("storing a confusion matrix: %w", err)
	}
	for l, cell := range c.Cells {
		if err := batch.Append(c.Institution, c.Head, c.ModelVersion, l[0], l[1], uint32(cell.Labels), cell.Weight, cell.WeightSq, at); err != nil {
			return fmt.Errorf("storing a confusion matrix: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("storing a confusion matrix: %w", err)
	}
	return nil
}
