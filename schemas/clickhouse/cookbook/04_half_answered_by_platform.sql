-- How long until half were answered, by platform?
-- median_h is Kaplan and Meier's: who still waits counts as waiting at least so long. NULL: half have not been answered. Do not compare platforms with n under 30.
WITH
    asked AS
    (
        SELECT platform, outcome, wait_s, author_key
        FROM requests
        WHERE institution = {institution:String} AND asked_at >= {from:DateTime64(3, 'UTC')} AND asked_at < {to:DateTime64(3, 'UTC')}
    ),
    waits AS
    (
        SELECT platform, wait_s, count() AS ended, countIf(outcome = 'replied') AS replied
        FROM asked
        GROUP BY platform, wait_s
    ),
    at_risk AS
    (
        SELECT *, sum(ended) OVER (PARTITION BY platform ORDER BY wait_s DESC) AS waiting
        FROM waits
    ),
    survival AS
    (
        SELECT *, exp(sum(log(1 - replied / waiting)) OVER (PARTITION BY platform ORDER BY wait_s)) AS unanswered
        FROM at_risk
    )
SELECT
    a.platform AS platform,
    a.n AS n,
    a.open AS open,
    s.median_h AS median_h
FROM
(
    SELECT platform, count() AS n, countIf(outcome = 'open') AS open
    FROM asked
    GROUP BY platform
    HAVING uniqExactIf(author_key, author_key != '') >= 5
) AS a
INNER JOIN
(
    SELECT platform, round(minOrNullIf(wait_s, round(unanswered, 9) <= 0.5) / 3600, 1) AS median_h
    FROM survival
    GROUP BY platform
) AS s ON s.platform = a.platform
ORDER BY platform
