-- Where a platform does not name the author of the message that is answered, views look for that message. Before it is erased, those who answer it learn whose it was,
-- as a newer version of their row: otherwise a reply would speak to nobody any more, and what it answered would be open again.
INSERT INTO message_facts
SELECT f.* REPLACE (
    if(f.parent_author_key = '', p.author_key, f.parent_author_key) AS parent_author_key,
    if(f.parent_is_account = 'unknown', p.is_account, f.parent_is_account) AS parent_is_account,
    f.version + 1 AS version)
FROM
(
    SELECT * FROM message_facts FINAL
    WHERE institution = {institution:String} AND parent_id != '' AND (parent_author_key = '' OR parent_is_account = 'unknown')
) AS f
INNER JOIN
(
    SELECT platform, message_id, argMax(message_facts.author_key, version) AS author_key,
        CAST(if(argMax(direction, version) = 'outbound', 'yes', 'no'), 'Enum8(\'unknown\' = 0, \'no\' = 1, \'yes\' = 2)') AS is_account
    FROM message_facts
    WHERE institution = {institution:String} AND (platform, message_key) IN (SELECT platform, message_key FROM tombstones WHERE institution = {institution:String})
    GROUP BY platform, message_id
) AS p ON p.platform = f.platform AND p.message_id = f.parent_id
