-- How long an event on record counts, which stood in the views until now.
INSERT INTO metric_settings (institution, name, valid_from, value, note, set_at)
SELECT '', setting.1, toDate32('1970-01-01'), setting.2, setting.3, toDateTime64('2026-01-01 00:00:00', 3, 'UTC')
FROM
(
    SELECT arrayJoin([
        ('crisis_days', 365, 'M18: a crisis counts up to this many days after its own (12 months)'),
        ('evidence_days', 365, 'M26: a change made is evidence up to this many days after its own (12 months)')
    ]) AS setting
)
