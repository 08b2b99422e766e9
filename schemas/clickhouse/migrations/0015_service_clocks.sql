-- Within what time which requests have to be answered, with dates of validity as in metric_settings.
CREATE TABLE IF NOT EXISTS service_clocks
(
    institution LowCardinality(String) COMMENT 'empty: for every institution that has no row of its own for the clock',
    clock       LowCardinality(String),
    valid_from  Date32,
    days        UInt16 COMMENT '0 stops the clock from being used',
    unit        Enum8('days' = 1, 'working_days' = 2),
    tags        Array(String) COMMENT 'the risk tags of the requests it is for, none for those without a tag; empty for every request',
    source      String,
    set_at      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(set_at)
ORDER BY (institution, clock, valid_from)
COMMENT 'Service clocks: the time that rules allow for an answer'
