-- The weights of severities and the least number of messages of a share, which stood in the views until now.
INSERT INTO metric_settings (institution, name, valid_from, value, note, set_at)
SELECT '', setting.1, toDate32('1970-01-01'), setting.2, setting.3, toDateTime64('2026-01-01 00:00:00', 3, 'UTC')
FROM
(
    SELECT arrayJoin([
        ('risk_weight_0', 0, 'M18: what a message of severity 0 weighs in the load'),
        ('risk_weight_1', 1, 'M18: the same of severity 1'),
        ('risk_weight_2', 2, 'M18: the same of severity 2'),
        ('risk_weight_3', 4, 'M18: the same of severity 3'),
        ('risk_weight_4', 8, 'M18: the same of severity 4'),
        ('risk_weight_5', 16, 'M18: the same of severity 5'),
        ('risk_least', 50, 'M18: no share of a tag with fewer messages to the institution')
    ]) AS setting
)
