-- What each message is in the terms of METRICS.md. Deleted messages are kept, with deleted_at: a deleted question stays a fact of timing.
-- The parent is looked up only for messages that do not name its author or whether it is an account, and over all time, since a parent may be older than the period.
-- institution = '' means every institution; it serves the view requests and nothing else.
CREATE OR REPLACE VIEW int_messages AS
SELECT
    f.institution AS institution,
    f.platform AS platform,
    f.message_id AS message_id,
    f.created_at AS created_at,
    d.deleted_at AS deleted_at,
    f.author_key AS author_key,
    if(f.root_id = '', f.message_id, f.root_id) AS thread,
    if(f.parent_author_key != '', f.parent_author_key, ifNull(p.author_key, '')) AS resolved_parent_author_key,
    multiIf(
        f.parent_is_account != 'unknown', toString(f.parent_is_account),
        ifNull(p.found, 0) = 0, 'unknown',
        p.direction = 'outbound', 'yes', 'no') AS resolved_parent_is_account,
    (f.parent_id = '' OR ifNull(p.found, 0) = 0) AND f.parent_author_key = '' AS parent_missing,
    f.kind IN ('reply', 'comment') AS answers_something,
    multiIf(
        f.kind = 'repost', 'other',
        f.direction = 'outbound' AND (NOT answers_something OR resolved_parent_is_account = 'yes'), 'broadcast',
        f.direction = 'outbound' AND f.is_auto, 'auto_reply',
        f.direction = 'outbound', 'reply',
        f.is_auto, 'other',
        f.mentions_account, 'addressed',
        f.kind = 'quote', 'other',
        resolved_parent_is_account = 'yes' OR (f.from_account_stream AND parent_missing), 'addressed',
        'other') AS role,
    role = 'addressed' AND f.needs_reply AS needs_reply,
    if(role = 'reply',
        arrayFilter(a -> a != '' AND a != f.author_key, arrayDistinct(arrayPushFront(f.mention_keys, resolved_parent_author_key))),
        [f.author_key]) AS authors,
    f.sentiment AS sentiment,
    arrayFilter(tag -> tag != '' AND tag != 'none', arrayDistinct(f.risk_tags)) AS risk_tags,
    f.risk_p AS risk_p,
    f.risk_severity AS risk_severity,
    if(f.risk_severity = 0, 0, exp2(f.risk_severity - 1))
        * (1 - ifNull(toFloat64(f.bot_p), 0))
        * log2(2 + ifNull(f.author_followers, 0)) AS risk_weight
FROM
(
    SELECT
        institution, platform, message_id, message_key, created_at, author_key, kind, direction, is_auto, parent_id, parent_author_key, root_id,
        mention_keys, parent_is_account, mentions_account, from_account_stream, author_followers, sentiment, risk_tags, risk_severity, risk_p,
        needs_reply, bot_p
    FROM message_facts FINAL
    WHERE ({institution:String} = '' OR institution = {institution:String})
        AND created_at >= {from:DateTime64(3, 'UTC')}
        AND created_at < {to:DateTime64(3, 'UTC')}
) AS f
LEFT JOIN
(
    SELECT
        m.institution AS institution,
        m.platform AS platform,
        m.message_id AS message_id,
        argMax(m.author_key, m.version) AS author_key,
        argMax(m.direction, m.version) AS direction,
        1 AS found
    FROM message_facts AS m
    LEFT SEMI JOIN
    (
        SELECT institution, platform, parent_id
        FROM message_facts
        WHERE ({institution:String} = '' OR institution = {institution:String})
            AND created_at >= {from:DateTime64(3, 'UTC')}
            AND created_at < {to:DateTime64(3, 'UTC')}
            AND parent_id != ''
            AND (parent_author_key = '' OR parent_is_account = 'unknown')
    ) AS child
        ON child.institution = m.institution AND child.platform = m.platform AND child.parent_id = m.message_id
    WHERE ({institution:String} = '' OR m.institution = {institution:String})
    GROUP BY institution, platform, message_id
) AS p
    ON p.institution = f.institution AND p.platform = f.platform AND p.message_id = f.parent_id
LEFT JOIN
(
    SELECT
        institution,
        platform,
        message_key,
        CAST(min(tombstones.deleted_at), 'Nullable(DateTime64(3, \'UTC\'))') AS deleted_at
    FROM tombstones
    WHERE ({institution:String} = '' OR institution = {institution:String})
    GROUP BY institution, platform, message_key
) AS d
    ON d.institution = f.institution AND d.platform = f.platform AND d.message_key = f.message_key
COMMENT 'Internal. The messages of one institution and period in the terms of METRICS.md. role: broadcast, reply (a human public reply), auto_reply, addressed (inbound, to the institution) or other. needs_reply: addressed and asking for an answer. authors: whom a reply speaks to, for other roles who wrote the message. deleted_at is NULL for a message that still stands.'
