-- What stays of a month when the facts behind it expire: figures over at least five people, once and for ever.
CREATE TABLE IF NOT EXISTS kept_months
(
    institution      LowCardinality(String),
    month            Date COMMENT 'its first day, UTC',
    broadcasts       UInt64,
    replies          UInt64,
    auto_replies     UInt64,
    inbound          UInt64,
    authors          UInt64,
    authors_answered UInt64,
    requests         UInt64,
    answered         UInt64,
    deleted          UInt64,
    open             UInt64,
    rmst_7d_s        Nullable(Float64),
    kept_at          DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (institution, month)
COMMENT 'Monthly figures of institutions whose facts have expired, where at least five people wrote; no personal data'
