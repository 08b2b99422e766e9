-- Which posts bait?
-- The ten posts with the most replies for their likes, and the negative share of the n labelled messages beneath. baits: metric_bait says so, which asks for an entertaining or other post,
-- more replies than likes and most of them angry. Nobody but the institution is named; posts answered by under five authors are left out.
WITH
    beneath AS
    (
        SELECT
            platform,
            root_id,
            uniqExact(author_key) AS authors,
            count() AS seen,
            countIf(sentiment IN ('negative', 'neutral', 'positive')) AS labelled,
            countIf(sentiment = 'negative') AS negative
        FROM messages
        WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND direction = 'inbound' AND kind != 'repost'
        GROUP BY platform, root_id
    )
SELECT
    p.platform AS platform,
    p.message_id AS message_id,
    toDate32(p.created_at) AS day,
    p.content_function AS content_function,
    p.likes AS likes,
    ifNull(p.replies, toInt64(b.seen)) AS replies,
    round(replies / (likes + 1), 2) AS reply_ratio,
    round(b.negative / nullIf(b.labelled, 0), 3) AS negative_share,
    b.labelled AS n,
    toBool((p.platform, p.message_id) IN (SELECT platform, message_id FROM metric_bait(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')}))) AS baits
FROM
(
    SELECT platform, message_id, created_at, content_function, likes, messages.replies AS replies
    FROM messages
    WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')} AND direction = 'outbound' AND kind = 'post' AND likes IS NOT NULL
) AS p
INNER JOIN beneath AS b ON b.platform = p.platform AND b.root_id = p.message_id
WHERE b.authors >= 5
ORDER BY reply_ratio DESC, platform, message_id
LIMIT 10
