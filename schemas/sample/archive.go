package sample

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
)

// archive writes every message down as rows, in the order in which they were read, and the truth in the order in which they were written.
func (w *world) archive() ([]schemas.Message, []Truth) {
	var rows []schemas.Message
	var truth []Truth
	comments := map[*message]int64{}
	for _, m := range w.messages {
		if !m.ghost && m.root != m {
			comments[m.root]++
		}
	}
	last := map[*office]*message{}
	for _, m := range w.messages {
		if m.ghost {
			continue
		}
		rows = append(rows, w.rowsOf(m, comments[m])...)
		truth = append(truth, truthOf(m))
		if m.function != "" && m.parent == nil && m.deletedAt == nil && m.editedAt == nil {
			last[m.author.office] = m
		}
	}
	// Each office's latest post is read once more at the very end, so that everything is known up to there.
	for _, f := range w.offices {
		row := w.row(last[f], comments[last[f]])
		row.ObservedAt = &w.end
		row.AuthorFollowers = w.followers(last[f].author, w.end)
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b schemas.Message) int {
		return cmp.Or(readAt(a).Compare(readAt(b)), cmp.Compare(a.Platform, b.Platform), cmp.Compare(a.MessageID, b.MessageID))
	})
	slices.SortFunc(truth, func(a, b Truth) int {
		return cmp.Or(cmp.Compare(a.Platform, b.Platform), cmp.Compare(a.MessageID, b.MessageID))
	})
	return rows, truth
}

// readAt is when a row was read, as far as the row tells.
func readAt(m schemas.Message) time.Time {
	if m.ObservedAt != nil {
		return *m.ObservedAt
	}
	return m.CreatedAt
}

func truthOf(m *message) Truth {
	t := Truth{Platform: m.platform, MessageID: m.id, Direction: m.direction(), Lang: m.lang, ContentFunction: m.function}
	for _, f := range m.concerns {
		t.Institutions = append(t.Institutions, f.id)
	}
	if m.author.office == nil {
		t.NeedsReply, t.Sentiment, t.RiskTag, t.RiskSeverity = m.truth.needsReply, m.truth.sentiment, m.truth.riskTag, m.truth.severity
	}
	return t
}

// rowsOf gives the rows of one message: its version or versions, repeats as an overlapping read gives them, the deletion.
func (w *world) rowsOf(m *message, comments int64) []schemas.Message {
	row := w.row(m, comments)
	read := w.soon(m.at)
	switch {
	case m.editedAt != nil:
		old := row
		old.Text = m.before
		if !read.Before(*m.editedAt) {
			read = *m.editedAt
		}
		old.ObservedAt = &read
		again := w.soon(*m.editedAt)
		row.EditedAt, row.ObservedAt = m.editedAt, &again
		if m.deletedAt == nil || m.tombstone {
			return append([]schemas.Message{old, row}, w.tombstone(m)...)
		}
		seen := w.soon(latest(again, *m.deletedAt))
		row.DeletedAt, row.ObservedAt = m.deletedAt, &seen
		return []schemas.Message{old, row}
	case m.deletedAt != nil && !m.tombstone:
		seen := w.soon(latest(*m.deletedAt, read))
		row.DeletedAt, row.ObservedAt = m.deletedAt, &seen
		return []schemas.Message{row}
	case m.deletedAt != nil:
		row.ObservedAt = &read
		return append([]schemas.Message{row}, w.tombstone(m)...)
	case w.rng.Float64() < 0.04:
		return []schemas.Message{row} // the reader did not note when
	}
	row.ObservedAt = &read
	if w.rng.Float64() < 0.03 {
		repeat := row
		again := w.soon(read.Add(w.minutes(5, 1500)))
		repeat.ObservedAt = &again
		if repeat.Likes != nil {
			likes := *repeat.Likes + int64(w.rng.IntN(4))
			repeat.Likes = &likes
		}
		if repeat.AuthorFollowers != nil && m.author.office != nil {
			repeat.AuthorFollowers = w.followers(m.author, again)
		}
		return []schemas.Message{row, repeat}
	}
	return []schemas.Message{row}
}

