-- What each message is in the terms of METRICS.md. Deleted messages are kept, with deleted_at: a deleted question stays a fact of timing.
-- A plain view: whoever reads it filters by institution and created_at, and the planner carries that down to the keys of every table (a test reads the plans). With
-- parameters it would be analysed twice wherever it is named, as int_requests is.
-- The parent is looked up only for messages that do not name its author or whether it is an account, and over all time, since a parent may be older than any period.
-- Two levels, the joins and what rests on them: each further level that carries the columns costs more to analyse than a small institution to read.
CREATE OR REPLACE VIEW int_messages AS
WITH
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
            WHERE parent_id != '' AND (parent_author_key = '' OR parent_is_account = 'unknown')
        ) AS child
            ON child.institution = m.institution AND child.platform = m.platform AND child.parent_id = m.message_id
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
        GROUP BY institution, platform, message_key
    ),
    -- A hidden message is no message; of a deleted author's every message counts as deleted, at the earlier of its own deletion and the author's.
    -- ifNull keeps the meaning whatever join_use_nulls is set to.
    resolved AS
    (
        SELECT
            f.institution AS institution,
            f.platform AS platform,
            f.message_id AS message_id,
            f.message_key AS message_key,
            f.created_at AS created_at,
            if(d.deleted_at IS NULL OR ifNull(a.deleted_at < d.deleted_at, false), a.deleted_at, d.deleted_at) AS deleted_at,
            f.author_key AS author_key,
            if(f.root_id = '', f.message_id, f.root_id) AS thread,
            multiIf(
                f.kind = 'repost', 'other',
                f.direction = 'outbound' AND (f.kind NOT IN ('reply', 'comment') OR parent_is = 'yes'), 'broadcast',
                f.direction = 'outbound' AND f.is_auto, 'auto_reply',
                f.direction = 'outbound', 'reply',
                f.is_auto, 'other',
                f.mentions_account, 'addressed',
                f.kind = 'quote', 'other',
                parent_is = 'yes' OR (f.from_account_stream AND ifNull(p.is_account, '') = '' AND f.parent_author_key = ''), 'addressed',
                'other') AS role,
            if(f.parent_is_account != 'unknown', toString(f.parent_is_account), ifNull(p.is_account, '')) AS parent_is,
            arrayPushFront(f.mention_keys, if(f.parent_author_key != '', f.parent_author_key, ifNull(p.author_key, ''))) AS spoken_to,
            f.needs_reply AS asks,
            f.sentiment AS sentiment,
            f.risk_tags AS risk_tags,
            f.risk_p AS risk_p,
            f.risk_severity AS risk_severity,
            f.p_positive - f.p_negative AS tone,
            f.account AS account,
            f.author_followers AS author_followers,
            f.author_created_at AS author_created_at,
            f.bot_p AS bot_p,
            f.content_function AS content_function,
            f.likes AS likes,
            f.replies AS replies,
            f.shares AS shares,
            f.views AS views,
            f.text_hash AS text_hash,
            f.link_hashes AS link_hashes,
            f.model_version AS model_version,
            f.connector AS connector,
            f.ingested_at AS ingested_at
        FROM message_facts AS f FINAL
        LEFT JOIN parents AS p ON p.institution = f.institution AND p.platform = f.platform AND p.message_id = f.parent_id
        LEFT JOIN deletions AS d ON d.institution = f.institution AND d.platform = f.platform AND d.message_key = f.message_key
        LEFT JOIN (SELECT institution, platform, subject_key, deleted_at FROM int_concealed WHERE subject = 'author' AND deleted_at IS NOT NULL) AS a
            ON a.institution = f.institution AND a.platform = f.platform AND a.subject_key = toFixedString(substring(SHA256(f.author_key), 1, 16), 16)
        LEFT ANTI JOIN (SELECT institution, platform, subject, subject_key FROM int_concealed WHERE deleted_at IS NULL) AS h
            ON h.institution = f.institution AND h.platform = f.platform
            AND (h.subject = 'message' AND h.subject_key = f.message_key
                OR h.subject = 'author' AND h.subject_key = toFixedString(substring(SHA256(f.author_key), 1, 16), 16))
    )
SELECT
    institution,
    platform,
    message_id,
    message_key,
    created_at,
    deleted_at,
    author_key,
    thread,
    role,
    role = 'addressed' AND asks AS needs_reply,
    if(role = 'reply', arrayFilter(a -> a != '' AND a != author_key, arrayDistinct(spoken_to)), [author_key]) AS authors,
    sentiment,
    arrayFilter(tag -> tag != '' AND tag != 'none', arrayDistinct(resolved.risk_tags)) AS risk_tags,
    risk_p,
    risk_severity,
    (1 - ifNull(toFloat64(bot_p), 0)) * log2(2 + ifNull(author_followers, 0)) AS risk_reach,
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
FROM resolved
COMMENT 'Internal. Every message in the terms of METRICS.md; always filter by institution and created_at (UTC). role: broadcast, reply (a human public reply), auto_reply, addressed (inbound, to the institution) or other. needs_reply: addressed and asking for an answer. authors: whom a reply speaks to, for other roles who wrote the message. deleted_at is NULL for a message that still stands.'
