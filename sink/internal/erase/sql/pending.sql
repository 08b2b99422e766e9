-- The deleted messages of which something is still in the tables, or is there again.
SELECT DISTINCT institution, concat(institution, '/', platform, '/', hex(message_key)) AS subject
FROM
(
    SELECT institution, platform, message_key FROM message_facts
    WHERE (institution, platform, message_key) IN (SELECT institution, platform, message_key FROM tombstones)
    UNION ALL
    SELECT institution, platform, message_key FROM message_bodies
    WHERE (institution, platform, message_key) IN (SELECT institution, platform, message_key FROM tombstones)
    UNION ALL
    SELECT institution, platform, message_key FROM message_labels
    WHERE (institution, platform, message_key) IN (SELECT institution, platform, message_key FROM tombstones)
)
ORDER BY institution, subject
