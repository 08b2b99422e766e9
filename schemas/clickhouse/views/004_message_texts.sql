CREATE OR REPLACE VIEW message_texts AS
SELECT
    b.institution AS institution,
    b.platform AS platform,
    b.message_id AS message_id,
    b.text AS text
FROM message_bodies AS b FINAL
LEFT ANTI JOIN tombstones AS d
    ON d.institution = b.institution AND d.platform = b.platform AND d.message_key = b.message_key
LEFT ANTI JOIN int_concealed AS c
    ON c.institution = b.institution AND c.platform = b.platform AND c.subject = 'message' AND c.subject_key = b.message_key
LEFT ANTI JOIN int_concealed AS a
    ON a.institution = b.institution AND a.platform = b.platform AND a.subject = 'author' AND a.subject_key = b.author_mark
COMMENT 'The redacted text of each message, for the role that may read texts. Deleted, hidden and expired messages are absent. Join it with messages by institution, platform and message_id. Words are found by an index: WHERE institution = ... AND hasAllTokens(lower(text), [\'air\', \'keruh\']).';
ALTER TABLE message_texts
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN platform 'x, bluesky, mastodon, youtube, facebook, instagram, threads, telegram, tiktok, reddit or web',
    COMMENT COLUMN message_id 'the id that the platform gave the message',
    COMMENT COLUMN text 'the text, with numbers of identity cards, telephones, accounts and plates and addresses replaced by what they are'
