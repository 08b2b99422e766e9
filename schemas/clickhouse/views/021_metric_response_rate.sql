CREATE OR REPLACE VIEW metric_response_rate AS
WITH
    1.959964 AS z,
    n + z * z AS n_z,
    z * sqrt(answered * (n - answered) / nullIf(n, 0) + z * z / 4) / n_z AS half
SELECT
    countIf(matured) + throwIf(NOT ({window_s:Float64} > 0 AND {window_s:Float64} < 1e11), 'window_s has to be a number of seconds above 0') AS n,
    countIf(matured AND outcome = 'replied' AND wait_s <= {window_s:Float64}) AS answered,
    answered / nullIf(n, 0) AS rate,
    if(n = 0, NULL, greatest(0, (answered + z * z / 2) / n_z - half)) AS lo,
    if(n = 0, NULL, least(1, (answered + z * z / 2) / n_z + half)) AS hi
FROM
(
    SELECT
        outcome,
        wait_s,
        observed_s >= {window_s:Float64} AND NOT (outcome = 'deleted' AND wait_s <= {window_s:Float64}) AS matured
    FROM int_requests(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
    WHERE institution = {institution:String}
)
COMMENT 'M2. Of the requests that are at least window_s seconds old, the share that was answered within window_s seconds of being asked. Requests deleted unanswered before that are left out. lo and hi: Wilson 95 % interval. Parameters: institution, from, to, window_s (86400 is a day; 0 or less is refused). One row; rate, lo and hi are NULL when n is 0. Do not rank on n under 30.'
