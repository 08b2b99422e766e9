// Package rows makes rows of records, apart from whoever writes them. A row is a pure function of its record and of the institution's retention:
// no clock, no random, no state, so that a repeat writes the same row.
package rows

import (
	"crypto/sha256"
	"iter"

	"github.com/ClickHouse/clickhouse-go/v2/lib/column/orderedmap"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/identitykey"
	"github.com/dwiarah/dwiarah/schemas/institutions"
)

// Usual retention, for institutions that the institutions file does not name (any more): their data expires all the same.
const (
	UsualTextDays  = 90
	UsualFactsDays = 395
)

const daySeconds = 24 * 60 * 60

// Column is a column's name and its values, a slice of one of the types that the ClickHouse driver appends whole.
type Column struct {
	Name   string
	Values any
}

// Table is a table's name and the columns of the rows for it, all of the same length.
type Table struct {
	Name    string
	Rows    int
	Columns []Column
}

// Block gathers the rows of one batch, column by column. It is not safe for concurrent use.
type Block struct {
	directory  *institutions.Directory
	tombstones tombstones
	visibility visibility
	bodies     bodies
	facts      facts
	coverage   coverage
	counts     counts
	buf        []byte // of the last record's hash
}

// NewBlock returns a block with room for that many messages. The directory, which may be nil, gives the retention.
func NewBlock(directory *institutions.Directory, messages int) *Block {
	b := &Block{directory: directory}
	b.bodies.grow(messages)
	b.facts.grow(messages)
	return b
}

// Tables returns the tables that have rows, in the order in which they have to be written: whatever the process dies between, a deleted message is
// never visible (its tombstone is first, and so is what hides it), and a visible message has its text (its facts are last).
func (b *Block) Tables() []Table {
	var tables []Table
	for _, t := range []Table{b.tombstones.table(), b.visibility.table(), b.bodies.table(), b.facts.table(), b.coverage.table(), b.counts.table()} {
		if t.Rows > 0 {
			tables = append(tables, t)
		}
	}
	return tables
}

// AddEnriched adds the rows of one record: facts and body; of a deleted message a tombstone and the facts, which keep the request and lose the text;
// of a deletion that says nothing else a tombstone alone. e has passed CheckEnriched.
func (b *Block) AddEnriched(e *event.Enriched) error {
	m := e.Message
	if m.DeletedAtMs != nil {
		b.tombstones.add(m)
	}
	if tombstoneOnly(e) {
		return nil
	}
	v, buf, err := version(e, b.buf)
	if err != nil {
		return err
	}
	b.buf = buf
	retention := b.retention(m.Institution)
	b.facts.add(e, expiry(m, retention.FactsDays), v)
	if m.DeletedAtMs == nil {
		b.bodies.add(m, expiry(m, retention.TextDays), v)
	}
	return nil
}

// AddLedger adds the row of one ledger entry, which has passed CheckLedger.
func (b *Block) AddLedger(l *event.LedgerEntry) {
	switch entry := l.GetEntry().(type) {
	case *event.LedgerEntry_Coverage:
		b.coverage.add(entry.Coverage)
	case *event.LedgerEntry_Snapshot:
		b.counts.add(entry.Snapshot)
	case *event.LedgerEntry_Visibility:
		b.visibility.add(entry.Visibility)
	}
}

func (b *Block) retention(institution string) institutions.Retention {
	if b.directory != nil {
		if in := b.directory.Institution(institution); in != nil {
			return in.Retention
		}
	}
	return institutions.Retention{TextDays: UsualTextDays, FactsDays: UsualFactsDays}
}

// FactsExpireAt is when the facts of m leave the tables by themselves, in Unix seconds; the directory may be nil.
func FactsExpireAt(directory *institutions.Directory, m *event.Message) int64 {
	b := Block{directory: directory}
	return expiry(m, b.retention(m.Institution).FactsDays)
}

// expiry is in Unix seconds.
func expiry(m *event.Message, days int) int64 { return m.IngestedAtMs/1000 + int64(days)*daySeconds }

type tombstones struct {
	institution, platform []string
	messageKey            [][]byte
	deletedAt, learnedAt  []int64
}

func (t *tombstones) add(m *event.Message) {
	t.institution = append(t.institution, m.Institution)
	t.platform = append(t.platform, m.Platform)
	t.messageKey = append(t.messageKey, m.MessageKey)
	t.deletedAt = append(t.deletedAt, m.GetDeletedAtMs())
	t.learnedAt = append(t.learnedAt, m.IngestedAtMs)
}

func (t *tombstones) table() Table {
	return Table{"tombstones", len(t.institution), []Column{
		{"institution", t.institution}, {"platform", t.platform}, {"message_key", t.messageKey}, {"deleted_at", t.deletedAt},
		{"learned_at", t.learnedAt},
	}}
}

