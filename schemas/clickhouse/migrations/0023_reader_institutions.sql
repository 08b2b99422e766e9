-- Read by the row policies of deploy/clickhouse/access.sql.
CREATE TABLE IF NOT EXISTS reader_institutions
(
    reader      LowCardinality(String) COMMENT 'a user of ClickHouse',
    institution LowCardinality(String) COMMENT '* for all'
)
ENGINE = ReplacingMergeTree
ORDER BY (reader, institution)
COMMENT 'Which institutions a person may read'
