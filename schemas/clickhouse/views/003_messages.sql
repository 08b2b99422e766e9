-- FINAL takes the newest version of each row; a tombstone or a suppression hides a message whichever of the two came first.
CREATE OR REPLACE VIEW messages AS
SELECT
    f.institution AS institution,
    f.platform AS platform,
    f.message_id AS message_id,
    f.account AS account,
    f.author_key AS author_key,
    f.kind AS kind,
    f.direction AS direction,
    f.is_auto AS is_auto,
    f.created_at AS created_at,
    f.observed_at AS observed_at,
    f.edited_at AS edited_at,
    f.parent_id AS parent_id,
    f.parent_author_key AS parent_author_key,
    f.root_id AS root_id,
    f.mention_keys AS mention_keys,
    f.lang AS lang,
    f.sentiment AS sentiment,
    f.p_negative AS p_negative,
    f.p_neutral AS p_neutral,
    f.p_positive AS p_positive,
    f.risk_tag AS risk_tag,
    f.risk_tags AS risk_tags,
    f.risk_severity AS risk_severity,
    f.risk_p AS risk_p,
    f.content_function AS content_function,
    f.needs_reply AS needs_reply,
    f.bot_p AS bot_p,
    f.author_followers AS reach,
    f.likes AS likes,
    f.replies AS replies,
    f.shares AS shares,
    f.views AS views,
    f.model_version AS model_version
FROM message_facts AS f FINAL
LEFT ANTI JOIN tombstones AS d
    ON d.institution = f.institution AND d.platform = f.platform AND d.message_key = f.message_key
LEFT ANTI JOIN int_concealed AS c
    ON c.institution = f.institution AND c.platform = f.platform AND c.subject = 'message' AND c.subject_key = f.message_key
LEFT ANTI JOIN int_concealed AS a
    ON a.institution = f.institution AND a.platform = f.platform AND a.subject = 'author'
    AND a.subject_key = toFixedString(substring(SHA256(f.author_key), 1, 16), 16)
COMMENT 'Every public message, a row per message and institution, as it was last seen; deleted and hidden messages are absent. No text and no handle: author_key stands for the author. parent_author_key is empty where the platform does not name it. reach is the number of followers of the author. Always filter by institution and created_at (UTC).';
ALTER TABLE messages
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN platform 'x, bluesky, mastodon, youtube, facebook, instagram, threads, telegram, tiktok, reddit or web',
    COMMENT COLUMN message_id 'the id that the platform gave the message',
    COMMENT COLUMN account 'the official account that it concerns',
    COMMENT COLUMN author_key 'a keyed hash that stands for the author, on one platform and within one epoch of keys',
    COMMENT COLUMN kind 'post, reply, comment, mention, quote or repost',
    COMMENT COLUMN direction 'inbound: from the public; outbound: from an account of the institution',
    COMMENT COLUMN is_auto 'written by a machine: the platform or archive says so, or the classifier by its words',
    COMMENT COLUMN created_at 'when it was written, by the platform, UTC',
    COMMENT COLUMN observed_at 'when it was last read, UTC; NULL where the source does not say',
    COMMENT COLUMN edited_at 'when it was last edited, UTC; NULL if never, or not told',
    COMMENT COLUMN parent_id 'the message that it answers; empty for none',
    COMMENT COLUMN parent_author_key 'who wrote that; empty where the platform does not name it',
    COMMENT COLUMN root_id 'the first message of its thread; empty stands for itself',
    COMMENT COLUMN mention_keys 'the keys of those whom it mentions',
    COMMENT COLUMN lang 'language of the text, as id, jv, su, en; und if undetermined',
    COMMENT COLUMN sentiment 'the classifier\'s label: negative, neutral, positive or unknown',
    COMMENT COLUMN p_negative 'probability of negative, 0 to 1; NULL where the classifier had no answer',
    COMMENT COLUMN p_neutral 'the same of neutral',
    COMMENT COLUMN p_positive 'the same of positive',
    COMMENT COLUMN risk_tag 'the first risk tag; none for no risk',
    COMMENT COLUMN risk_tags 'all risk tags, the first one first',
    COMMENT COLUMN risk_severity 'how grave the gravest tag is, 0 to 5',
    COMMENT COLUMN risk_p 'probability by tag, 0 to 1',
    COMMENT COLUMN content_function 'of an outbound message: informative, educative, entertaining, mixed or other; empty for others',
    COMMENT COLUMN needs_reply 'the classifier finds that it asks for an answer',
    COMMENT COLUMN bot_p 'probability that the author is automated, where one is given, 0 to 1; metric_authenticity makes up for it',
    COMMENT COLUMN reach 'followers of the author when it was read; NULL where unknown',
    COMMENT COLUMN likes 'as last observed; NULL where the platform does not count or tell them, never 0 for that',
    COMMENT COLUMN replies 'the same of replies',
    COMMENT COLUMN shares 'the same of shares',
    COMMENT COLUMN views 'the same of views',
    COMMENT COLUMN model_version 'the release of the classifier whose labels these are'
