-- How long ago a complaint still makes the next one a repeat.
INSERT INTO metric_settings (institution, name, valid_from, value, note, set_at)
SELECT '', setting.1, toDate32('1970-01-01'), setting.2, setting.3, toDateTime64('2026-01-01 00:00:00', 3, 'UTC')
FROM
(
    SELECT arrayJoin([
        ('recurrence_s', 31536000, 'M18: an author''s message repeats a tag if an earlier one with it is at most this much older (12 months)')
    ]) AS setting
)
