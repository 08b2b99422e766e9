-- Texts live apart from the facts: another role reads them, and they expire sooner. A reviewer looks for words with hasAllTokens(lower(text), ['air', 'keruh']).
CREATE TABLE IF NOT EXISTS message_bodies
(
    institution LowCardinality(String),
    created_at  DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    platform    LowCardinality(String),
    message_id  String CODEC(ZSTD(1)),
    message_key FixedString(16),
    author_mark FixedString(16) COMMENT 'the first 16 bytes of SHA-256(author_key): what conceals all texts of an author',
    text        String CODEC(ZSTD(3)),
    url         String COMMENT 'only of outbound messages' CODEC(ZSTD(3)),
    expires_at  DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    version     UInt64 CODEC(ZSTD(1)),
    INDEX words lower(text) TYPE text(tokenizer = 'splitByNonAlpha') GRANULARITY 100000000
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(created_at)
ORDER BY (institution, created_at, platform, message_id)
TTL expires_at + INTERVAL 3 DAY
SETTINGS old_parts_lifetime = 60
COMMENT 'Redacted texts, all versions; read the view message_texts instead'
