-- An episode is a run of replies in a thread without a gap of more than handling_gap_s between them. Means are of whole milliseconds, so that the order of reading does not show.
CREATE OR REPLACE VIEW metric_handling AS
WITH
    (
        SELECT argMax(metric_settings.value, (metric_settings.institution != '', metric_settings.valid_from, metric_settings.set_at))
        FROM metric_settings
        WHERE name = 'handling_gap_s' AND institution IN ('', {institution:String}) AND valid_from <= toDate32({from:DateTime64(3, 'UTC')})
    ) AS handling_gap_s,
    (SELECT count() > 0 FROM business_spans WHERE (calendar, utc_offset_s) IN (
        SELECT calendar, utc_offset_s FROM institution_settings FINAL WHERE institution = {institution:String})) AS has_calendar,
    (SELECT (any(calendar), any(utc_offset_s)) FROM institution_settings FINAL WHERE institution = {institution:String}) AS clock,
    replied AS
    (
        SELECT
            platform,
            thread,
            created_at,
            any(created_at) OVER before AS previous_at,
            count() OVER before AS earlier
        FROM int_messages
        WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')}
            AND deleted_at IS NULL AND role = 'reply'
        WINDOW before AS (PARTITION BY platform, thread ORDER BY created_at, message_id ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING)
    ),
    episodes AS
    (
        SELECT
            platform,
            thread,
            episode,
            count() AS said,
            min(created_at) AS first_at,
            max(created_at) AS last_at,
            clock.1 AS calendar,
            clock.2 AS utc_offset_s
        FROM
        (
            SELECT
                *,
                sum(earlier = 0 OR dateDiff('millisecond', previous_at, created_at) > 1000 * handling_gap_s) OVER (
                    PARTITION BY platform, thread ORDER BY created_at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS episode
            FROM replied
        )
        GROUP BY platform, thread, episode
    )
SELECT
    countIf(said > 1) AS n,
    countIf(said = 1) AS single,
    avgOrNullIf(took_ms, said > 1) / 1000 AS handling_mean_s,
    quantileExactInclusiveOrNullIf(0.5)(took_s, said > 1) AS handling_p50_s,
    quantileExactInclusiveOrNullIf(0.9)(took_s, said > 1) AS handling_p90_s,
    if(has_calendar, toNullable(countIf(said > 1 AND took_business_s IS NOT NULL)), NULL) AS b_n,
    avgOrNullIf(toInt64(round(took_business_s * 1000)), said > 1) / 1000 AS b_handling_mean_s,
    quantileExactInclusiveOrNullIf(0.5)(took_business_s, said > 1) AS b_handling_p50_s,
    quantileExactInclusiveOrNullIf(0.9)(took_business_s, said > 1) AS b_handling_p90_s
FROM
(
    SELECT
        q.said AS said,
        dateDiff('millisecond', q.first_at, q.last_at) AS took_ms,
        took_ms / 1000 AS took_s,
        if(ifNull(s0.calendar, '') = '' OR ifNull(s1.calendar, '') = '' OR s1.s = s1.e, NULL,
            (dateDiff('millisecond', s1.s, least(q.last_at, s1.e)) - dateDiff('millisecond', s0.s, least(q.first_at, s0.e))) / 1000
                + (s1.cum - s0.cum)) AS took_business_s
    FROM episodes AS q
    ASOF LEFT JOIN business_spans AS s0
        ON s0.calendar = q.calendar AND s0.utc_offset_s = q.utc_offset_s AND q.first_at >= s0.s
    ASOF LEFT JOIN business_spans AS s1
        ON s1.calendar = q.calendar AND s1.utc_offset_s = q.utc_offset_s AND q.last_at >= s1.s
)
COMMENT 'How long the institution is busy with a thread in public: from its first to its last human reply of the period; a gap of more than 72 hours splits a thread. Over the n stretches of at least two replies; single counts those with one, which have no length. handling_mean_s, _p50_s, _p90_s: seconds; b_*: the same in working hours, NULL without a calendar. What happens in private channels is not seen. Parameters: institution, from, to. One row. In METRICS.md: M8.'
