-- A reply to two authors is one reply and speaks to each of them: so each message is a row for itself (author '', of_message 1) and a row per author.
CREATE OR REPLACE VIEW metric_asymmetry AS
SELECT
    inbound,
    replies,
    (toInt64(inbound) - toInt64(replies)) / nullIf(inbound + replies, 0) AS asymmetry,
    2 * matched / nullIf(inbound + replies, 0) AS reciprocity,
    matched / nullIf(least(inbound, replies), 0) AS targeting,
    authors,
    authors_answered,
    authors_answered / nullIf(authors, 0) AS author_coverage,
    arraySum((x, i) -> (2 * toInt64(i) - toInt64(authors) - 1) * x, out_by_author, arrayEnumerate(out_by_author))
        / nullIf(authors * arraySum(out_by_author), 0) AS reply_gini,
    inbound + replies AS n,
    arraySum(arraySlice(arrayReverse(out_by_author), 1, toUInt64(ceil(authors / 100)))) / nullIf(arraySum(out_by_author), 0) AS reply_top1_share
FROM
(
    SELECT
        sum(own_inbound) AS inbound,
        sum(own_replies) AS replies,
        sum(least(in_u, out_u)) AS matched,
        countIf(in_u > 0) AS authors,
        countIf(in_u > 0 AND out_u > 0) AS authors_answered,
        arraySort(groupArrayIf(toInt64(out_u), in_u > 0)) AS out_by_author
    FROM
    (
        SELECT
            part.2 AS author,
            countIf(part.1 AND role = 'addressed') AS own_inbound,
            countIf(part.1 AND role = 'reply') AS own_replies,
            countIf(NOT part.1 AND role = 'addressed') AS in_u,
            countIf(NOT part.1 AND role = 'reply') AS out_u
        FROM int_messages
        ARRAY JOIN arrayPushFront(arrayMap(a -> (false, a), authors), (true, '')) AS part
        WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')}
            AND deleted_at IS NULL AND role IN ('reply', 'addressed')
        GROUP BY author
    )
)
COMMENT 'Who speaks, and is it returned. asymmetry = (inbound - replies) / (inbound + replies): 1 only the public speaks, 0 balanced, -1 only the institution. reciprocity (0..1): how much of all speaking is matched within the same author; targeting (0..1): how much of the smaller side is. reciprocity = (1 - |asymmetry|) x targeting where each reply speaks to one author. author_coverage: share of the authors that got at least one reply. reply_gini: 0 replies spread evenly over authors, towards 1 all to a few; reply_top1_share: the part that the most answered hundredth of the authors (at least one) got. Parameters: institution, from, to. One row; NULL where there is nothing to divide by. In METRICS.md: M3, M9-M11, M13.'
