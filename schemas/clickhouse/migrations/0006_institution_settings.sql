-- What views need of institutions.yaml. Zones have no daylight saving, so one offset buckets local days.
CREATE TABLE IF NOT EXISTS institution_settings
(
    institution  LowCardinality(String),
    name         String,
    zone         LowCardinality(String),
    utc_offset_s Int32,
    calendar     LowCardinality(String) COMMENT 'empty for none: business times are NULL then',
    loaded_at    DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(loaded_at)
ORDER BY institution
COMMENT 'Name, zone and calendar of each institution, from institutions.yaml'
