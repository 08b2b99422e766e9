-- Buckets begin at multiples of step_s since the epoch on the institution's own clock, so that steps which divide a day begin at local midnight.
CREATE OR REPLACE VIEW series_engagement AS
WITH
    (SELECT ifNull(anyOrNull(utc_offset_s), 0) FROM institution_settings FINAL WHERE institution = {institution:String}) AS offset_s,
    (SELECT {step_s:Int64} + throwIf({step_s:Int64} <= 0, 'step_s has to be a number of seconds above 0')) AS step
SELECT
    toDateTime64(assumeNotNull(bucket_number * step - offset_s), 3, 'UTC') AS bucket,
    sum(b.inbound) AS inbound,
    sum(b.replies) AS replies,
    (toInt64(inbound) - toInt64(replies)) / nullIf(inbound + replies, 0) AS asymmetry,
    2 * sum(matched) / nullIf(inbound + replies, 0) AS reciprocity,
    sum(answered) / nullIf(sum(matured), 0) AS answered_24h,
    sum(negative) / nullIf(sum(labelled), 0) AS negative_share,
    if(inbound = 0, NULL, sum(load)) AS risk_load,
    inbound + replies AS n
FROM
(
    SELECT
        bucket_number,
        sum(own_inbound) AS inbound,
        sum(own_replies) AS replies,
        sum(least(in_u, out_u)) AS matched,
        0 AS matured,
        0 AS answered,
        0 AS labelled,
        0 AS negative,
        0. AS load,
        false AS shown
    FROM
    (
        SELECT
            intDiv(toUnixTimestamp64Milli(created_at) + offset_s * 1000, step * 1000) AS bucket_number,
            part.2 AS author,
            countIf(part.1 AND role = 'addressed') AS own_inbound,
            countIf(part.1 AND role = 'reply') AS own_replies,
            countIf(NOT part.1 AND role = 'addressed') AS in_u,
            countIf(NOT part.1 AND role = 'reply') AS out_u
        FROM int_messages(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
        ARRAY JOIN arrayPushFront(arrayMap(a -> (false, a), authors), (true, '')) AS part
        WHERE institution = {institution:String} AND deleted_at IS NULL AND role IN ('reply', 'addressed')
        GROUP BY bucket_number, author
    )
    GROUP BY bucket_number
    UNION ALL
    SELECT
        intDiv(toUnixTimestamp64Milli(created_at) + offset_s * 1000, step * 1000) AS bucket_number,
        0, 0, 0, 0, 0,
        countIf(role = 'addressed' AND sentiment IN ('negative', 'neutral', 'positive')),
        countIf(role = 'addressed' AND sentiment = 'negative'),
        sumIf(risk_weight * arraySum(tag -> toFloat64(risk_p[tag]), risk_tags), role = 'addressed'),
        true
    FROM int_messages(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
    WHERE institution = {institution:String} AND deleted_at IS NULL
    GROUP BY bucket_number
    UNION ALL
    SELECT
        intDiv(toUnixTimestamp64Milli(asked_at) + offset_s * 1000, step * 1000) AS bucket_number,
        0, 0, 0,
        countIf(observed_s >= 86400 AND NOT (outcome = 'deleted' AND wait_s <= 86400)),
        countIf(observed_s >= 86400 AND outcome = 'replied' AND wait_s <= 86400),
        0, 0, 0., false
    FROM int_requests(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
    WHERE institution = {institution:String}
    GROUP BY bucket_number
    UNION ALL
    SELECT
        arrayJoin(range(first_bucket, last_bucket + 1)) AS bucket_number,
        0, 0, 0, 0, 0, 0, 0, 0., true
    FROM
    (
        SELECT
            intDiv(toUnixTimestamp64Milli(greatest(since, {from:DateTime64(3, 'UTC')})) + offset_s * 1000, step * 1000) AS first_bucket,
            intDiv(toUnixTimestamp64Milli(least(coverage_ledger.until, {to:DateTime64(3, 'UTC')})) + offset_s * 1000 - 1, step * 1000) AS last_bucket
        FROM coverage_ledger
        WHERE institution = {institution:String} AND status = 'complete'
    )
) AS b
GROUP BY bucket_number
HAVING max(shown)
ORDER BY bucket
COMMENT 'The exchange over time: a row per step of step_s seconds, in the zone of the institution (bucket is its start in UTC), for every step that a connector covered or that has messages. inbound: messages to the institution; replies: human public replies; asymmetry and reciprocity as in metric_asymmetry; answered_24h: of the requests asked in the step and at least a day old, the share answered within a day; negative_share: of the messages the classifier answered for; risk_load: the sum of the load of metric_risk over the tags. NULL where there is nothing to divide by. Parameters: institution, from, to, step_s (86400 is a day; 0 or less is refused).'
