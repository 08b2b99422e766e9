-- What each connector is known to have read. A stretch grows by its until; a repeat changes nothing.
CREATE TABLE IF NOT EXISTS coverage_ledger
(
    institution LowCardinality(String),
    connector   LowCardinality(String),
    status      LowCardinality(String),
    since       DateTime64(3, 'UTC'),
    reason      LowCardinality(String),
    until       SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (institution, connector, status, since, reason)
COMMENT 'Stretches of time that connectors have read completely, and gaps; read the view coverage instead'