// AuthorMark stands for an author where the author's key itself has to be erasable: the first 16 bytes of the key's SHA-256.
func AuthorMark(authorKey string) []byte {
	sum := sha256.Sum256([]byte(authorKey))
	return sum[:identitykey.HashBytes]
}

type visibility struct {
	institution, platform, subject []string
	subjectKey                     [][]byte
	at                             []int64
	state, reason                  []string
}

func (t *visibility) add(v *event.Visibility) {
	subject, key := "message", v.MessageKey
	if v.AuthorKey != "" {
		subject, key = "author", AuthorMark(v.AuthorKey)
	}
	t.institution = append(t.institution, v.Institution)
	t.platform = append(t.platform, v.Platform)
	t.subject = append(t.subject, subject)
	t.subjectKey = append(t.subjectKey, key)
	t.at = append(t.at, v.AtMs)
	t.state = append(t.state, v.State)
	t.reason = append(t.reason, v.Reason)
}

func (t *visibility) table() Table {
	return Table{"visibility_changes", len(t.institution), []Column{
		{"institution", t.institution}, {"platform", t.platform}, {"subject", t.subject}, {"subject_key", t.subjectKey}, {"at", t.at},
		{"state", t.state}, {"reason", t.reason},
	}}
}

type bodies struct {
	institution, platform, messageID []string
	createdAt                        []int64
	messageKey, authorMark           [][]byte
	text, url                        []string
	expiresAt                        []int64
	version                          []uint64
}

func (t *bodies) grow(n int) {
	t.institution, t.platform, t.messageID = make([]string, 0, n), make([]string, 0, n), make([]string, 0, n)
	t.createdAt, t.expiresAt, t.version = make([]int64, 0, n), make([]int64, 0, n), make([]uint64, 0, n)
	t.messageKey, t.authorMark, t.text, t.url = make([][]byte, 0, n), make([][]byte, 0, n), make([]string, 0, n), make([]string, 0, n)
}

func (t *bodies) add(m *event.Message, expiresAt int64, version uint64) {
	t.institution = append(t.institution, m.Institution)
	t.createdAt = append(t.createdAt, m.CreatedAtMs)
	t.platform = append(t.platform, m.Platform)
	t.messageID = append(t.messageID, m.MessageId)
	t.messageKey = append(t.messageKey, m.MessageKey)
	t.authorMark = append(t.authorMark, AuthorMark(m.AuthorKey))
	t.text = append(t.text, m.Text)
	t.url = append(t.url, m.Url)
	t.expiresAt = append(t.expiresAt, expiresAt)
	t.version = append(t.version, version)
}

func (t *bodies) table() Table {
	return Table{"message_bodies", len(t.institution), []Column{
		{"institution", t.institution}, {"created_at", t.createdAt}, {"platform", t.platform}, {"message_id", t.messageID}, {"message_key", t.messageKey},
		{"author_mark", t.authorMark}, {"text", t.text}, {"url", t.url}, {"expires_at", t.expiresAt}, {"version", t.version},
	}}
}

type facts struct {
	institution, platform, messageID    []string
	createdAt                           []int64
	messageKey                          [][]byte
	account, authorKey, kind, direction []string
	isAuto                              []bool
	observedAt, editedAt                []*int64
	parentID, parentAuthorKey, rootID   []string
	mentionKeys                         [][]string
	parentIsAccount                     []string
	mentionsAccount, fromAccountStream  []bool
	authorFollowers, authorCreatedAt    []*int64
	likes, replies, shares, views       []*int64
	textHash                            []uint64
	linkHashes                          [][]uint64
	redacted                            [][]string
	connector, lang, sentiment          []string
	pNegative, pNeutral, pPositive      []*float32
	riskTag                             []string
	riskTags                            [][]string
	riskSeverity                        []uint8
	riskP                               []*orderedmap.Map[string, float32]
	toxicity                            []*float32
	contentFunction                     []string
	needsReply                          []bool
	pNeedsReply, botP                   []*float32
	modelVersion                        []string
	ingestedAt, expiresAt               []int64
	version                             []uint64
}

