-- One pass: by (thread, author) for who was answered and came back, and by thread (the rows with own_turn) for the turns; then both per thread.
CREATE OR REPLACE VIEW metric_dialogue AS
SELECT
    count() AS threads,
    countIf(came_back) AS looped,
    looped / nullIf(threads, 0) AS loop_rate,
    quantileExactInclusiveOrNull(0.5)(turns) AS depth_p50,
    quantileExactInclusiveOrNull(0.9)(turns) AS depth_p90,
    threads AS n
FROM
(
    SELECT
        max(is_answered) AS answered,
        max(is_looped) AS came_back,
        max(turn_count) AS turns
    FROM
    (
        SELECT
            platform,
            thread,
            part.1 AS own_turn,
            part.2 AS author,
            minIf(created_at, NOT own_turn AND role = 'addressed') AS first_in,
            maxIf(created_at, NOT own_turn AND role = 'addressed') AS last_in,
            countIf(NOT own_turn AND role = 'addressed') > 0 AS wrote,
            groupArrayIf(created_at, NOT own_turn AND role = 'reply') AS reply_times,
            arrayMap(x -> x.3, arraySort(groupArrayIf((created_at, message_id, role), own_turn))) AS sides,
            wrote AND arrayExists(r -> r >= first_in, reply_times) AS is_answered,
            wrote AND arrayExists(r -> r >= first_in AND r < last_in, reply_times) AS is_looped,
            if(empty(sides), 0, 1 + arrayCount((x, y) -> x != y, arrayPopBack(sides), arrayPopFront(sides))) AS turn_count
        FROM int_messages(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
        ARRAY JOIN arrayPushFront(arrayMap(a -> (false, a), authors), (true, '')) AS part
        WHERE institution = {institution:String} AND deleted_at IS NULL AND role IN ('reply', 'addressed')
        GROUP BY platform, thread, own_turn, author
    )
    GROUP BY platform, thread
    HAVING answered
)
COMMENT 'M12. Of the threads in which somebody wrote and got a human reply (threads), those in which that person wrote again after it (looped), and loop_rate = looped / threads. depth_p50, depth_p90: how many turns such threads have; messages in a row from the same side are one turn. Parameters: institution, from, to. One row; NULL without threads.'
