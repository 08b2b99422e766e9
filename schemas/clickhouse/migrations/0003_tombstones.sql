-- A deletion wins over any replay: it stands in a table of its own, under the keyed hash of the message's id and nothing else of the message.
CREATE TABLE IF NOT EXISTS tombstones
(
    institution LowCardinality(String),
    platform    LowCardinality(String),
    message_key FixedString(16),
    deleted_at  SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    learned_at  SimpleAggregateFunction(min, DateTime64(3, 'UTC')) DEFAULT now64(3, 'UTC') COMMENT 'when ingest, or whoever erases by hand, first knew of it'
)
ENGINE = AggregatingMergeTree
ORDER BY (institution, platform, message_key)
COMMENT 'Deleted messages; the earliest deletion counts'
