CREATE TABLE IF NOT EXISTS account_counts
(
    institution LowCardinality(String),
    platform    LowCardinality(String),
    account     LowCardinality(String),
    observed_at DateTime64(3, 'UTC'),
    followers   Nullable(Int64),
    following   Nullable(Int64),
    posts       Nullable(Int64)
)
ENGINE = ReplacingMergeTree
ORDER BY (institution, platform, account, observed_at)
COMMENT 'Sizes of the official accounts as observed; read the view account_snapshots instead'
