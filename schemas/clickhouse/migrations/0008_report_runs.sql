CREATE TABLE IF NOT EXISTS report_runs
(
    report       LowCardinality(String),
    institution  LowCardinality(String),
    period_from  DateTime('UTC'),
    period_to    DateTime('UTC'),
    status       LowCardinality(String) COMMENT 'running, done or failed',
    started_at   DateTime64(3, 'UTC'),
    finished_at  Nullable(DateTime64(3, 'UTC')),
    outputs      Array(String),
    error        String,
    metric_spec  LowCardinality(String),
    trigger      LowCardinality(String) COMMENT 'schedule, catch_up or manual',
    version      UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (report, institution, period_from, period_to)
COMMENT 'Every run of every report, the latest state of each period'
