-- Thresholds and weights of the metrics as rows with dates of validity. A view takes, by name, the row with the latest valid_from that is not after the first day of the
-- period; a row of the institution wins over the default (institution '') whatever their dates are.
CREATE TABLE IF NOT EXISTS metric_settings
(
    institution LowCardinality(String) COMMENT 'empty: for every institution that has no row of its own',
    name        LowCardinality(String),
    valid_from  Date32,
    value       Float64,
    note        String COMMENT 'what it is, and where the number comes from',
    set_at      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(set_at)
ORDER BY (institution, name, valid_from)
COMMENT 'Thresholds and weights of the metrics, by institution and date of validity'
