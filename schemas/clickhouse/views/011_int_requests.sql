-- A reply in the same thread that addresses the author stops the clock of every message of that author that is not later. What an author and the replies to that author said in
-- a thread stands in one array in the order of time, of a message and a reply at one instant the message first; so the reply before and the reply after each message are two
-- fillings of the same array. Windows would sort every row three times over. A message folds into the one before it if that one, at most 24 h older,
-- was unanswered when it was written, that is without a reply from that one's instant to this one's; looking at the nearest earlier one is enough, because an older
-- one is answered no later and lies further back.
-- Of an erased message settled_requests keeps the timing; it takes the place of whatever a replay brings back of it.
-- Of the time before the period a day is read as well, for the folding, and follow_up_s, for the replies that a request may follow; and everything after it, for the replies.
-- now_obs is the least end of complete reading over the connectors that read in the period: beyond it nothing is known, so nothing is seen.
-- institution = '' means every institution; it serves the view requests and nothing else.
-- Working time is left to int_waits: its joins would cost every metric as much as the rest, and three ask for it.
CREATE OR REPLACE VIEW int_requests AS
WITH
    (
        SELECT argMax(metric_settings.value, (metric_settings.institution != '', metric_settings.valid_from, metric_settings.set_at))
        FROM metric_settings
        WHERE name = 'follow_up_s' AND institution IN ('', {institution:String}) AND valid_from <= toDate32({from:DateTime64(3, 'UTC')})
    ) AS follow_up_s,
    conversations AS
    (
        SELECT
            institution,
            platform,
            thread,
            author,
            arraySort(groupArray((created_at, role = 'reply', message_id, message_key, deleted_at, risk_tags, sentiment, tone))) AS said,
            arrayMap((at, is_reply) -> if(is_reply, toNullable(at), NULL), said.1, said.2) AS replies_at,
            arrayMap((at, is_reply) -> if(is_reply, NULL, toNullable(at)), said.1, said.2) AS messages_at
        FROM int_messages
        ARRAY JOIN authors AS author
        WHERE ({institution:String} = '' OR institution = {institution:String})
            AND created_at >= {from:DateTime64(3, 'UTC')} - toIntervalMillisecond(1000 * greatest(86400, follow_up_s))
            AND (needs_reply OR (role = 'reply' AND deleted_at IS NULL))
        GROUP BY institution, platform, thread, author
    ),
    spoken AS
    (
        SELECT
            institution, platform, thread, author, created_at, is_reply, message_id, message_key, deleted_at, risk_tags, sentiment, tone, first_reply_at, last_reply_at, previous_at
        FROM conversations
        ARRAY JOIN
            said.1 AS created_at,
            said.2 AS is_reply,
            said.3 AS message_id,
            said.4 AS message_key,
            said.5 AS deleted_at,
            said.6 AS risk_tags,
            said.7 AS sentiment,
            said.8 AS tone,
            arrayReverseFill(at -> at IS NOT NULL, replies_at) AS first_reply_at,
            arrayFill(at -> at IS NOT NULL, replies_at) AS last_reply_at,
            arrayPopBack(arrayPushFront(arrayFill(at -> at IS NOT NULL, messages_at), NULL)) AS previous_at
    ),
    known AS
    (
        SELECT institution, min(connector_until) AS now_obs
        FROM
        (
            SELECT institution, connector, max(coverage_ledger.until) AS connector_until
            FROM coverage_ledger
            WHERE ({institution:String} = '' OR institution = {institution:String})
                AND status = 'complete'
                AND since < {to:DateTime64(3, 'UTC')}
                AND coverage_ledger.until > {from:DateTime64(3, 'UTC')}
            GROUP BY institution, connector
        )
        GROUP BY institution
    ),
    settled AS
    (
        SELECT institution, platform, message_key, asked_at, folded, replied_at, deleted_at
        FROM settled_requests FINAL
        WHERE ({institution:String} = '' OR institution = {institution:String})
            AND asked_at >= {from:DateTime64(3, 'UTC')}
            AND asked_at < {to:DateTime64(3, 'UTC')}
    ),
    counted AS
    (
        SELECT
            n.institution AS institution, n.platform AS platform, n.thread AS thread, n.message_id AS message_id, if(n.deleted_at IS NULL, n.author, '') AS author,
            n.created_at AS created_at, n.first_reply_at AS first_reply_at, n.deleted_at AS deleted_at,
            n.deleted_at IS NULL AS stands, n.risk_tags AS risk_tags, n.sentiment AS sentiment, n.tone AS tone,
            n.deleted_at IS NULL AND ifNull(dateDiff('millisecond', n.last_reply_at, n.created_at) <= 1000 * follow_up_s, false) AS follows_reply
        FROM spoken AS n
        LEFT ANTI JOIN settled AS s ON s.institution = n.institution AND s.platform = n.platform AND s.message_key = n.message_key
        WHERE NOT n.is_reply AND NOT (
            ifNull(dateDiff('millisecond', n.previous_at, n.created_at) <= 86400000, false)
            AND NOT ifNull(n.last_reply_at >= n.previous_at, false) AND NOT ifNull(n.first_reply_at = n.created_at, false))
        UNION ALL
        SELECT institution, platform, '' AS thread, '' AS message_id, '' AS author, asked_at AS created_at, replied_at AS first_reply_at, deleted_at,
            false AS stands, [] AS risk_tags, '' AS sentiment, NULL AS tone, false AS follows_reply
        FROM settled
        WHERE NOT folded
    ),
    -- replied at the instant of the deletion is replied
    asked AS
    (
        SELECT
            c.institution AS institution,
            c.platform AS platform,
            c.thread AS thread,
            c.message_id AS message_id,
            c.author AS author_key,
            c.created_at AS asked_at,
            o.now_obs AS now_obs,
            multiIf(c.first_reply_at <= least(o.now_obs, ifNull(c.deleted_at, o.now_obs)), 'replied', c.deleted_at <= o.now_obs, 'deleted', 'open') AS outcome,
            greatest(c.created_at, least(o.now_obs, ifNull(c.first_reply_at, o.now_obs), ifNull(c.deleted_at, o.now_obs))) AS ended_at,
            c.first_reply_at AS first_reply_at,
            c.deleted_at AS gone_at,
            c.stands AS stands,
            c.risk_tags AS risk_tags,
            c.sentiment AS sentiment,
            c.tone AS tone,
            c.follows_reply AS follows_reply
        FROM counted AS c
        INNER JOIN known AS o ON o.institution = c.institution
        WHERE c.created_at >= {from:DateTime64(3, 'UTC')}
            AND c.created_at < {to:DateTime64(3, 'UTC')}
            AND c.created_at <= o.now_obs
    )
SELECT
    q.institution AS institution,
    q.message_id AS request_id,
    q.platform AS platform,
    q.thread AS root_id,
    q.author_key AS author_key,
    q.asked_at AS asked_at,
    if(q.outcome = 'replied', q.first_reply_at, NULL) AS answered_at,
    if(q.outcome = 'deleted', q.gone_at, NULL) AS deleted_at,
    q.outcome AS outcome,
    q.ended_at AS ended_at,
    dateDiff('millisecond', q.asked_at, q.ended_at) / 1000 AS wait_s,
    dateDiff('millisecond', q.asked_at, q.now_obs) / 1000 AS observed_s,
    q.follows_reply AS follows_reply,
    q.stands AS stands,
    q.risk_tags AS risk_tags,
    q.sentiment AS sentiment,
    q.tone AS tone
FROM asked AS q
COMMENT 'Internal. The requests of one institution asked in a period, as known at the period''s now_obs: outcome replied, deleted (before a reply) or open. ended_at is when that was, or now_obs, and wait_s the time to it; observed_s is the time from asking to now_obs. follows_reply: its message stands, and the author had got a reply in the thread in the time follow_up_s before. stands: the message was not deleted; risk_tags, sentiment and tone (p_positive - p_negative) are its own.'
