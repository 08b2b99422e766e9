package rows

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dwiarah/dwiarah/schemas"
	"github.com/dwiarah/dwiarah/schemas/event"
	"github.com/dwiarah/dwiarah/schemas/identitykey"
)

// latest bounds every time of a row: expires_at is a DateTime, which ends in 2106, and the longest retention is ten years.
var latest = time.Date(2096, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

var earliest = schemas.EarliestCreated.UnixMilli()

// authorKeyDigits is the length of an author key. Whatever has another form is no author key, and might be a handle: it is not stored.
const authorKeyDigits = 2 * identitykey.HashBytes

// CheckEnriched tells whether rows can be made of e. The error is a *schemas.FieldError; it names the field and shows no value of it that could
// name a person. The stages before have checked most of it: this is what keeps one bad record from making the store refuse a whole batch.
func CheckEnriched(e *event.Enriched) error {
	m := e.GetMessage()
	switch {
	case m == nil:
		return missing("message")
	case m.Institution == "":
		return missing("institution")
	case m.Platform == "":
		return missing("platform")
	case !schemas.KnownPlatform(m.Platform):
		return unknownPlatform(m.Platform)
	case len(m.MessageKey) != identitykey.HashBytes:
		return invalid("message_key", fmt.Sprintf("%d bytes", len(m.MessageKey)), fmt.Sprintf("%d bytes", identitykey.HashBytes))
	}
	if err := checkTime("deleted_at", m.DeletedAtMs, earliest); err != nil {
		return err
	}
	if tombstoneOnly(e) {
		return nil
	}
	if e.Enrichment == nil && m.DeletedAtMs == nil {
		return missing("enrichment")
	}
	if err := checkMessage(m); err != nil {
		return err
	}
	if e.Enrichment == nil {
		return nil
	}
	return checkEnrichment(e.Enrichment)
}

// tombstoneOnly tells a deletion that says nothing of the message but that it is gone.
func tombstoneOnly(e *event.Enriched) bool {
	return e.Message.DeletedAtMs != nil && e.Message.Text == "" && e.Enrichment == nil
}

func checkMessage(m *event.Message) error {
	switch {
	case m.MessageId == "":
		return missing("message_id")
	case m.Kind == "":
		return missing("kind")
	case !slices.Contains(schemas.Kinds(), m.Kind):
		return invalid("kind", m.Kind, "one of "+strings.Join(schemas.Kinds(), ", "))
	case m.Direction != schemas.Inbound && m.Direction != schemas.Outbound:
		return invalid("direction", m.Direction, "inbound or outbound")
	case m.CreatedAtMs == 0:
		return missing("created_at")
	case m.IngestedAtMs == 0:
		return missing("ingested_at")
	case m.AuthorKey == "":
		return missing("author_key")
	case !authorKey(m.AuthorKey):
		return invalid("author_key", "", fmt.Sprintf("%d lower-case hex digits", authorKeyDigits))
	case m.ParentAuthorKey != "" && !authorKey(m.ParentAuthorKey):
		return invalid("parent_author_key", "", fmt.Sprintf("%d lower-case hex digits, or empty", authorKeyDigits))
	case event.Known_name[int32(m.ParentIsAccount)] == "":
		return invalid("parent_is_account", fmt.Sprint(int32(m.ParentIsAccount)), "0 unknown, 1 no, 2 yes")
	}
	for _, key := range m.MentionKeys {
		if !authorKey(key) {
			return invalid("mention_keys", "", fmt.Sprintf("%d lower-case hex digits each", authorKeyDigits))
		}
	}
	for _, t := range []struct {
		key string
		at  *int64
		min int64
	}{
		{"created_at", &m.CreatedAtMs, earliest}, {"observed_at", m.ObservedAtMs, earliest}, {"edited_at", m.EditedAtMs, earliest},
		{"ingested_at", &m.IngestedAtMs, earliest}, {"author_created_at", m.AuthorCreatedAtMs, earliest},
	} {
		if err := checkTime(t.key, t.at, t.min); err != nil {
			return err
		}
	}
	for _, c := range []struct {
		key   string
		count *int64
	}{{"author_followers", m.AuthorFollowers}, {"likes", m.Likes}, {"replies", m.Replies}, {"shares", m.Shares}, {"views", m.Views}} {
		if err := checkCount(c.key, c.count); err != nil {
			return err
		}
	}
	for _, s := range []struct{ key, value string }{
		{"message_id", m.MessageId}, {"parent_id", m.ParentId}, {"root_id", m.RootId}, {"account", m.Account}, {"text", m.Text}, {"url", m.Url},
	} {
		if !utf8.ValidString(s.value) {
			return &schemas.FieldError{Reason: schemas.DeadInvalidUTF8, Key: s.key, Allowed: "UTF-8"}
		}
	}
	return nil
}

func checkEnrichment(e *event.Enrichment) error {
	switch {
	case !slices.Contains([]string{schemas.Negative, schemas.Neutral, schemas.Positive, schemas.SentimentUnknown}, e.Sentiment):
		return invalid("sentiment", e.Sentiment, "negative, neutral, positive or unknown")
	case e.RiskSeverity > 5:
		return invalid("risk_severity", fmt.Sprint(e.RiskSeverity), "0 to 5")
	case e.ModelSeq > MaxModelSeq:
		return invalid("model_seq", fmt.Sprint(e.ModelSeq), fmt.Sprintf("0 to %d", MaxModelSeq))
	}
	probabilities := []struct {
		key string
		p   float32
	}{
		{"p_negative", e.PNegative}, {"p_neutral", e.PNeutral}, {"p_positive", e.PPositive}, {"toxicity", e.Toxicity}, {"p_needs_reply", e.PNeedsReply},
		{"bot_p", e.GetBotP()},
	}
	for _, p := range probabilities {
		if err := checkProbability(p.key, p.p); err != nil {
			return err
		}
	}
	for _, tag := range e.RiskP {
		if err := checkProbability("risk_p", tag.GetP()); err != nil {
			return err
		}
	}
	return nil
}

// CheckLedger tells whether a row can be made of l. The error is a *schemas.FieldError.
func CheckLedger(l *event.LedgerEntry) error {
	switch entry := l.GetEntry().(type) {
	case *event.LedgerEntry_Coverage:
		return checkCoverage(entry.Coverage)
	case *event.LedgerEntry_Snapshot:
		return checkSnapshot(entry.Snapshot)
	case *event.LedgerEntry_Visibility:
		return checkVisibility(entry.Visibility)
	default:
		return missing("entry")
	}
}

func checkCoverage(c *event.Coverage) error {
	switch {
	case c.GetInstitution() == "":
		return missing("institution")
	case c.Connector == "":
		return missing("connector")
	case c.Status != schemas.CoverageComplete && c.Status != schemas.CoverageGap:
		return invalid("status", c.Status, schemas.CoverageComplete+" or "+schemas.CoverageGap)
	case c.UntilMs < c.SinceMs:
		return invalid("until", stamp(c.UntilMs), "not before since, which is "+stamp(c.SinceMs))
	}
	// A connector may know that it has read everything there ever was.
	for _, t := range []struct {
		key string
		at  int64
	}{{"since", c.SinceMs}, {"until", c.UntilMs}} {
		if err := checkTime(t.key, &t.at, 0); err != nil {
			return err
		}
	}
	return nil
}

func checkSnapshot(s *event.AccountSnapshot) error {
	switch {
	case s.GetInstitution() == "":
		return missing("institution")
	case !schemas.KnownPlatform(s.Platform):
		return unknownPlatform(s.Platform)
	case s.Account == "":
		return missing("account")
	}
	if err := checkTime("observed_at", &s.ObservedAtMs, earliest); err != nil {
		return err
	}
	for _, c := range []struct {
		key   string
		count *int64
	}{{"followers", s.Followers}, {"following", s.Following}, {"posts", s.Posts}} {
		if err := checkCount(c.key, c.count); err != nil {
			return err
		}
	}
	return nil
}

func checkVisibility(v *event.Visibility) error {
	switch {
	case v.GetInstitution() == "":
		return missing("institution")
	case !schemas.KnownPlatform(v.Platform):
		return unknownPlatform(v.Platform)
	case (len(v.MessageKey) == 0) == (v.AuthorKey == ""):
		return invalid("message_key", "", "exactly one of message_key and author_key")
	case v.AuthorKey == "" && len(v.MessageKey) != identitykey.HashBytes:
		return invalid("message_key", fmt.Sprintf("%d bytes", len(v.MessageKey)), fmt.Sprintf("%d bytes", identitykey.HashBytes))
	case v.AuthorKey != "" && !authorKey(v.AuthorKey):
		return invalid("author_key", "", fmt.Sprintf("%d lower-case hex digits", authorKeyDigits))
	case v.State == schemas.VisibilityDeleted && v.AuthorKey == "":
		return invalid("state", v.State, "hidden or shown; a message's deletion is a message with deleted_at")
	case !slices.Contains([]string{schemas.VisibilityHidden, schemas.VisibilityShown, schemas.VisibilityDeleted}, v.State):
		return invalid("state", v.State, "hidden, shown or deleted")
	case v.State == schemas.VisibilityHidden && !slices.Contains([]string{schemas.HiddenSuspended, schemas.HiddenProtected, schemas.HiddenWithheld}, v.Reason):
		return invalid("reason", v.Reason, "suspended, protected or withheld")
	case v.State != schemas.VisibilityHidden && v.Reason != "":
		return invalid("reason", v.Reason, "empty, because the state is "+v.State)
	}
	return checkTime("at", &v.AtMs, earliest)
}

func missing(key string) error {
	return &schemas.FieldError{Reason: schemas.DeadMissingField, Key: key, Allowed: "required"}
}

func invalid(key, value, allowed string) error {
	return &schemas.FieldError{Reason: schemas.DeadInvalidField, Key: key, Value: shortened(value), Allowed: allowed}
}

func unknownPlatform(platform string) error {
	return &schemas.FieldError{Reason: schemas.DeadUnknownPlatform, Key: "platform", Value: shortened(platform), Allowed: "one of " + strings.Join(schemas.Platforms(), ", ")}
}

// shortened keeps a field of a megabyte from becoming an error of a megabyte.
func shortened(value string) string {
	const most = 64
	if len(value) <= most {
		return value
	}
	return strings.ToValidUTF8(value[:most], "") + "…"
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano) }

func checkTime(key string, at *int64, from int64) error {
	if at != nil && (*at < from || *at >= latest) {
		return invalid(key, stamp(*at), "from "+stamp(from)+" to before "+stamp(latest))
	}
	return nil
}

func checkCount(key string, count *int64) error {
	if count != nil && *count < 0 {
		return invalid(key, fmt.Sprint(*count), "a count of at least 0, or absent")
	}
	return nil
}

func checkProbability(key string, p float32) error {
	if p >= 0 && p <= 1 {
		return nil
	}
	return invalid(key, fmt.Sprint(p), "0 to 1") // NaN comes here as well
}

func authorKey(s string) bool {
	if len(s) != authorKeyDigits {
		return false
	}
	for n := range len(s) {
		if c := s[n]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
