-- Which hour do people ask, and does it matter?
-- Local hours, two at a time. answered_24h: of the requests at least a day old (n_day_old; withdrawn within the day left out), the share answered within a day.
-- Hours with under five authors are left out.
WITH
    (SELECT any(utc_offset_s) FROM institution_settings FINAL WHERE institution = {institution:String}) AS offset_s,
    (
        SELECT min(read)
        FROM
        (
            SELECT max(until) AS read
            FROM coverage
            WHERE institution = {institution:String} AND status = 'complete'
            GROUP BY connector
        )
    ) AS read_to
SELECT
    intDiv(toHour(asked_at + toIntervalSecond(offset_s)), 2) * 2 AS from_hour,
    count() AS n,
    round(n / sum(n) OVER (), 3) AS share,
    countIf(asked_at <= read_to - toIntervalDay(1) AND NOT (outcome = 'deleted' AND wait_s <= 86400)) AS n_day_old,
    round(countIf(asked_at <= read_to - toIntervalDay(1) AND outcome = 'replied' AND wait_s <= 86400) / nullIf(n_day_old, 0), 3) AS answered_24h
FROM requests
WHERE institution = {institution:String} AND asked_at >= {from:DateTime64(3, 'UTC')} AND asked_at < {to:DateTime64(3, 'UTC')}
GROUP BY from_hour
HAVING uniqExactIf(author_key, author_key != '') >= 5
ORDER BY from_hour
