-- Kaplan-Meier (deleted and open are censored) and Aalen-Johansen (deleted competes, open is censored) as window functions over the distinct waits, for two clocks
-- in one pass. A product is exp(sum(log)), except where a factor is 0: log has no value there, and nothing survives from then on.
-- at_risk counts everyone who waited at least t, so that at a tie events come before censorings.
CREATE OR REPLACE VIEW int_survival AS
SELECT
    clock,
    t,
    ended,
    replied,
    deleted,
    at_risk,
    if(max(replied = at_risk) OVER upto, 0, exp(sum(if(replied = at_risk, 0, log1p(-replied / at_risk))) OVER upto)) AS unanswered,
    if(max(replied + deleted = at_risk) OVER before, 0, exp(sum(if(replied + deleted = at_risk, 0, log1p(-(replied + deleted) / at_risk))) OVER before)) AS waiting_before,
    leadInFrame(t, 1, inf) OVER (PARTITION BY clock ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next_t
FROM
(
    SELECT
        *,
        sum(ended) OVER (PARTITION BY clock ORDER BY t DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS at_risk
    FROM
    (
        SELECT
            clocked.1 AS clock,
            clocked.2 AS t,
            count() AS ended,
            countIf(outcome = 'replied') AS replied,
            countIf(outcome = 'deleted') AS deleted
        FROM
        (
            SELECT
                outcome,
                arrayJoin(if(business_wait_s IS NULL,
                    [('wall', wait_s)],
                    [('wall', wait_s), (if(outcome = 'replied' AND business_wait_s = 0, 'out_of_hours', 'business'), assumeNotNull(business_wait_s))])) AS clocked
            FROM int_requests(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
            WHERE institution = {institution:String}
        )
        GROUP BY clock, t
    )
)
WINDOW
    upto AS (PARTITION BY clock ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
    before AS (PARTITION BY clock ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
COMMENT 'Internal. The survival table of a period''s requests: a row per clock (wall, business, out_of_hours) and distinct wait t in seconds. ended = replied + deleted + open at t; at_risk: those that waited at least t; unanswered: Kaplan-Meier after t; waiting_before: the chance of neither reply nor deletion before t; next_t: the following wait, infinity for the last.'
