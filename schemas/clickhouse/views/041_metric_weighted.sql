-- Each figure twice: as it is, and with every message to the institution counting as much as its author looks human. Replies keep their full weight: the institution wrote them.
CREATE OR REPLACE VIEW metric_weighted AS
WITH
    bots AS
    (
        SELECT author_key, 1 - bot AS weight
        FROM int_bots(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
    ),
    exchange AS
    (
        SELECT
            sum(m.own_inbound) AS inbound,
            sum(m.own_replies) AS replies,
            sum(least(m.in_u, m.out_u)) AS matched,
            countIf(m.in_u > 0) AS authors,
            countIf(m.in_u > 0 AND m.out_u > 0) AS authors_answered,
            sum(m.labelled) AS labels,
            sum(m.negative) AS negatives,
            sum(m.positive) AS positives,
            toFloat64(sum(toDecimal128(m.in_u * b.weight, 12))) AS w_inbound,
            toFloat64(sum(toDecimal128(least(m.in_u * b.weight, toFloat64(m.out_u)), 12))) AS w_matched,
            toFloat64(sum(toDecimal128(if(m.in_u > 0, b.weight, 0), 12))) AS w_authors,
            toFloat64(sum(toDecimal128(if(m.in_u > 0 AND m.out_u > 0, b.weight, 0), 12))) AS w_authors_answered,
            toFloat64(sum(toDecimal128(m.labelled * b.weight, 12))) AS w_labels,
            toFloat64(sum(toDecimal128(m.negative * b.weight, 12))) AS w_negatives,
            toFloat64(sum(toDecimal128(m.positive * b.weight, 12))) AS w_positives
        FROM
        (
            SELECT
                part.2 AS author,
                countIf(part.1 AND role = 'addressed') AS own_inbound,
                countIf(part.1 AND role = 'reply') AS own_replies,
                countIf(NOT part.1 AND role = 'addressed') AS in_u,
                countIf(NOT part.1 AND role = 'reply') AS out_u,
                countIf(NOT part.1 AND role = 'addressed' AND sentiment IN ('negative', 'neutral', 'positive')) AS labelled,
                countIf(NOT part.1 AND role = 'addressed' AND sentiment = 'negative') AS negative,
                countIf(NOT part.1 AND role = 'addressed' AND sentiment = 'positive') AS positive
            FROM int_messages
            ARRAY JOIN arrayPushFront(arrayMap(a -> (false, a), authors), (true, '')) AS part
            WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')}
                AND deleted_at IS NULL AND role IN ('reply', 'addressed')
            GROUP BY author
        ) AS m
        LEFT JOIN (SELECT author_key, assumeNotNull(weight) AS weight FROM bots) AS b ON b.author_key = m.author
    ),
    served AS
    (
        SELECT
            countIf(matured) AS asked,
            countIf(matured AND in_time) AS in_time_here,
            toFloat64(sum(toDecimal128(if(matured, weight, 0), 12))) AS w_asked,
            toFloat64(sum(toDecimal128(if(matured AND in_time, weight, 0), 12))) AS w_in_time
        FROM
        (
            SELECT
                q.observed_s >= 86400 AND NOT (q.outcome = 'deleted' AND q.wait_s <= 86400) AS matured,
                q.outcome = 'replied' AND q.wait_s <= 86400 AS in_time,
                if(ifNull(b.author_key, '') = '', 1, assumeNotNull(b.weight)) AS weight
            FROM int_requests(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')}) AS q
            LEFT JOIN bots AS b ON b.author_key = q.author_key
            WHERE q.institution = {institution:String}
        )
    )
SELECT
    figure.1 AS metric,
    figure.2 AS raw,
    figure.3 AS weighted,
    figure.4 AS n
FROM exchange
CROSS JOIN served
ARRAY JOIN [
    ('asymmetry', (toInt64(inbound) - toInt64(replies)) / nullIf(inbound + replies, 0), (w_inbound - replies) / nullIf(w_inbound + replies, 0), inbound + replies),
    ('author_coverage', authors_answered / nullIf(authors, 0), w_authors_answered / nullIf(w_authors, 0), authors),
    ('negative_share', negatives / nullIf(labels, 0), w_negatives / nullIf(w_labels, 0), labels),
    ('net_sentiment', (toInt64(positives) - toInt64(negatives)) / nullIf(labels, 0), (w_positives - w_negatives) / nullIf(w_labels, 0), labels),
    ('reciprocity', 2 * matched / nullIf(inbound + replies, 0), 2 * w_matched / nullIf(w_inbound + replies, 0), inbound + replies),
    ('response_rate_24h', in_time_here / nullIf(asked, 0), w_in_time / nullIf(w_asked, 0), asked),
    ('targeting', matched / nullIf(least(inbound, replies), 0), w_matched / nullIf(least(w_inbound, toFloat64(replies)), 0), inbound + replies)
] AS figure
ORDER BY metric
COMMENT 'M20. What looks automated, weighed out: a row per metric (asymmetry, author_coverage, negative_share, net_sentiment, reciprocity, response_rate_24h, targeting) with raw, the figure as its own view gives it, and weighted, the same with every message to the institution counted as 1 - the bot score of its author (a heuristic, see metric_authenticity). Show both. n as in the metric''s own view. Parameters: institution, from, to. NULL where there is nothing to divide by.'
