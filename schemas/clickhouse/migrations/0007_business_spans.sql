-- A cumulative working calendar for ASOF joins: seconds of work before s, per calendar and offset. LoadCalendars builds it from the calendar files and
-- exchanges a calendar's partition as a whole. After the last span stands one of no length (s = e): it says where the calendar ends.
CREATE TABLE IF NOT EXISTS business_spans
(
    calendar     LowCardinality(String),
    utc_offset_s Int32,
    s            DateTime64(3, 'UTC') COMMENT 'start of a working span',
    e            DateTime64(3, 'UTC') COMMENT 'end of it',
    cum          Int64 COMMENT 'working seconds from the calendar''s first span to s'
)
ENGINE = ReplacingMergeTree
PARTITION BY calendar
ORDER BY (calendar, utc_offset_s, s)
COMMENT 'Working spans with their cumulative seconds'
