-- Replied requests, and open ones to compare with, each with the author's next message: after the reply, or after the question where there was none. A replied one is compared with
-- the open ones of the same label, first risk tag and quarter of the day; where there are none it is left out. Sums are decimals, as in metric_risk.
CREATE OR REPLACE VIEW metric_sentiment_shift AS
WITH
    (
        SELECT CAST((groupArray(name), groupArray(value)), 'Map(String, Float64)')
        FROM
        (
            SELECT name, argMax(metric_settings.value, (metric_settings.institution != '', metric_settings.valid_from, metric_settings.set_at)) AS value
            FROM metric_settings
            WHERE institution IN ('', {institution:String}) AND valid_from <= toDate32({from:DateTime64(3, 'UTC')})
            GROUP BY name
        )
    ) AS setting,
    (SELECT ifNull(anyOrNull(utc_offset_s), 0) FROM institution_settings FINAL WHERE institution = {institution:String}) AS offset_s,
    asked AS
    (
        SELECT
            platform,
            author_key,
            outcome = 'replied' AS treated,
            assumeNotNull(if(treated, answered_at, toNullable(asked_at))) AS since,
            tone,
            (sentiment, if(empty(risk_tags), '', risk_tags[1]), intDiv(toHour(asked_at + toIntervalSecond(offset_s)), 6)) AS stratum
        FROM int_requests(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
        WHERE institution = {institution:String} AND stands AND tone IS NOT NULL AND outcome IN ('replied', 'open')
    ),
    said AS
    (
        SELECT platform, author_key, created_at, argMin(tuple(tone), message_id).1 AS next_tone
        FROM int_messages
        WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')}
            AND deleted_at IS NULL AND role = 'addressed'
        GROUP BY platform, author_key, created_at
    ),
    moved AS
    (
        SELECT q.treated AS treated, q.stratum AS stratum, toDecimal128(s.next_tone - q.tone, 12) AS change
        FROM asked AS q
        ASOF INNER JOIN said AS s ON s.platform = q.platform AND s.author_key = q.author_key AND q.since < s.created_at
        WHERE s.next_tone IS NOT NULL AND dateDiff('millisecond', q.since, s.created_at) <= setting['shift_window_s'] * 1000
    ),
    strata AS
    (
        SELECT
            stratum,
            countIf(treated) AS replied,
            countIf(NOT treated) AS others,
            toFloat64(sumIf(assumeNotNull(change), treated)) AS replied_change,
            toFloat64(sumIf(assumeNotNull(change), NOT treated)) / greatest(1, others) AS other_change
        FROM moved
        GROUP BY stratum
    )
SELECT
    sumIf(replied, others > 0) AS n,
    sumIf(others, replied > 0) AS n_control,
    toFloat64(sumIf(toDecimal128(replied_change, 12), others > 0)) / nullIf(n, 0) AS shift,
    toFloat64(sumIf(toDecimal128(replied * other_change, 12), others > 0)) / nullIf(n, 0) AS control,
    shift - control AS effect,
    sumIf(replied, others = 0) AS n_unmatched
FROM strata
COMMENT 'Does an answer change the tone: of n replied requests, shift is the mean change from the question to the author''s next message after the reply (tone = p_positive - p_negative, so -2 to 2), control is the same of n_control comparable open requests whose author wrote again, and effect = shift - control; expect it to be small. Comparable: the same label, first risk tag and quarter of the local day. n_unmatched replied requests had nothing to compare with. Parameters: institution, from, to. One row; NULL when n is 0. In METRICS.md: M17.'
