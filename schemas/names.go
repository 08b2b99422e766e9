package schemas

import "slices"

// Topics. A change that old readers cannot take gets a new version, never a new meaning.
const (
	TopicRaw      = "mentions.raw.v1"
	TopicEnriched = "mentions.enriched.v1"
	TopicDead     = "mentions.dlq.v1"
	TopicLedger   = "mentions.ledger.v1"
)

// MetricSpec is the version of the metric definitions that views, reports and panels follow; every report names it.
const MetricSpec = "1"

// Platforms that a message can come from.
const (
	PlatformX         = "x"
	PlatformBluesky   = "bluesky"
	PlatformMastodon  = "mastodon"
	PlatformYouTube   = "youtube"
	PlatformFacebook  = "facebook"
	PlatformInstagram = "instagram"
	PlatformThreads   = "threads"
	PlatformTelegram  = "telegram"
	PlatformTikTok    = "tiktok"
	PlatformReddit    = "reddit"
	PlatformWeb       = "web"
)

// Platforms returns the closed set of platforms, in a fixed order.
func Platforms() []string {
	return []string{
		PlatformX, PlatformBluesky, PlatformMastodon, PlatformYouTube, PlatformFacebook, PlatformInstagram,
		PlatformThreads, PlatformTelegram, PlatformTikTok, PlatformReddit, PlatformWeb,
	}
}

// KnownPlatform tells whether p is one of Platforms.
func KnownPlatform(p string) bool { return slices.Contains(Platforms(), p) }

// Kinds of message.
const (
	KindPost    = "post"
	KindReply   = "reply"
	KindComment = "comment"
	KindMention = "mention"
	KindQuote   = "quote"
	KindRepost  = "repost"
)

// Kinds returns the closed set of kinds, in a fixed order.
func Kinds() []string {
	return []string{KindPost, KindReply, KindComment, KindMention, KindQuote, KindRepost}
}

// Directions, seen from the institution.
const (
	Inbound  = "inbound"
	Outbound = "outbound"
)

// Sentiments. Unknown marks a message whose text the classifier could not answer for; it is counted, never guessed.
const (
	Negative         = "negative"
	Neutral          = "neutral"
	Positive         = "positive"
	SentimentUnknown = "unknown"
)

// Stages that dead-letter and drop.
const (
	StageIngest = "ingest"
	StageEnrich = "enrich"
	StageSink   = "sink"
)

// DeadReason says why a message went to the dead-letter topic. The set is closed: a counter exists for each from the start.
type DeadReason string

const (
	// DeadMalformed: the bytes are not of the form at all (JSON, CSV, protobuf).
	DeadMalformed DeadReason = "malformed"
	// DeadUnknownSchema: the record's schema number is not one that this build reads.
	DeadUnknownSchema DeadReason = "unknown_schema"
	// DeadInvalidUTF8: the bytes are not UTF-8.
	DeadInvalidUTF8 DeadReason = "invalid_utf8"
	// DeadMissingField: a required field is absent or empty.
	DeadMissingField DeadReason = "missing_field"
	// DeadInvalidField: a field has the wrong type or a value out of its range, dates included.
	DeadInvalidField DeadReason = "invalid_field"
	// DeadUnknownPlatform: the platform is not one of Platforms.
	DeadUnknownPlatform DeadReason = "unknown_platform"
	// DeadTooLarge: the message is over a size limit.
	DeadTooLarge DeadReason = "too_large"
	// DeadRefused: the store refused this very row.
	DeadRefused DeadReason = "refused_by_store"
)

// DeadReasons returns the closed set, in a fixed order.
func DeadReasons() []DeadReason {
	return []DeadReason{
		DeadMalformed, DeadUnknownSchema, DeadInvalidUTF8, DeadMissingField, DeadInvalidField, DeadUnknownPlatform, DeadTooLarge, DeadRefused,
	}
}

// DropReason says why a message that is in order was left out on purpose. The set is closed.
type DropReason string

const (
	// DropNoInstitution: the message concerns no institution of the institutions file.
	DropNoInstitution DropReason = "no_institution"
	// DropNotPublic: the author did not make the message public.
	DropNotPublic DropReason = "not_public"
)

// DropReasons returns the closed set, in a fixed order.
func DropReasons() []DropReason { return []DropReason{DropNoInstitution, DropNotPublic} }

// Coverage statuses and the reasons of a gap.
const (
	CoverageComplete = "complete"
	CoverageGap      = "gap"

	GapOutage = "outage"
	GapLimit  = "limit"
	GapClamp  = "clamp"
	GapBudget = "budget"
	GapAuth   = "auth"
)

// What a Visibility says of a message or an author, and why something is hidden.
const (
	VisibilityHidden  = "hidden"
	VisibilityShown   = "shown"
	VisibilityDeleted = "deleted"

	HiddenSuspended = "suspended"
	HiddenProtected = "protected"
	HiddenWithheld  = "withheld"
)
