-- What people know of an institution and no message tells.
CREATE TABLE IF NOT EXISTS institution_events
(
    institution LowCardinality(String),
    happened_on Date32,
    kind        Enum8('crisis' = 1, 'change_made' = 2) COMMENT 'crisis: a crisis of reputation; change_made: something was changed because of what the public said',
    evidence    String COMMENT 'what it was, with a public source; no person''s name',
    recorded_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(recorded_at)
ORDER BY (institution, kind, happened_on)
COMMENT 'Crises, and changes made because of what the public said: entered by people'
