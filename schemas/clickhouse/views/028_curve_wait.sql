-- The estimators of metric_wait, a row per distinct wait, to be drawn as steps.
-- at_risk counts everyone who waited at least t, so that at a tie events come before censorings. Products are exp(sum(log)), except where a factor is 0.
-- lo and hi: Greenwood's variance on the scale of log(-log S), S^exp(+-z se / |log S|), which stays within 0 and 1; it has no value where S is 1 or 0.
-- Every request adds an empty row at 0, so that the curve begins there.
CREATE OR REPLACE VIEW curve_wait AS
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
            SELECT arrayJoin([(0., 0, 0, 0), (wait_s, 1, toUInt8(outcome = 'replied'), toUInt8(outcome = 'deleted'))]) AS point
            FROM int_requests(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
            WHERE institution = {institution:String}
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
COMMENT 'How the wait for an answer goes, to be drawn: a row per distinct time t_s (seconds since asking) at which something became of a request, and one at 0. survival: the share still without an answer after t_s, the unanswered included (Kaplan-Meier), with a 95 % interval lo..hi (Greenwood, log-log; NULL where it is 1 or 0). incidence: the chance of an answer by t_s, where deleting competes (Aalen-Johansen). at_risk: requests still waiting at t_s. n: all requests of the period. Each value holds until the next row. Parameters: institution, from, to. No rows without requests. In METRICS.md: M2b, M4.'
