-- Wilson: (k + z^2/2 +- z sqrt(k (n - k) / n + z^2/4)) / (n + z^2)
CREATE OR REPLACE VIEW metric_response_rate AS
WITH
    (SELECT {window_s:Float64} + throwIf(NOT ({window_s:Float64} > 0 AND {window_s:Float64} < 1e11), 'window_s has to be a number of seconds above 0')) AS w
SELECT
    asked AS n,
    in_time AS answered,
    in_time / nullIf(asked, 0) AS rate,
    if(asked = 0, NULL, greatest(0, middle - half)) AS lo,
    if(asked = 0, NULL, least(1, middle + half)) AS hi
FROM
(
    SELECT
        *,
        1.959964 AS z,
        (in_time + z * z / 2) / (asked + z * z) AS middle,
        z * sqrt(in_time * (asked - in_time) / greatest(asked, 1) + z * z / 4) / (asked + z * z) AS half
    FROM
    (
        SELECT
            countIf(matured) AS asked,
            countIf(matured AND outcome = 'replied' AND wait_s <= w) AS in_time
        FROM
        (
            SELECT
                outcome,
                wait_s,
                observed_s >= w AND NOT (outcome = 'deleted' AND wait_s <= w) AS matured
            FROM int_requests(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
            WHERE institution = {institution:String}
        )
    )
)
COMMENT 'Of the requests that are at least window_s seconds old, the share that was answered within window_s seconds of being asked. Requests deleted unanswered before that are left out. lo and hi: Wilson 95 % interval. Parameters: institution, from, to, window_s (86400 is a day; 0 or less is refused). One row; rate, lo and hi are NULL when n is 0. Do not rank on n under 30. In METRICS.md: M2.'
