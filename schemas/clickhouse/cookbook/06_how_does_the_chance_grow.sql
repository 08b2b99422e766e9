-- How does the chance of an answer grow with the time waited?
-- answered: the chance of an answer by then, where withdrawing competes; unanswered: the share still waiting if nobody withdrew, with its 95 % interval. n: all requests.
WITH [1, 3, 6, 12, 24, 48, 72, 120, 168, 336] AS marks
SELECT
    mark AS hours,
    round(argMax(incidence, t_s), 3) AS answered,
    round(argMax(survival, t_s), 3) AS unanswered,
    round(argMax(tuple(lo), t_s).1, 3) AS lo,
    round(argMax(tuple(hi), t_s).1, 3) AS hi,
    any(n) AS n
FROM curve_wait(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
ARRAY JOIN marks AS mark
WHERE t_s <= mark * 3600
GROUP BY mark
ORDER BY hours
