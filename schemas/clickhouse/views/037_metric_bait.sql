-- A post and the messages to the institution in the thread that it began, in one pass: both are grouped under the post's id.
CREATE OR REPLACE VIEW metric_bait AS
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
    ) AS setting
SELECT
    platform,
    post AS message_id,
    account,
    posted_at AS created_at,
    content_function,
    likes,
    reply_count AS replies,
    reply_count / (likes + 1) AS reply_ratio,
    negatives / nullIf(labelled, 0) AS negative_share,
    labelled AS n
FROM
(
    SELECT
        platform,
        post,
        countIf(is_post) AS posts,
        anyIf(m.account, is_post) AS account,
        anyIf(m.created_at, is_post) AS posted_at,
        anyIf(m.content_function, is_post) AS content_function,
        anyIf(m.likes, is_post) AS likes,
        toInt64(ifNull(anyIf(m.replies, is_post), countIf(NOT is_post))) AS reply_count,
        countIf(NOT is_post AND sentiment IN ('negative', 'neutral', 'positive')) AS labelled,
        countIf(NOT is_post AND sentiment = 'negative') AS negatives
    FROM
    (
        SELECT *, role = 'broadcast' AS is_post, if(is_post, message_id, thread) AS post
        FROM int_messages
        WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')}
            AND deleted_at IS NULL
            AND (role = 'addressed' OR (role = 'broadcast' AND created_at < {to:DateTime64(3, 'UTC')}))
    ) AS m
    GROUP BY platform, post
)
WHERE posts > 0
    AND content_function IN ('entertaining', 'other')
    AND ifNull(reply_ratio > setting['bait_reply_ratio'] AND negative_share > setting['bait_negative_share'], false)
ORDER BY created_at, platform, message_id
COMMENT 'Posts of the institution that bait: entertaining or other in function, more replies than likes (reply_ratio = replies / (likes + 1) above 1), and more than 60 % of the n labelled messages in their thread negative. A row per post; posts without a known number of likes cannot be judged. replies: as the platform counts them, else those that were seen. Parameters: institution, from, to (of the posts; their threads are read to the end). In METRICS.md: M23.'