func (t *facts) grow(n int) {
	for _, s := range []*[]string{
		&t.institution, &t.platform, &t.messageID, &t.account, &t.authorKey, &t.kind, &t.direction, &t.parentID, &t.parentAuthorKey, &t.rootID,
		&t.parentIsAccount, &t.connector, &t.lang, &t.sentiment, &t.riskTag, &t.contentFunction, &t.modelVersion,
	} {
		*s = make([]string, 0, n)
	}
	for _, s := range []*[]bool{&t.isAuto, &t.mentionsAccount, &t.fromAccountStream, &t.needsReply} {
		*s = make([]bool, 0, n)
	}
	for _, s := range []*[]*int64{&t.observedAt, &t.editedAt, &t.authorFollowers, &t.authorCreatedAt, &t.likes, &t.replies, &t.shares, &t.views} {
		*s = make([]*int64, 0, n)
	}
	for _, s := range []*[]*float32{&t.pNegative, &t.pNeutral, &t.pPositive, &t.toxicity, &t.pNeedsReply, &t.botP} {
		*s = make([]*float32, 0, n)
	}
	for _, s := range []*[]int64{&t.createdAt, &t.ingestedAt, &t.expiresAt} {
		*s = make([]int64, 0, n)
	}
	for _, s := range []*[][]string{&t.mentionKeys, &t.redacted, &t.riskTags} {
		*s = make([][]string, 0, n)
	}
	t.textHash, t.linkHashes = make([]uint64, 0, n), make([][]uint64, 0, n)
	t.messageKey, t.riskSeverity = make([][]byte, 0, n), make([]uint8, 0, n)
	t.riskP, t.version = make([]*orderedmap.Map[string, float32], 0, n), make([]uint64, 0, n)
}

func (t *facts) add(e *event.Enriched, expiresAt int64, version uint64) {
	m := e.Message
	t.institution = append(t.institution, m.Institution)
	t.createdAt = append(t.createdAt, m.CreatedAtMs)
	t.platform = append(t.platform, m.Platform)
	t.messageID = append(t.messageID, m.MessageId)
	t.messageKey = append(t.messageKey, m.MessageKey)
	t.account = append(t.account, m.Account)
	t.authorKey = append(t.authorKey, m.AuthorKey)
	t.kind = append(t.kind, m.Kind)
	t.direction = append(t.direction, m.Direction)
	t.isAuto = append(t.isAuto, m.IsAuto || e.Enrichment.GetIsAuto())
	t.observedAt = append(t.observedAt, m.ObservedAtMs)
	t.editedAt = append(t.editedAt, m.EditedAtMs)
	t.parentID = append(t.parentID, m.ParentId)
	t.parentAuthorKey = append(t.parentAuthorKey, m.ParentAuthorKey)
	t.rootID = append(t.rootID, m.RootId)
	t.mentionKeys = append(t.mentionKeys, m.MentionKeys)
	t.parentIsAccount = append(t.parentIsAccount, known(m.ParentIsAccount))
	t.mentionsAccount = append(t.mentionsAccount, m.MentionsAccount)
	t.fromAccountStream = append(t.fromAccountStream, m.FromAccountStream)
	t.authorFollowers = append(t.authorFollowers, m.AuthorFollowers)
	t.authorCreatedAt = append(t.authorCreatedAt, m.AuthorCreatedAtMs)
	t.likes = append(t.likes, m.Likes)
	t.replies = append(t.replies, m.Replies)
	t.shares = append(t.shares, m.Shares)
	t.views = append(t.views, m.Views)
	textHash, linkHashes := m.TextHash, m.LinkHashes
	if m.DeletedAtMs != nil { // what remains of a deleted message says nothing of its content
		textHash, linkHashes = 0, nil
	}
	t.textHash = append(t.textHash, textHash)
	t.linkHashes = append(t.linkHashes, linkHashes)
	t.redacted = append(t.redacted, m.Redacted)
	t.connector = append(t.connector, m.Connector)
	t.addEnrichment(m, e.Enrichment)
	t.ingestedAt = append(t.ingestedAt, m.IngestedAtMs)
	t.expiresAt = append(t.expiresAt, expiresAt)
	t.version = append(t.version, version)
}

// addEnrichment adds what the classifier said. Where it could not answer there is no probability, which is not the same as one of 0.
func (t *facts) addEnrichment(m *event.Message, e *event.Enrichment) {
	lang, sentiment := m.Lang, schemas.SentimentUnknown
	if e != nil {
		lang, sentiment = e.Lang, e.Sentiment
	}
	var pNegative, pNeutral, pPositive, toxicity, pNeedsReply *float32
	if sentiment != schemas.SentimentUnknown {
		pNegative, pNeutral, pPositive, toxicity, pNeedsReply = &e.PNegative, &e.PNeutral, &e.PPositive, &e.Toxicity, &e.PNeedsReply
	}
	var botP *float32
	if e != nil {
		botP = e.BotP
	}
	t.lang = append(t.lang, lang)
	t.sentiment = append(t.sentiment, sentiment)
	t.pNegative = append(t.pNegative, pNegative)
	t.pNeutral = append(t.pNeutral, pNeutral)
	t.pPositive = append(t.pPositive, pPositive)
	t.riskTag = append(t.riskTag, e.GetRiskTag())
	t.riskTags = append(t.riskTags, e.GetRiskTags())
	t.riskSeverity = append(t.riskSeverity, uint8(e.GetRiskSeverity()))
	t.riskP = append(t.riskP, orderedmap.CollectN(probabilities(e), len(e.GetRiskP())))
	t.toxicity = append(t.toxicity, toxicity)
	t.contentFunction = append(t.contentFunction, e.GetContentFunction())
	t.needsReply = append(t.needsReply, e.GetNeedsReply())
	t.pNeedsReply = append(t.pNeedsReply, pNeedsReply)
	t.botP = append(t.botP, botP)
	t.modelVersion = append(t.modelVersion, e.GetModelVersion())
}

