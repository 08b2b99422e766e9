-- What stood in the views as numbers until now.
INSERT INTO metric_settings (institution, name, valid_from, value, note, set_at)
SELECT '', setting.1, toDate32('1970-01-01'), setting.2, setting.3, toDateTime64('2026-01-01 00:00:00', 3, 'UTC')
FROM
(
    SELECT arrayJoin([
        ('follow_up_s', 2592000, 'M7: a request follows a reply in its thread that is at most this much older'),
        ('handling_gap_s', 259200, 'M8: a gap between replies above this splits a thread'),
        ('sentiment_least', 50, 'M16: no net and no corrected shares with fewer labelled messages')
    ]) AS setting
)
