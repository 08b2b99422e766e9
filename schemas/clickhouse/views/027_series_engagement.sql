-- Buckets begin at multiples of step_s since the epoch on the institution's own clock, so that steps which divide a day begin at local midnight.
-- Four sources give their part of a bucket, and the rest of its columns as 0: the exchange by author, the messages, the requests, and the coverage.
-- The load is a decimal until it is summed, as in metric_risk.
CREATE OR REPLACE VIEW series_engagement AS
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
    arrayMap(severity -> setting[concat('risk_weight_', toString(severity))], range(6)) AS severity_weights,
    (
        SELECT count() > 0
        FROM institution_events
        WHERE institution = {institution:String} AND kind = 'crisis'
            AND dateDiff('day', happened_on, toDate32({to:DateTime64(3, 'UTC')})) BETWEEN 0 AND setting['crisis_days']
    ) AS has_crisis,
    (SELECT ifNull(anyOrNull(utc_offset_s), 0) FROM institution_settings FINAL WHERE institution = {institution:String}) AS offset_s,
    (SELECT {step_s:Int64} + throwIf({step_s:Int64} <= 0, 'step_s has to be a number of seconds above 0')) AS step
SELECT
    toDateTime64(assumeNotNull(bucket_number * step - offset_s), 3, 'UTC') AS bucket,
    all_inbound AS inbound,
    all_replies AS replies,
    (toInt64(all_inbound) - toInt64(all_replies)) / nullIf(all_inbound + all_replies, 0) AS asymmetry,
    2 * all_matched / nullIf(all_inbound + all_replies, 0) AS reciprocity,
    all_answered / nullIf(all_matured, 0) AS answered_24h,
    all_negative / nullIf(all_labelled, 0) AS negative_share,
    if(all_inbound = 0, NULL, toFloat64(all_load) * if(has_crisis, setting['crisis_factor'], 1)) AS risk_load,
    all_inbound + all_replies AS n
FROM
(
    SELECT
        bucket_number,
        max(shown) AS is_shown,
        sum(own_inbound) AS all_inbound,
        sum(own_replies) AS all_replies,
        sum(matched) AS all_matched,
        sum(matured) AS all_matured,
        sum(answered) AS all_answered,
        sum(labelled) AS all_labelled,
        sum(negative) AS all_negative,
        sum(load) AS all_load
    FROM
    (
        SELECT
            bucket_number, false AS shown, sum(inbound_here) AS own_inbound, sum(replies_here) AS own_replies, sum(least(in_u, out_u)) AS matched,
            0 AS matured, 0 AS answered, 0 AS labelled, 0 AS negative, toDecimal128(0, 12) AS load
        FROM
        (
            SELECT
                intDiv(toUnixTimestamp64Milli(created_at) + offset_s * 1000, step * 1000) AS bucket_number,
                part.2 AS author,
                countIf(part.1 AND role = 'addressed') AS inbound_here,
                countIf(part.1 AND role = 'reply') AS replies_here,
                countIf(NOT part.1 AND role = 'addressed') AS in_u,
                countIf(NOT part.1 AND role = 'reply') AS out_u
            FROM int_messages
            ARRAY JOIN arrayPushFront(arrayMap(a -> (false, a), authors), (true, '')) AS part
            WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')}
                AND deleted_at IS NULL AND role IN ('reply', 'addressed')
            GROUP BY bucket_number, author
        )
        GROUP BY bucket_number
        UNION ALL
        SELECT
            intDiv(toUnixTimestamp64Milli(created_at) + offset_s * 1000, step * 1000) AS bucket_number, true AS shown, 0 AS own_inbound, 0 AS own_replies, 0 AS matched,
            0 AS matured, 0 AS answered,
            countIf(role = 'addressed' AND sentiment IN ('negative', 'neutral', 'positive')) AS labelled,
            countIf(role = 'addressed' AND sentiment = 'negative') AS negative,
            sumIf(toDecimal128(severity_weights[least(risk_severity, 5) + 1] * risk_reach * arraySum(tag -> toFloat64(risk_p[tag]), risk_tags), 12), role = 'addressed') AS load
        FROM int_messages
        WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')}
            AND deleted_at IS NULL
        GROUP BY bucket_number
        UNION ALL
        SELECT
            intDiv(toUnixTimestamp64Milli(asked_at) + offset_s * 1000, step * 1000) AS bucket_number, false AS shown, 0 AS own_inbound, 0 AS own_replies, 0 AS matched,
            countIf(observed_s >= 86400 AND NOT (outcome = 'deleted' AND wait_s <= 86400)) AS matured,
            countIf(observed_s >= 86400 AND outcome = 'replied' AND wait_s <= 86400) AS answered,
            0 AS labelled, 0 AS negative, toDecimal128(0, 12) AS load
        FROM int_requests(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
        WHERE institution = {institution:String}
        GROUP BY bucket_number
        UNION ALL
        SELECT
            arrayJoin(range(first_bucket, last_bucket + 1)) AS bucket_number, true AS shown, 0 AS own_inbound, 0 AS own_replies, 0 AS matched,
            0 AS matured, 0 AS answered, 0 AS labelled, 0 AS negative, toDecimal128(0, 12) AS load
        FROM
        (
            SELECT
                intDiv(toUnixTimestamp64Milli(greatest(since, {from:DateTime64(3, 'UTC')})) + offset_s * 1000, step * 1000) AS first_bucket,
                intDiv(toUnixTimestamp64Milli(least(coverage_ledger.until, {to:DateTime64(3, 'UTC')})) + offset_s * 1000 - 1, step * 1000) AS last_bucket
            FROM coverage_ledger
            WHERE institution = {institution:String} AND status = 'complete' AND {from:DateTime64(3, 'UTC')} < {to:DateTime64(3, 'UTC')}
        )
    )
    GROUP BY bucket_number
    HAVING is_shown
)
ORDER BY bucket
COMMENT 'The exchange over time: a row per step of step_s seconds, in the zone of the institution (bucket is its start in UTC), for every step that a connector covered or that has messages. inbound: messages to the institution; replies: human public replies; asymmetry and reciprocity as in metric_asymmetry; answered_24h: of the requests asked in the step and at least a day old, the share answered within a day; negative_share: of the messages the classifier answered for; risk_load: the sum of the load of metric_risk over the tags. NULL where there is nothing to divide by. Parameters: institution, from, to, step_s (86400 is a day; 0 or less is refused).'
