-- A reply in the same thread that addresses the author stops the clock of every message of that author that is not later. Descending order and a RANGE frame
-- make that one pass: the rows seen so far are those at the same instant or later. A message folds into the one before it if that one, at most 24 h older,
-- was unanswered when it was written; looking at the nearest earlier one is enough, because an older one is answered no later and lies further back.
-- The 24 hours before the period are read as well, for the folding; replies are read to the end of time, and cut at now_obs by int_requests.
CREATE OR REPLACE VIEW int_clocks AS
SELECT
    institution,
    platform,
    thread,
    author,
    message_id,
    created_at,
    deleted_at,
    first_reply_at
FROM
(
    SELECT
        *,
        count() OVER before AS earlier,
        any(created_at) OVER before AS previous_at,
        any(first_reply_at) OVER before AS previous_reply_at
    FROM
    (
        SELECT
            *,
            minIf(toNullable(created_at), is_reply) OVER (
                PARTITION BY institution, platform, thread, author
                ORDER BY created_at DESC RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS first_reply_at
        FROM
        (
            SELECT
                institution,
                platform,
                thread,
                arrayJoin(if(role = 'reply', addresses, [author_key])) AS author,
                message_id,
                created_at,
                deleted_at,
                role = 'reply' AS is_reply
            FROM int_messages(
                institution = {institution:String},
                from = {from:DateTime64(3, 'UTC')} - toIntervalHour(24),
                to = '2299-12-31 00:00:00')
            WHERE needs_reply OR (role = 'reply' AND deleted_at IS NULL)
        )
    )
    WHERE NOT is_reply
    WINDOW before AS (
        PARTITION BY institution, platform, thread, author
        ORDER BY created_at, message_id ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING)
)
WHERE created_at >= {from:DateTime64(3, 'UTC')}
    AND NOT (
        earlier > 0
        AND dateDiff('millisecond', previous_at, created_at) <= 86400000
        AND (previous_reply_at IS NULL OR previous_reply_at > created_at))
COMMENT 'Internal. A row per request asked at or after from: the first of an author''s messages in a thread that needs a reply and does not fold into a still unanswered one of the last 24 hours. first_reply_at and deleted_at are as stored, not yet cut at the end of what is known.'
