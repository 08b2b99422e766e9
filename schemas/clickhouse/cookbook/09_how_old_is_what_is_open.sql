-- How old are the requests that are still open?
-- Age at the last instant that was read: n requests, and their share of those shown; ages of under five authors are left out.
SELECT
    multiIf(wait_s < 86400, 'under a day', wait_s < 3 * 86400, '1 to 3 days', wait_s < 7 * 86400, '3 to 7 days',
        wait_s < 14 * 86400, '1 to 2 weeks', wait_s < 28 * 86400, '2 to 4 weeks', 'over 4 weeks') AS age,
    count() AS n,
    round(n / sum(n) OVER (), 3) AS share
FROM requests
WHERE institution = {institution:String} AND asked_at >= {from:DateTime64(3, 'UTC')} AND asked_at < {to:DateTime64(3, 'UTC')} AND outcome = 'open'
GROUP BY age
HAVING uniqExactIf(author_key, author_key != '') >= 5
ORDER BY min(wait_s)
