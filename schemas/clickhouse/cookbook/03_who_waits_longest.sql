-- Who waits longest?
-- By what the request is about, the longest first: half were answered within median_h, NULL if half have not been; n requests, the open ones included.
-- Groups of under five authors are left out, a request with two tags counts under both, and no person is named or ranked.
WITH
    asked AS
    (
        SELECT
            arrayJoin(if(empty(m.risk_tags), ['none'], m.risk_tags)) AS about,
            q.author_key AS author_key,
            q.outcome AS outcome,
            q.wait_s AS wait_s
        FROM requests AS q
        INNER JOIN messages AS m ON m.institution = q.institution AND m.platform = q.platform AND m.message_id = q.request_id
        WHERE q.institution = {institution:String} AND q.asked_at >= {from:DateTime64(3, 'UTC')} AND q.asked_at < {to:DateTime64(3, 'UTC')} AND m.institution = {institution:String}
    ),
    waits AS
    (
        SELECT about, wait_s, count() AS ended, countIf(outcome = 'replied') AS replied
        FROM asked
        GROUP BY about, wait_s
    ),
    at_risk AS
    (
        SELECT *, sum(ended) OVER (PARTITION BY about ORDER BY wait_s DESC) AS waiting
        FROM waits
    ),
    survival AS
    (
        SELECT *, exp(sum(log(1 - replied / waiting)) OVER (PARTITION BY about ORDER BY wait_s)) AS unanswered
        FROM at_risk
    )
SELECT
    a.about AS about,
    a.n AS n,
    a.open AS open,
    s.median_h AS median_h
FROM
(
    SELECT about, count() AS n, countIf(outcome = 'open') AS open
    FROM asked
    GROUP BY about
    HAVING uniqExact(author_key) >= 5
) AS a
INNER JOIN
(
    SELECT about, round(minOrNullIf(wait_s, round(unanswered, 9) <= 0.5) / 3600, 1) AS median_h
    FROM survival
    GROUP BY about
) AS s ON s.about = a.about
ORDER BY median_h DESC NULLS FIRST, about
LIMIT 20
