-- Dead letters that an operator has purged: sink verify takes their records as accounted for, as long as Kafka can still hold them, and counts by reason stay.
CREATE TABLE IF NOT EXISTS purged_letters
(
    source     LowCardinality(String) COMMENT 'of the record: a topic, an archive or a connector',
    partition  Int32,
    offset     Int64,
    stage      LowCardinality(String),
    reason     LowCardinality(String),
    written_at DateTime64(3, 'UTC') COMMENT 'the letter',
    purged_at  DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(purged_at)
ORDER BY (source, partition, offset, stage)
TTL toDateTime(purged_at) + INTERVAL 90 DAY
COMMENT 'Dead letters that were purged, each with its place and reason; nothing of the record itself'
