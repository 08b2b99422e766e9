-- Of several changes of one subject the latest counts, of two at one instant the stricter; a deletion beats all.
CREATE OR REPLACE VIEW int_concealed AS
SELECT
    institution,
    platform,
    subject,
    subject_key,
    CAST(minIf(toNullable(at), state = 'deleted'), 'Nullable(DateTime64(3, \'UTC\'))') AS deleted_at
FROM visibility_changes
GROUP BY institution, platform, subject, subject_key
HAVING countIf(state = 'deleted') > 0 OR argMax(state, (at, state)) = 'hidden'
COMMENT 'Internal. The messages and authors that may not be shown. deleted_at is NULL for those that are hidden and may be shown again; for an author it is the earliest deletion. subject_key: the message_key, or the first 16 bytes of SHA-256(author_key).'
