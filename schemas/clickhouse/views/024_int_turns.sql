-- A reply to two authors is one reply, and speaks to each of them: so each message is one row for itself and one for every author it has to do with.
CREATE OR REPLACE VIEW int_turns AS
SELECT
    platform,
    thread,
    message_id,
    created_at,
    role = 'reply' AS is_reply,
    part.1 AS is_message,
    part.2 AS author
FROM int_messages(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
ARRAY JOIN arrayPushFront(arrayMap(a -> (false, a), if(role = 'reply', addresses, [author_key])), (true, '')) AS part
WHERE institution = {institution:String} AND deleted_at IS NULL AND role IN ('reply', 'addressed')
COMMENT 'Internal. The exchange of one institution and period: for every addressed message and every human reply one row with is_message (author empty), and one per author: who wrote the addressed message, or each author that the reply speaks to.'
