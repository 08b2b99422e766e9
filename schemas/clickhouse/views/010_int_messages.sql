-- What each message is in the terms of METRICS.md. Deleted messages are kept, with deleted_at: a deleted question stays a fact of timing.
-- The parent is looked up only for messages that do not name its author or whether it is an account, and over all time, since a parent may be older than the period.
-- Each step is a subquery of its own: an alias used in its own SELECT is expanded wherever it stands, and the analysis of such a query takes longer than the reading.
-- institution = '' means every institution; it serves the view requests and nothing else.
CREATE OR REPLACE VIEW int_messages AS
WITH
    facts AS
    (
        SELECT
            institution, platform, message_id, message_key, created_at, author_key, kind, direction, is_auto, parent_id, parent_author_key,
            parent_is_account, mentions_account, from_account_stream, root_id, mention_keys, needs_reply, sentiment, risk_tags, risk_severity, risk_p,
            author_followers, bot_p, toFixedString(substring(SHA256(author_key), 1, 16), 16) AS author_mark, p_positive - p_negative AS tone, account,
            author_created_at, likes, replies, shares, views, text_hash, link_hashes, content_function, model_version, connector, ingested_at
        FROM message_facts FINAL
        WHERE ({institution:String} = '' OR institution = {institution:String})
            AND created_at >= {from:DateTime64(3, 'UTC')}
            AND created_at < {to:DateTime64(3, 'UTC')}
    ),
    parents AS
    (
        SELECT
            m.institution AS institution,
            m.platform AS platform,
            m.message_id AS message_id,
            argMax(m.author_key, m.version) AS author_key,
            argMax(if(m.direction = 'outbound', 'yes', 'no'), m.version) AS is_account
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
    ),
    deletions AS
    (
        SELECT
            institution,
            platform,
            message_key,
            CAST(min(tombstones.deleted_at), 'Nullable(DateTime64(3, \'UTC\'))') AS deleted_at
        FROM tombstones
        WHERE ({institution:String} = '' OR institution = {institution:String})
        GROUP BY institution, platform, message_key
    ),
    concealed AS
    (
        SELECT institution, platform, subject, subject_key, deleted_at
        FROM int_concealed
        WHERE ({institution:String} = '' OR institution = {institution:String})
    ),
    -- A hidden message is no message; of a deleted author's every message counts as deleted, at the earlier of its own deletion and the author's.
    -- ifNull keeps the meaning whatever join_use_nulls is set to.
    resolved AS
    (
        SELECT
            f.institution AS institution, f.platform AS platform, f.message_id AS message_id, f.message_key AS message_key, f.created_at AS created_at, 
            if(d.deleted_at IS NULL OR ifNull(a.deleted_at < d.deleted_at, false), a.deleted_at, d.deleted_at) AS deleted_at,
            f.author_key AS author_key, f.root_id AS root_id, f.kind AS kind, f.direction AS direction, f.is_auto AS is_auto,
            f.mentions_account AS mentions_account, f.from_account_stream AS from_account_stream, f.parent_author_key AS named_parent,
            if(f.parent_author_key != '', f.parent_author_key, ifNull(p.author_key, '')) AS parent_author,
            if(f.parent_is_account != 'unknown', toString(f.parent_is_account), ifNull(p.is_account, '')) AS parent_is_account,
            ifNull(p.is_account, '') = '' AS parent_unseen,
            f.mention_keys AS mention_keys, f.needs_reply AS asks, f.sentiment AS sentiment, f.risk_tags AS tags, f.risk_severity AS risk_severity,
            f.risk_p AS risk_p, f.author_followers AS author_followers, f.bot_p AS bot_p, f.tone AS tone, f.account AS account,
            f.author_created_at AS author_created_at, f.likes AS likes, f.replies AS replies, f.shares AS shares, f.views AS views,
            f.text_hash AS text_hash, f.link_hashes AS link_hashes, f.content_function AS content_function,
            f.model_version AS model_version, f.connector AS connector, f.ingested_at AS ingested_at
        FROM facts AS f
        LEFT JOIN parents AS p ON p.institution = f.institution AND p.platform = f.platform AND p.message_id = f.parent_id
        LEFT JOIN deletions AS d ON d.institution = f.institution AND d.platform = f.platform AND d.message_key = f.message_key
        LEFT JOIN (SELECT * FROM concealed WHERE subject = 'author' AND deleted_at IS NOT NULL) AS a
            ON a.institution = f.institution AND a.platform = f.platform AND a.subject_key = f.author_mark
        LEFT ANTI JOIN (SELECT * FROM concealed WHERE deleted_at IS NULL) AS h
            ON h.institution = f.institution AND h.platform = f.platform
            AND (h.subject = 'message' AND h.subject_key = f.message_key OR h.subject = 'author' AND h.subject_key = f.author_mark)
    ),
    roles AS
    (
        SELECT
            *,
            multiIf(
                kind = 'repost', 'other',
                direction = 'outbound' AND (kind NOT IN ('reply', 'comment') OR parent_is_account = 'yes'), 'broadcast',
                direction = 'outbound' AND is_auto, 'auto_reply',
                direction = 'outbound', 'reply',
                is_auto, 'other',
                mentions_account, 'addressed',
                kind = 'quote', 'other',
                parent_is_account = 'yes' OR (from_account_stream AND parent_unseen AND named_parent = ''), 'addressed',
                'other') AS role
        FROM resolved
    )
SELECT
    institution,
    platform,
    message_id,
    message_key,
    created_at,
    deleted_at,
    author_key,
    if(root_id = '', message_id, root_id) AS thread,
    role,
    role = 'addressed' AND asks AS needs_reply,
    if(role = 'reply',
        arrayFilter(a -> a != '' AND a != author_key, arrayDistinct(arrayPushFront(mention_keys, parent_author))),
        [author_key]) AS authors,
    sentiment,
    arrayFilter(tag -> tag != '' AND tag != 'none', arrayDistinct(tags)) AS risk_tags,
    risk_p,
    risk_severity,
    if(risk_severity = 0, 0, exp2(risk_severity - 1)) * (1 - ifNull(toFloat64(bot_p), 0)) * log2(2 + ifNull(author_followers, 0)) AS risk_weight,
    tone,
    account,
    author_followers,
    author_created_at,
    bot_p,
    content_function,
    likes,
    replies,
    shares,
    views,
    text_hash,
    link_hashes,
    model_version,
    connector,
    ingested_at
FROM roles
COMMENT 'Internal. The messages of one institution and period in the terms of METRICS.md. role: broadcast, reply (a human public reply), auto_reply, addressed (inbound, to the institution) or other. needs_reply: addressed and asking for an answer. authors: whom a reply speaks to, for other roles who wrote the message. deleted_at is NULL for a message that still stands.'
