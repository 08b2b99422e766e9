-- curve_wait on the other clock; see there. Answers to which no working time passed are left out, as in metric_wait.
-- at_risk counts everyone who waited at least t, so that at a tie events come before censorings. Products are exp(sum(log)), except where a factor is 0.
-- lo and hi: Greenwood's variance on the scale of log(-log S), S^exp(+-z se / |log S|), which stays within 0 and 1; it has no value where S is 1 or 0.
-- Every request adds an empty row at 0, so that the curve begins there.
CREATE OR REPLACE VIEW curve_business_wait AS
WITH
    waits AS
    (
        SELECT
            point.1 AS t,
            sum(point.2) AS ended,
            sum(point.3) AS d_replied,
            sum(point.4) AS d_deleted
        FROM
        (
            SELECT arrayJoin([(0., 0, 0, 0), (assumeNotNull(business_wait_s), 1, toUInt8(outcome = 'replied'), toUInt8(outcome = 'deleted'))]) AS point
            FROM int_waits(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
            WHERE institution = {institution:String}
                AND business_wait_s IS NOT NULL AND NOT (outcome = 'replied' AND business_wait_s = 0)
        )
        GROUP BY t
    ),
    risks AS
    (
        SELECT *, sum(ended) OVER (ORDER BY t DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS waiting
        FROM waits
    ),
    curves AS
    (
        SELECT
            *,
            max(d_replied > 0) OVER upto AS fell,
            if(max(d_replied = waiting) OVER upto, 0,
                exp(sum(if(d_replied = waiting, 0, log1p(-d_replied / waiting))) OVER upto)) AS unanswered,
            if(max(d_replied + d_deleted = waiting) OVER before, 0,
                exp(sum(if(d_replied + d_deleted = waiting, 0, log1p(-(d_replied + d_deleted) / waiting))) OVER before)) AS waiting_before,
            sum(if(d_replied = waiting, 0, d_replied / (waiting * (waiting - d_replied)))) OVER upto AS greenwood
        FROM risks
        WINDOW
            upto AS (ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
            before AS (ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ),
    drawn AS
    (
        SELECT
            *,
            sum(waiting_before * d_replied / waiting) OVER (ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS answered,
            fell AND unanswered > 0 AS has_interval,
            if(has_interval, 1.959964 * sqrt(greenwood) / -log(unanswered), 0) AS width,
            max(waiting) OVER (ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS n
        FROM curves
    )
SELECT
    t AS t_s,
    unanswered AS survival,
    answered AS incidence,
    waiting AS at_risk,
    if(has_interval, exp(log(unanswered) * exp(width)), NULL) AS lo,
    if(has_interval, exp(log(unanswered) * exp(-width)), NULL) AS hi,
    n
FROM drawn
ORDER BY t_s
COMMENT 'The wait in working hours: curve_wait with working seconds in the place of seconds. Requests that were answered without any working time passing, and those without a calendar, are left out. Columns and parameters as curve_wait. In METRICS.md: M2b, M4.'
