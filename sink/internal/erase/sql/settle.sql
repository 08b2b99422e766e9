-- What view int_requests knows of deleted messages that ask for an answer, before they are erased; and the messages that counted together with such a one.
INSERT INTO settled_requests (institution, platform, message_key, folded, asked_at, replied_at, deleted_at)
WITH
    events AS
    (
        SELECT platform, thread, arrayJoin(authors) AS author, message_id, message_key, created_at, deleted_at, role = 'reply' AS is_reply
        FROM int_messages
        WHERE institution = {institution:String} AND (needs_reply OR (role = 'reply' AND deleted_at IS NULL))
    ),
    clocks AS
    (
        SELECT
            *,
            minIf(toNullable(created_at), is_reply) OVER (
                PARTITION BY platform, thread, author
                ORDER BY created_at DESC RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS first_reply_at
        FROM events
    ),
    neighbours AS
    (
        SELECT
            *,
            count() OVER before AS earlier,
            any(created_at) OVER before AS previous_at,
            any(deleted_at) OVER before AS previous_deleted_at,
            any(first_reply_at) OVER before AS previous_reply_at
        FROM clocks
        WHERE NOT is_reply
        WINDOW before AS (PARTITION BY platform, thread, author ORDER BY created_at, message_id ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING)
    ),
    questions AS
    (
        SELECT
            *,
            earlier > 0 AND dateDiff('millisecond', previous_at, created_at) <= 86400000
                AND (previous_reply_at IS NULL OR previous_reply_at > created_at) AS folds
        FROM neighbours
    )
SELECT {institution:String}, platform, message_key, folds, created_at, first_reply_at, deleted_at
FROM questions
WHERE (deleted_at IS NOT NULL OR (folds AND previous_deleted_at IS NOT NULL))
    AND (platform, message_key) NOT IN (SELECT platform, message_key FROM settled_requests WHERE institution = {institution:String})
