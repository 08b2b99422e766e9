-- Only messages with a tag reach the window; the year before is read for who wrote then, not counted. What comes within 24 hours is the same complaint still, as in int_requests.
-- How far back anything was read is the ledger's to say: messages would say it only where somebody wrote.
CREATE OR REPLACE VIEW metric_recurrence AS
WITH
    (
        SELECT toInt64(argMax(metric_settings.value, (metric_settings.institution != '', metric_settings.valid_from, metric_settings.set_at)))
        FROM metric_settings
        WHERE name = 'recurrence_s' AND institution IN ('', {institution:String}) AND valid_from <= toDate32({from:DateTime64(3, 'UTC')})
    ) AS recurrence_s,
    (
        SELECT if(count() = 0, NULL, intDiv(least(1000 * recurrence_s, greatest(0, dateDiff('millisecond', min(since), {from:DateTime64(3, 'UTC')}))), 86400000))
        FROM coverage_ledger
        WHERE institution = {institution:String} AND status = 'complete' AND since < {to:DateTime64(3, 'UTC')}
    ) AS days_known
SELECT
    risk_tag,
    messages AS n,
    messages - again AS first,
    again AS repeated,
    again / messages AS repeat_share,
    greatest(0, middle - half) AS repeat_lo,
    least(1, middle + half) AS repeat_hi,
    writers AS authors,
    returning AS authors_repeating,
    days_known AS history_days
FROM
(
    SELECT
        tag AS risk_tag,
        count() AS messages,
        countIf(is_repeat) AS again,
        uniqExact(author_key) AS writers,
        uniqExactIf(author_key, is_repeat) AS returning,
        1.959964 AS z,
        (again + z * z / 2) / (messages + z * z) AS middle,
        z * sqrt(again * (messages - again) / messages + z * z / 4) / (messages + z * z) AS half
    FROM
    (
        SELECT
            tag,
            author_key,
            at_ms,
            author_key != '' AND max(toNullable(at_ms)) OVER (PARTITION BY author_key, tag ORDER BY at_ms RANGE BETWEEN UNBOUNDED PRECEDING AND 86400001 PRECEDING) >= at_ms - 1000 * recurrence_s AS is_repeat
        FROM
        (
            SELECT author_key, toUnixTimestamp64Milli(created_at) AS at_ms, risk_tags
            FROM int_messages
            WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} - toIntervalSecond(recurrence_s) AND created_at < {to:DateTime64(3, 'UTC')}
                AND deleted_at IS NULL AND role = 'addressed' AND notEmpty(risk_tags)
        )
        ARRAY JOIN risk_tags AS tag
    )
    WHERE at_ms >= toUnixTimestamp64Milli({from:DateTime64(3, 'UTC')})
    GROUP BY tag
)
ORDER BY n DESC, risk_tag
COMMENT 'Whether people come back with the same complaint, a row per risk tag: of n messages to the institution that carry the tag, repeated have an author who had written another with it more than 24 hours and at most 12 months (the setting recurrence_s) before; first are the others. repeat_share = repeated / n with its Wilson 95 % interval, of a number of authors, of whom authors_repeating came back. history_days: the days before the period that were read, at most those 12 months; where they are fewer, repeats are a lower bound, and NULL where nothing tells. A tag belongs to a message, never to a person, and authors are known by key on one platform only. Parameters: institution, from, to. Recurrence of RISK, M18.'
