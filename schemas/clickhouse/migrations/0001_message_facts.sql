-- One row per message and institution; no text, no handle. The sort key is immutable, so a repeat, an edit or a better model replaces the row and
-- never stands beside it. The erasure job deletes what has expired; the TTL does where nobody runs the job. Replaced parts leave the disk after a minute, so
-- that an erasure can prove itself. version is monotonic in (time of the last change, model, content): the newest wins in whatever order rows arrive.
CREATE TABLE IF NOT EXISTS message_facts
(
    institution         LowCardinality(String),
    created_at          DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    platform            LowCardinality(String),
    message_id          String CODEC(ZSTD(1)),
    message_key         FixedString(16) COMMENT 'keyed hash of the id, what a tombstone remembers',
    account             LowCardinality(String),
    author_key          String CODEC(ZSTD(1)),
    kind                Enum8('post' = 1, 'reply' = 2, 'comment' = 3, 'mention' = 4, 'quote' = 5, 'repost' = 6),
    direction           Enum8('inbound' = 1, 'outbound' = 2),
    is_auto             Bool,
    observed_at         Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    edited_at           Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    parent_id           String CODEC(ZSTD(1)),
    parent_author_key   String COMMENT 'empty where the platform does not name it; then it is resolved by parent_id when read' CODEC(ZSTD(1)),
    root_id             String CODEC(ZSTD(1)),
    mention_keys        Array(String) CODEC(ZSTD(1)),
    parent_is_account   Enum8('unknown' = 0, 'no' = 1, 'yes' = 2),
    mentions_account    Bool,
    from_account_stream Bool,
    author_followers    Nullable(Int64) CODEC(ZSTD(1)),
    author_created_at   Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    likes               Nullable(Int64) CODEC(ZSTD(1)),
    replies             Nullable(Int64) CODEC(ZSTD(1)),
    shares              Nullable(Int64) CODEC(ZSTD(1)),
    views               Nullable(Int64) CODEC(ZSTD(1)),
    text_hash           UInt64 COMMENT 'keyed hash of the normalised text, 0 for a short one' CODEC(ZSTD(1)),
    link_hashes         Array(UInt64) COMMENT 'keyed hashes of the addresses in the text' CODEC(ZSTD(1)),
    redacted            Array(LowCardinality(String)),
    connector           LowCardinality(String),
    lang                LowCardinality(String),
    sentiment           LowCardinality(String) COMMENT 'negative, neutral, positive or unknown',
    p_negative          Nullable(Float32),
    p_neutral           Nullable(Float32),
    p_positive          Nullable(Float32),
    risk_tag            LowCardinality(String),
    risk_tags           Array(LowCardinality(String)),
    risk_severity       UInt8,
    risk_p              Map(LowCardinality(String), Float32),
    toxicity            Nullable(Float32),
    content_function    LowCardinality(String),
    needs_reply         Bool,
    p_needs_reply       Nullable(Float32),
    bot_p               Nullable(Float32),
    model_version       LowCardinality(String),
    ingested_at         DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    expires_at          DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    version             UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(created_at)
ORDER BY (institution, created_at, platform, message_id)
TTL expires_at + INTERVAL 3 DAY
SETTINGS old_parts_lifetime = 60
COMMENT 'Facts of every message, all versions; read the view messages instead'
