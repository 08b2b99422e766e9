package sample

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/reference"
)

// Key is the answer key: the true values of the metrics, computed without SQL and without the classifier. Metrics are maps by the column names of
// their views. Business-time columns are not in it, since they depend on the working calendar.
type Key struct {
	MetricSpec string    `json:"metric_spec"`
	Seed       uint64    `json:"seed"`
	Archive    ArchiveOf `json:"archive"`
	// Institutions in the file's order.
	Institutions []InstitutionKey `json:"institutions"`
}

// ArchiveOf counts the archive's rows and says what an import of it covers.
type ArchiveOf struct {
	Rows int `json:"rows"`
	// Messages are distinct (platform, message_id); Facts are distinct (institution, platform, message_id), more by those that concern two.
	Messages int `json:"messages"`
	Facts    int `json:"facts"`
	// Tombstones are rows without text; Edits are rows with edited_at; Repeats are rows that say again what an earlier one said.
	Tombstones int `json:"tombstones"`
	Edits      int `json:"edits"`
	Repeats    int `json:"repeats"`
	// Since and Until are the coverage that the import writes: the first created_at, and the last created_at or observed_at.
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// InstitutionKey is the answer key of one institution.
type InstitutionKey struct {
	ID       string       `json:"id"`
	OffsetS  int          `json:"utc_offset_s"`
	Accounts []AccountKey `json:"accounts"`
	// Periods: all, then calendar months, then weeks from Monday, in the office's zone.
	Periods []PeriodKey `json:"periods"`
}

// AccountKey is what the outbound rows tell about an account's size.
type AccountKey struct {
	Platform  string    `json:"platform"`
	Account   string    `json:"account"`
	Snapshots int       `json:"snapshots"`
	First     int64     `json:"followers_first"`
	Last      int64     `json:"followers_last"`
	FirstAt   time.Time `json:"first_at"`
	LastAt    time.Time `json:"last_at"`
}

// PeriodKey holds the metrics of [From, To).
type PeriodKey struct {
	Name string    `json:"name"`
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Messages counts the rows of the view messages, and those that are deleted.
	Messages   reference.MessageCounts `json:"messages"`
	ReplyShare map[string]any          `json:"metric_reply_share"`
	Asymmetry  map[string]any          `json:"metric_asymmetry"`
	Dialogue   map[string]any          `json:"metric_dialogue"`
	// WithTrueLabels holds the metrics that depend on the classifier, as they are when it makes no mistake.
	WithTrueLabels LabelledKey `json:"with_true_labels"`
}

// LabelledKey holds metrics under the true labels.
type LabelledKey struct {
	// ResponseRate by window, in seconds.
	ResponseRate map[string]map[string]any `json:"metric_response_rate"`
	Wait         map[string]any            `json:"metric_wait"`
	Sentiment    map[string]any            `json:"metric_sentiment"`
	// RiskMessages counts the messages of I_addr by tag.
	RiskMessages map[string]int `json:"risk_messages"`
}

// windows of the response rate in the key, in hours.
var windows = []int{1, 4, 24, 72}

func (s *Sample) key(o Options, start time.Time) Key {
	k := Key{MetricSpec: schemas.MetricSpec, Seed: o.Seed, Archive: s.archiveOf()}
	for _, in := range s.directory.All() {
		world := s.World(in.ID)
		r := reference.Read(world)
		ik := InstitutionKey{ID: in.ID, OffsetS: world.OffsetS, Accounts: s.accounts(in.ID)}
		for _, p := range periods(start, o.End, in.Location()) {
			ik.Periods = append(ik.Periods, periodKey(r, p))
		}
		k.Institutions = append(k.Institutions, ik)
	}
	return k
}

func (s *Sample) archiveOf() ArchiveOf {
	a := ArchiveOf{Rows: len(s.Messages), Messages: len(s.Truth), Since: s.Messages[0].CreatedAt}
	for _, t := range s.Truth {
		a.Facts += len(t.Institutions)
	}
	for _, m := range s.Messages {
		if m.Text == "" {
			a.Tombstones++
		}
		if m.EditedAt != nil {
			a.Edits++
		}
		if m.CreatedAt.Before(a.Since) {
			a.Since = m.CreatedAt
		}
		a.Until = latest(latest(a.Until, m.CreatedAt), readAt(m))
	}
	a.Repeats = a.Rows - a.Messages - a.Tombstones - a.Edits
	return a
}

// accounts reads the sizes of an institution's accounts off its outbound rows, as an importer does.
func (s *Sample) accounts(institution string) []AccountKey {
	byName := map[string]*AccountKey{}
	observed := map[string]map[time.Time]bool{}
	for _, m := range s.Messages {
		in, account := s.directory.Owner(m.Platform, m.AuthorID)
		if in == nil || in.ID != institution || m.AuthorFollowers == nil {
			continue
		}
		name, at := m.Platform+"/"+account.Name(), readAt(m)
		a := byName[name]
		if a == nil {
			a = &AccountKey{Platform: m.Platform, Account: account.Name(), First: *m.AuthorFollowers, FirstAt: at, LastAt: at}
			byName[name], observed[name] = a, map[time.Time]bool{}
		}
		observed[name][at] = true
		a.Snapshots = len(observed[name])
		if !at.Before(a.LastAt) {
			a.Last, a.LastAt = *m.AuthorFollowers, at
		}
	}
	var keys []AccountKey
	for _, a := range byName {
		keys = append(keys, *a)
	}
	slices.SortFunc(keys, func(a, b AccountKey) int { return strings.Compare(a.Platform+"/"+a.Account, b.Platform+"/"+b.Account) })
	return keys
}

type period struct {
	name     string
	from, to time.Time
}

func periods(start, end time.Time, zone *time.Location) []period {
	out := []period{{"all", start.UTC(), end.UTC()}}
	local := start.In(zone)
	for month := time.Date(local.Year(), local.Month(), 1, 0, 0, 0, 0, zone); month.Before(end); month = month.AddDate(0, 1, 0) {
		out = append(out, period{month.Format("2006-01"), month.UTC(), month.AddDate(0, 1, 0).UTC()})
	}
	monday := time.Date(local.Year(), local.Month(), local.Day()-(int(local.Weekday())+6)%7, 0, 0, 0, 0, zone)
	for week := monday; week.Before(end); week = week.AddDate(0, 0, 7) {
		year, number := week.ISOWeek()
		out = append(out, period{fmt.Sprintf("%d-W%02d", year, number), week.UTC(), week.AddDate(0, 0, 7).UTC()})
	}
	return out
}

func periodKey(r *reference.Reading, p period) PeriodKey {
	k := PeriodKey{
		Name: p.name, From: p.from, To: p.to, Messages: r.Messages(p.from, p.to),
		ReplyShare: reference.Columns(r.ReplyShare(p.from, p.to)),
		Asymmetry:  reference.Columns(r.Asymmetry(p.from, p.to)),
		Dialogue:   reference.Columns(r.Dialogue(p.from, p.to)),
		WithTrueLabels: LabelledKey{
			ResponseRate: map[string]map[string]any{}, Wait: reference.Columns(r.Wait(p.from, p.to)), Sentiment: reference.Columns(r.Sentiment(p.from, p.to)),
			RiskMessages: map[string]int{},
		},
	}
	for name := range k.WithTrueLabels.Wait {
		if strings.HasPrefix(name, "b_") {
			delete(k.WithTrueLabels.Wait, name)
		}
	}
	for _, row := range r.Risk(p.from, p.to) {
		k.WithTrueLabels.RiskMessages[row.RiskTag] = row.N
	}
	for _, hours := range windows {
		rate, err := r.ResponseRate(p.from, p.to, time.Duration(hours)*time.Hour)
		if err != nil {
			continue // only a window of 0 is refused
		}
		k.WithTrueLabels.ResponseRate[fmt.Sprint(hours*3600)] = reference.Columns(rate)
	}
	return k
}

// connector names the sample's rows in the coverage of World.
const connector = "sample"

// World is the archive as an importer and a classifier without mistakes would hand it on, for one institution: everything is derived from the rows
// and the institutions file alone, the labels are the true ones. Keys of authors and messages are plain hashes: nobody is to be protected here.
func (s *Sample) World(institution string) reference.World {
	in := s.directory.Institution(institution)
	if in == nil {
		return reference.World{Institution: institution}
	}
	_, offset := time.Unix(0, 0).In(in.Location()).Zone()
	archive := s.archiveOf()
	w := reference.World{Institution: institution, OffsetS: offset, Coverage: []*event.Coverage{{
		Connector: connector, Institution: institution, SinceMs: archive.Since.UnixMilli(), UntilMs: archive.Until.UnixMilli(), Status: schemas.CoverageComplete,
	}}}
	truth := map[string]Truth{}
	for _, t := range s.Truth {
		truth[t.Platform+"/"+t.MessageID] = t
	}
	for _, m := range s.Messages {
		if e := s.enriched(institution, m, truth[m.Platform+"/"+m.MessageID]); e != nil {
			w.Messages = append(w.Messages, e)
		}
	}
	return w
}

// enriched derives the record of a row for one institution; nil when the row does not concern it.
func (s *Sample) enriched(institution string, m schemas.Message, t Truth) *event.Enriched {
	owned := func(author string) (string, bool) {
		in, account := s.directory.Owner(m.Platform, author)
		return account.Name(), in != nil && in.ID == institution
	}
	account, outbound := owned(m.AuthorID)
	e := &event.Message{
		Institution: institution, Platform: m.Platform, MessageId: m.MessageID, MessageKey: hash(m.Platform, m.MessageID), Kind: m.Kind, IsAuto: m.IsAuto,
		Direction: schemas.Inbound, AuthorKey: authorKey(m.Platform, m.AuthorID), AuthorFollowers: m.AuthorFollowers, AuthorCreatedAtMs: milliseconds(m.AuthorCreatedAt),
		CreatedAtMs: m.CreatedAt.UnixMilli(), ObservedAtMs: milliseconds(m.ObservedAt), EditedAtMs: milliseconds(m.EditedAt), DeletedAtMs: milliseconds(m.DeletedAt),
		IngestedAtMs: readAt(m).UnixMilli(), Text: m.Text, Lang: m.Lang, ParentId: m.ParentID, RootId: m.RootID, Account: account,
		Likes: m.Likes, Replies: m.Replies, Shares: m.Shares, Views: m.Views, Connector: connector,
	}
	if outbound {
		e.Direction = schemas.Outbound
	}
	concerned := outbound || m.Institution == institution
	if m.ParentAuthorID != "" {
		e.ParentAuthorKey, e.ParentIsAccount = authorKey(m.Platform, m.ParentAuthorID), event.Known_KNOWN_NO
		if name, ours := owned(m.ParentAuthorID); ours {
			e.ParentIsAccount, concerned = event.Known_KNOWN_YES, true
			e.Account = name
		}
	}
	for _, mention := range m.Mentions {
		if name, ours := owned(mention); ours {
			e.MentionsAccount, concerned = true, true
			e.Account = name
			continue
		}
		e.MentionKeys = append(e.MentionKeys, authorKey(m.Platform, mention))
	}
	if outbound {
		e.Account = account
	}
	if !concerned || m.Institution != "" && m.Institution != institution {
		return nil
	}
	if m.Text == "" {
		return &event.Enriched{Message: e}
	}
	labels := &event.Enrichment{
		Lang: t.Lang, Sentiment: t.Sentiment, RiskTag: t.RiskTag, RiskSeverity: uint32(t.RiskSeverity), ContentFunction: t.ContentFunction, NeedsReply: t.NeedsReply,
		ModelVersion: "truth", ModelSeq: 1,
	}
	if t.RiskTag != "" && t.RiskTag != "none" {
		labels.RiskTags, labels.RiskP = []string{t.RiskTag}, []*event.TagProbability{{Tag: t.RiskTag, P: 1}}
	}
	return &event.Enriched{Message: e, Enrichment: labels}
}

func milliseconds(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

func hash(platform, id string) []byte {
	sum := sha256.Sum256([]byte(platform + "\x00" + id))
	return sum[:16]
}

func authorKey(platform, id string) string { return hex.EncodeToString(hash(platform, id)) }
