-- How many give up and delete their question?
-- withdrawn: deleted by its author before an answer, with the median time until then. A withdrawn question is neither answered nor open, and names its author no more:
-- one to four withdrawn ones are NULL. Platforms with under five authors are left out.
SELECT
    platform,
    count() AS n,
    if(countIf(outcome = 'deleted') BETWEEN 1 AND 4, NULL, countIf(outcome = 'deleted')) AS withdrawn,
    round(withdrawn / n, 3) AS share,
    if(withdrawn IS NULL, NULL, round(quantileExactInclusiveOrNullIf(0.5)(wait_s, outcome = 'deleted') / 3600, 1)) AS median_h
FROM requests
WHERE institution = {institution:String} AND asked_at >= {from:DateTime64(3, 'UTC')} AND asked_at < {to:DateTime64(3, 'UTC')}
GROUP BY platform
HAVING uniqExactIf(author_key, author_key != '') >= 5
ORDER BY platform