func probabilities(e *event.Enrichment) iter.Seq2[string, float32] {
	return func(yield func(string, float32) bool) {
		for _, tag := range e.GetRiskP() {
			if !yield(tag.GetTag(), tag.GetP()) {
				return
			}
		}
	}
}

func known(k event.Known) string {
	switch k {
	case event.Known_KNOWN_NO:
		return "no"
	case event.Known_KNOWN_YES:
		return "yes"
	default:
		return "unknown"
	}
}

func (t *facts) table() Table {
	return Table{"message_facts", len(t.institution), []Column{
		{"institution", t.institution}, {"created_at", t.createdAt}, {"platform", t.platform}, {"message_id", t.messageID}, {"message_key", t.messageKey},
		{"account", t.account}, {"author_key", t.authorKey}, {"kind", t.kind}, {"direction", t.direction}, {"is_auto", t.isAuto},
		{"observed_at", t.observedAt}, {"edited_at", t.editedAt}, {"parent_id", t.parentID}, {"parent_author_key", t.parentAuthorKey}, {"root_id", t.rootID},
		{"mention_keys", t.mentionKeys}, {"parent_is_account", t.parentIsAccount}, {"mentions_account", t.mentionsAccount},
		{"from_account_stream", t.fromAccountStream}, {"author_followers", t.authorFollowers}, {"author_created_at", t.authorCreatedAt},
		{"likes", t.likes}, {"replies", t.replies}, {"shares", t.shares}, {"views", t.views},
		{"text_hash", t.textHash}, {"link_hashes", t.linkHashes}, {"redacted", t.redacted}, {"connector", t.connector},
		{"lang", t.lang}, {"sentiment", t.sentiment}, {"p_negative", t.pNegative}, {"p_neutral", t.pNeutral}, {"p_positive", t.pPositive},
		{"risk_tag", t.riskTag}, {"risk_tags", t.riskTags}, {"risk_severity", t.riskSeverity}, {"risk_p", t.riskP}, {"toxicity", t.toxicity},
		{"content_function", t.contentFunction}, {"needs_reply", t.needsReply}, {"p_needs_reply", t.pNeedsReply}, {"bot_p", t.botP},
		{"model_version", t.modelVersion}, {"ingested_at", t.ingestedAt}, {"expires_at", t.expiresAt}, {"version", t.version},
	}}
}

type coverage struct {
	institution, connector, status, reason []string
	since, until                           []int64
}

func (t *coverage) add(c *event.Coverage) {
	t.institution = append(t.institution, c.Institution)
	t.connector = append(t.connector, c.Connector)
	t.status = append(t.status, c.Status)
	t.since = append(t.since, c.SinceMs)
	t.reason = append(t.reason, c.Reason)
	t.until = append(t.until, c.UntilMs)
}

func (t *coverage) table() Table {
	return Table{"coverage_ledger", len(t.institution), []Column{
		{"institution", t.institution}, {"connector", t.connector}, {"status", t.status}, {"since", t.since}, {"reason", t.reason}, {"until", t.until},
	}}
}

type counts struct {
	institution, platform, account []string
	observedAt                     []int64
	followers, following, posts    []*int64
}

func (t *counts) add(s *event.AccountSnapshot) {
	t.institution = append(t.institution, s.Institution)
	t.platform = append(t.platform, s.Platform)
	t.account = append(t.account, s.Account)
	t.observedAt = append(t.observedAt, s.ObservedAtMs)
	t.followers = append(t.followers, s.Followers)
	t.following = append(t.following, s.Following)
	t.posts = append(t.posts, s.Posts)
}

func (t *counts) table() Table {
	return Table{"account_counts", len(t.institution), []Column{
		{"institution", t.institution}, {"platform", t.platform}, {"account", t.account}, {"observed_at", t.observedAt},
		{"followers", t.followers}, {"following", t.following}, {"posts", t.posts},
	}}
}
