-- How far back the metrics look that compare a period with what was usual, which stood in the views until now.
INSERT INTO metric_settings (institution, name, valid_from, value, note, set_at)
SELECT '', setting.1, toDate32('1970-01-01'), setting.2, setting.3, toDateTime64('2026-01-01 00:00:00', 3, 'UTC')
FROM
(
    SELECT arrayJoin([
        ('anomaly_weeks', 6, 'M19, anscombe: compared with the same hour of the week of this many weeks before'),
        ('anomaly_beside_h', 1, 'M19, anscombe: and with this many hours on each side of it'),
        ('anomaly_anscombe_days', 28, 'M19: with this much history by Anscombe''s transform'),
        ('anomaly_poisson_days', 7, 'M19: with this much history as Poisson, compared with the same hour of this many days before; with less not at all'),
        ('growth_days', 28, 'M21: growth, posts, mentions and impressions are compared with those of this many days before'),
        ('growth_least_days', 14, 'M21: no z with fewer of these days known'),
        ('quality_expected_days', 30, 'M25: a connector is expected to go on for this long after it was last heard of'),
        ('quality_drift_days', 90, 'M25: labels are compared with those of this many days before')
    ]) AS setting
)
