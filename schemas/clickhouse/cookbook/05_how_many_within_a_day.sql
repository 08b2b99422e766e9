-- How many are answered within an hour, a day, three days?
-- rate: of the n requests that are older than the window, the unanswered included; lo and hi are its 95 % interval.
SELECT hours, n, answered, round(rate, 3) AS rate, round(lo, 3) AS lo, round(hi, 3) AS hi
FROM
(
    SELECT 1 AS hours, *
    FROM metric_response_rate(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')}, window_s = 3600)
    UNION ALL
    SELECT 24 AS hours, *
    FROM metric_response_rate(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')}, window_s = 86400)
    UNION ALL
    SELECT 72 AS hours, *
    FROM metric_response_rate(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')}, window_s = 259200)
)
ORDER BY hours
