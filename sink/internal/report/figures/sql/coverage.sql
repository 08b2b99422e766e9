-- The share of the period that each connector read completely; stretches that overlap count once. A connector that read shortly before the period is
-- listed even where it read nothing in it: a dead connector must not look like a silent institution.
SELECT
    toString(connector) AS connector,
    sum(if(complete, greatest(0, dateDiff('millisecond', s, e)), 0)) / dateDiff('millisecond', {from:DateTime64(3, 'UTC')}, {to:DateTime64(3, 'UTC')}) AS coverage,
    maxOrNullIf(until, complete AND until > {from:DateTime64(3, 'UTC')}) AS now_obs
FROM
(
    SELECT
        connector,
        status = 'complete' AS complete,
        until,
        least(until, {to:DateTime64(3, 'UTC')}) AS e,
        greatest(
            since,
            {from:DateTime64(3, 'UTC')},
            max(until) OVER (PARTITION BY connector, status ORDER BY since, until ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS s
    FROM coverage
    WHERE institution = {institution:String} AND since < {to:DateTime64(3, 'UTC')} AND until > {seen_from:DateTime64(3, 'UTC')}
)
GROUP BY connector
ORDER BY connector
