-- Each figure twice: as it is, and with every message to the institution counting as much as its author looks human. Replies keep their full weight: the institution wrote them.
-- What was said is a row per author, what was asked a row per request; each finds its author's weight once. The requests by their waits are two weighted
-- life tables in one map: counts, and sums of weights. The mean is the integral of Kaplan-Meier's curve, as in metric_wait; decimals, as in metric_risk.
CREATE OR REPLACE VIEW metric_weighted AS
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
    parts AS
    (
        SELECT
            part.2 AS author,
            countIf(part.1 AND role = 'addressed') AS own_inbound,
            countIf(part.1 AND role = 'reply') AS own_replies,
            countIf(NOT part.1 AND role = 'addressed') AS in_u,
            countIf(NOT part.1 AND role = 'reply') AS out_u,
            countIf(NOT part.1 AND role = 'addressed' AND sentiment IN ('negative', 'neutral', 'positive')) AS labelled,
            countIf(NOT part.1 AND role = 'addressed' AND sentiment = 'negative') AS negative,
            countIf(NOT part.1 AND role = 'addressed' AND sentiment = 'positive') AS positive,
            toFloat64(sumIf(toDecimal128(severity_weights[least(risk_severity, 5) + 1] * risk_reach * arraySum(tag -> toFloat64(risk_p[tag]), risk_tags), 12), NOT part.1 AND role = 'addressed')) AS load,
            0 AS asked,
            0 AS answered,
            0 AS matured,
            0 AS in_time,
            toInt64(0) AS wait_ms
        FROM int_messages
        ARRAY JOIN arrayPushFront(arrayMap(a -> (false, a), authors), (true, '')) AS part
        WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')}
            AND deleted_at IS NULL AND role IN ('reply', 'addressed')
        GROUP BY author
        UNION ALL
        SELECT
            author_key AS author, 0 AS own_inbound, 0 AS own_replies, 0 AS in_u, 0 AS out_u, 0 AS labelled, 0 AS negative, 0 AS positive, 0. AS load,
            1 AS asked,
            outcome = 'replied' AS answered,
            observed_s >= 86400 AND NOT (outcome = 'deleted' AND wait_s <= 86400) AS matured,
            outcome = 'replied' AND wait_s <= 86400 AS in_time,
            toInt64(round(wait_s * 1000)) AS wait_ms
        FROM int_requests(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
        WHERE institution = {institution:String}
    ),
    totals AS
    (
        SELECT
            sum(own_inbound) AS inbound,
            sum(own_replies) AS replies,
            sum(least(in_u, out_u)) AS matched,
            countIf(in_u > 0) AS authors,
            countIf(in_u > 0 AND out_u > 0) AS authors_answered,
            sum(labelled) AS labels,
            sum(negative) AS negatives,
            sum(positive) AS positives,
            toFloat64(sum(toDecimal128(load, 12))) AS loads,
            countIf(matured) AS due,
            countIf(matured AND in_time) AS kept,
            toFloat64(sum(toDecimal128(in_u * weight, 12))) AS w_inbound,
            toFloat64(sum(toDecimal128(least(in_u * weight, toFloat64(out_u)), 12))) AS w_matched,
            toFloat64(sum(toDecimal128(if(in_u > 0, weight, 0), 12))) AS w_authors,
            toFloat64(sum(toDecimal128(if(in_u > 0 AND out_u > 0, weight, 0), 12))) AS w_authors_answered,
            toFloat64(sum(toDecimal128(labelled * weight, 12))) AS w_labels,
            toFloat64(sum(toDecimal128(negative * weight, 12))) AS w_negatives,
            toFloat64(sum(toDecimal128(positive * weight, 12))) AS w_positives,
            toFloat64(sum(toDecimal128(load * weight, 12))) AS w_loads,
            toFloat64(sum(toDecimal128(if(matured, weight, 0), 12))) AS w_due,
            toFloat64(sum(toDecimal128(if(matured AND in_time, weight, 0), 12))) AS w_kept,
            sum(asked) AS requests,
            sumMapIf([wait_ms], [toDecimal128(1, 12)], [toDecimal128(answered, 12)], [toDecimal128(weight, 12)], [toDecimal128(answered * weight, 12)], asked = 1) AS waits
        FROM
        (
            SELECT m.*, if(ifNull(b.author_key, '') = '', 1, 1 - assumeNotNull(b.bot)) AS weight
            FROM parts AS m
            LEFT JOIN int_bots(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')}) AS b ON b.author_key = m.author
        )
    ),
    figures AS
    (
        SELECT
            *,
            -- At risk at a wait are all with a wait of that length or more, so the sums run from the end. Of counts, then of weights.
            arrayMap((ended, replied) -> if(arraySum(ended) = 0, NULL, arrayMap(
                (risk, times, d) -> least(times[1], 604800.) + arraySum((s, t, next) -> exp(s) * (least(next, 604800.) - least(t, 604800.)),
                    arrayCumSum((x, r) -> if(x = 0, 0, log1p(-least(1, x / r))), d, risk), times, arrayPushBack(arrayPopFront(times), 604800.)),
                [arrayReverse(arrayCumSum(arrayReverse(ended)))], [arrayMap(t -> t / 1000, waits.1)], [replied])[1]),
                [arrayMap(x -> toFloat64(x), waits.2), arrayMap(x -> toFloat64(x), waits.4)], [arrayMap(x -> toFloat64(x), waits.3), arrayMap(x -> toFloat64(x), waits.5)]) AS means
        FROM totals
    )
SELECT
    figure.1 AS metric,
    figure.2 AS raw,
    figure.3 AS weighted,
    figure.4 AS n
FROM figures
ARRAY JOIN [
    ('asymmetry', (toInt64(inbound) - toInt64(replies)) / nullIf(inbound + replies, 0), (w_inbound - replies) / nullIf(w_inbound + replies, 0), inbound + replies),
    ('author_coverage', authors_answered / nullIf(authors, 0), w_authors_answered / nullIf(w_authors, 0), authors),
    ('negative_share', negatives / nullIf(labels, 0), w_negatives / nullIf(w_labels, 0), labels),
    ('net_sentiment', (toInt64(positives) - toInt64(negatives)) / nullIf(labels, 0), (w_positives - w_negatives) / nullIf(w_labels, 0), labels),
    ('reciprocity', 2 * matched / nullIf(inbound + replies, 0), 2 * w_matched / nullIf(w_inbound + replies, 0), inbound + replies),
    ('response_rate_24h', kept / nullIf(due, 0), w_kept / nullIf(w_due, 0), due),
    ('risk_load', if(inbound = 0, NULL, loads * if(has_crisis, setting['crisis_factor'], 1)), if(inbound = 0, NULL, w_loads * if(has_crisis, setting['crisis_factor'], 1)), inbound),
    ('rmst_7d_s', means[1], means[2], requests),
    ('targeting', matched / nullIf(least(inbound, replies), 0), w_matched / nullIf(least(w_inbound, toFloat64(replies)), 0), inbound + replies)
] AS figure
ORDER BY metric
COMMENT 'What looks automated, weighed out: a row per metric (asymmetry, author_coverage, negative_share, net_sentiment, reciprocity, response_rate_24h, risk_load, rmst_7d_s, targeting) with raw, the figure as its own view gives it (risk_load: summed over the tags), and weighted, the same with every message to the institution counted as 1 - the bot score of its author (a heuristic, see metric_authenticity). Show both. n as in the metric\'s own view. Parameters: institution, from, to. NULL where there is nothing to divide by. In METRICS.md: M20.'