// tombstone is the row of a deletion that was told without the text, as platforms tell it; nothing names the institution but the row itself.
func (w *world) tombstone(m *message) []schemas.Message {
	if m.deletedAt == nil {
		return nil
	}
	seen := w.soon(*m.deletedAt)
	return []schemas.Message{{
		Platform: m.platform, MessageID: m.id, Institution: m.concerns[0].id, Kind: m.kind, AuthorID: m.author.id, CreatedAt: m.at,
		DeletedAt: m.deletedAt, ObservedAt: &seen,
	}}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// soon is when something is read that happened at an instant: mostly within minutes, sometimes after an outage, and never after the end.
func (w *world) soon(t time.Time) time.Time {
	lag := w.minutes(0.3, 6)
	if w.rng.Float64() < 0.02 {
		lag = w.minutes(30, 400)
	}
	if t = t.Add(lag); t.After(w.end) {
		return w.end
	}
	return t
}

// row is a message in the archive's form.
func (w *world) row(m *message, comments int64) schemas.Message {
	row := schemas.Message{
		Platform: m.platform, MessageID: m.id, Kind: m.kind, AuthorID: m.author.id, CreatedAt: m.at, Text: m.text, IsAuto: m.isAuto,
		AuthorFollowers: m.author.followers, AuthorCreatedAt: m.author.created,
	}
	if m.author.office != nil {
		row.AuthorFollowers = w.followers(m.author, m.at)
	}
	for _, a := range m.mentions {
		row.Mentions = append(row.Mentions, a.id)
	}
	if m.parent != nil {
		row.ParentID = m.parent.id
		if !m.parent.ghost && w.rng.Float64() >= unnamedParents[m.platform] || m.kind == schemas.KindRepost {
			row.ParentAuthorID = m.parent.author.id
		}
	}
	// A platform either names the root of a thread's first message or leaves it out.
	if m.root != m || m.platform == schemas.PlatformX {
		row.RootID = m.root.id
	}
	w.counts(m, &row, comments)
	row.Lang = claimedLang(w.rng, m)
	if !derivable(m, row) {
		row.Institution = m.concerns[0].id
	}
	if w.rng.Float64() < 0.02 {
		row.Direction = m.direction()
	}
	return row
}

// unnamedParents is how often a platform leaves out the parent's author.
var unnamedParents = map[string]float64{
	schemas.PlatformX: .05, schemas.PlatformMastodon: .02, schemas.PlatformInstagram: .5, schemas.PlatformYouTube: .7,
}

// derivable tells whether an importer can tell from one row alone whom it concerns: by its author, its parent's author, or a mention.
func derivable(m *message, row schemas.Message) bool {
	if m.author.office != nil || row.ParentAuthorID != "" && m.parent.author.office != nil {
		return true
	}
	return slices.ContainsFunc(m.mentions, func(a *author) bool { return a.office != nil })
}

// claimedLang is the language that the platform says a message is in.
func claimedLang(rng *rand.Rand, m *message) string {
	switch {
	case m.platform == schemas.PlatformX && m.lang == "id":
		return "in"
	case m.platform == schemas.PlatformX && m.lang != "en":
		return []string{"in", "und", "tl"}[rng.IntN(3)] // it knows neither Javanese nor Sundanese
	case m.platform == schemas.PlatformX:
		return "en"
	case m.platform == schemas.PlatformMastodon && rng.IntN(3) > 0:
		return m.lang
	}
	return ""
}

// counts fills in what the platform counts.
func (w *world) counts(m *message, row *schemas.Message, comments int64) {
	of := func(n int64) *int64 { return &n }
	likes := int64(0.8 * w.rng.ExpFloat64())
	if m.function != "" {
		likes = int64(math.Exp(3 + 0.7*w.rng.NormFloat64()))
		if m.function == entertaining {
			likes *= 3
		}
	}
	if m.kind == schemas.KindRepost {
		return
	}
	row.Likes = of(likes)
	if m.parent == nil {
		row.Replies = of(comments)
	}
	switch m.platform {
	case schemas.PlatformX:
		row.Shares, row.Views = of(likes/7), of(likes*40+int64(w.rng.IntN(200)))
	case schemas.PlatformMastodon:
		row.Shares = of(likes / 5)
	case schemas.PlatformYouTube:
		if m.parent == nil {
			row.Views = of(likes*60 + int64(w.rng.IntN(500)))
		}
	}
}

// jumpDay, jumpHours and jumpSize are the sudden growth of the transport office's followers on X.
const (
	jumpDay   = 40
	jumpHours = 36
	jumpSize  = 21400
)

// followers is the size of an account at an instant: slow growth, and one jump.
func (w *world) followers(a *author, t time.Time) *int64 {
	start := a.office.habits.followers[a.id]
	days := t.Sub(w.start).Hours() / 24
	n := start + int64(float64(start)*0.0009*days)
	if a.id == "a5301" {
		since := t.Sub(w.day(a.office, jumpDay)).Hours()
		n += int64(jumpSize * min(1, max(0, since/jumpHours)))
	}
	return &n
}
