-- Do we answer complaints less than praise?
-- n messages of each tone, talk among citizens included, and the share that got a human reply of their own. Of the requests among them: those a day old that were not withdrawn within it,
-- and the share of these that was answered within a day. NULL: nobody asked in that tone. Tones with under five authors are left out.
WITH
    (
        SELECT min(read)
        FROM
        (
            SELECT max(until) AS read
            FROM coverage
            WHERE institution = {institution:String} AND status = 'complete'
            GROUP BY connector
        )
    ) AS read_to,
    direct AS
    (
        SELECT DISTINCT platform, parent_id
        FROM messages
        WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')}
            AND direction = 'outbound' AND kind IN ('reply', 'comment') AND NOT is_auto AND parent_id != ''
    )
SELECT
    m.sentiment AS tone,
    count() AS n,
    round(countIf((m.platform, m.message_id) IN direct) / n, 3) AS replied_share,
    countIf(q.request_id != '' AND q.asked_at <= read_to - toIntervalDay(1) AND NOT (q.outcome = 'deleted' AND q.wait_s <= 86400)) AS requests_day_old,
    round(countIf(q.request_id != '' AND q.asked_at <= read_to - toIntervalDay(1) AND q.outcome = 'replied' AND q.wait_s <= 86400) / nullIf(requests_day_old, 0), 3) AS answered_24h
FROM
(
    SELECT platform, message_id, sentiment, author_key
    FROM messages
    WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')} AND direction = 'inbound' AND kind != 'repost' AND NOT is_auto
) AS m
LEFT JOIN
(
    SELECT platform, request_id, asked_at, outcome, wait_s
    FROM requests
    WHERE institution = {institution:String} AND asked_at >= {from:DateTime64(3, 'UTC')} AND asked_at < {to:DateTime64(3, 'UTC')}
) AS q ON q.platform = m.platform AND q.request_id = m.message_id
GROUP BY tone
HAVING uniqExact(m.author_key) >= 5
ORDER BY tone
