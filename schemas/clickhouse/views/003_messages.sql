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
COMMENT 'Every public message, a row per message and institution, as it was last seen; deleted and hidden messages are absent. No text and no handle: author_key stands for the author. parent_author_key is empty where the platform does not name it. reach is the number of followers of the author. Always filter by institution and created_at (UTC).'
