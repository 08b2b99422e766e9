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
        max(wrote AND arrayExists(r -> r >= first_in, reply_times)) AS answered,
        max(wrote AND arrayExists(r -> r >= first_in AND r < last_in, reply_times)) AS came_back,
        max(if(empty(sides), 0, 1 + arrayCount((x, y) -> x != y, arrayPopBack(sides), arrayPopFront(sides)))) AS turns
    FROM
    (
        SELECT
            platform,
            thread,
            part.1 AS own_turn,
            part.2 AS author,
            countIf(NOT part.1 AND role = 'addressed') > 0 AS wrote,
            minIf(created_at, NOT part.1 AND role = 'addressed') AS first_in,
            maxIf(created_at, NOT part.1 AND role = 'addressed') AS last_in,
            groupArrayIf(created_at, NOT part.1 AND role = 'reply') AS reply_times,
            arrayMap(x -> x.3, arraySort(groupArrayIf((created_at, message_id, role), part.1))) AS sides
        FROM int_messages
        ARRAY JOIN arrayPushFront(arrayMap(a -> (false, a), authors), (true, '')) AS part
        WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')}
            AND deleted_at IS NULL AND role IN ('reply', 'addressed')
        GROUP BY platform, thread, own_turn, author
    )
    GROUP BY platform, thread
    HAVING answered
)
COMMENT 'Of the threads in which somebody wrote and got a human reply (threads), those in which that person wrote again after it (looped), and loop_rate = looped / threads. depth_p50, depth_p90: how many turns such threads have; messages in a row from the same side are one turn. Parameters: institution, from, to. One row; NULL without threads. In METRICS.md: M12.'
