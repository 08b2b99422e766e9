-- Every message of a deleted author gets a tombstone of its own: it outlives the author's key.
INSERT INTO tombstones (institution, platform, message_key, deleted_at)
SELECT DISTINCT m.institution, m.platform, m.message_key, assumeNotNull(a.deleted_at)
FROM
(
    SELECT institution, platform, message_key, toFixedString(substring(SHA256(author_key), 1, 16), 16) AS author_mark FROM message_facts
    UNION ALL
    SELECT institution, platform, message_key, author_mark FROM message_bodies
) AS m
INNER JOIN (SELECT institution, platform, subject_key, deleted_at FROM int_concealed WHERE subject = 'author' AND deleted_at IS NOT NULL) AS a
    ON a.institution = m.institution AND a.platform = m.platform AND a.subject_key = m.author_mark
