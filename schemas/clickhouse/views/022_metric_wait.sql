-- Kaplan-Meier (deleted and open are censored) and Aalen-Johansen (deleted competes, open is censored) as window functions over the distinct waits, for two clocks
-- in one pass, and for the requests that follow a reply by themselves: wall time, and working time, from which answers that took no working time are set apart. at_risk counts everyone who waited at least t, so that at
-- a tie events come before censorings. A product is exp(sum(log)), except where a factor is 0: log has no value there, and nothing survives from then on.
-- The comparison with one half allows for the rounding of logarithms: a survival of exactly one half has to count as reached.
CREATE OR REPLACE VIEW metric_wait AS
WITH
    (SELECT count() > 0 FROM business_spans WHERE (calendar, utc_offset_s) IN (
        SELECT calendar, utc_offset_s FROM institution_settings FINAL WHERE institution = {institution:String})) AS has_calendar,
    waits AS
    (
        SELECT
            clocked.1 AS clock,
            clocked.2 AS t,
            count() AS ended,
            countIf(outcome = 'replied') AS d_replied,
            countIf(outcome = 'deleted') AS d_deleted
        FROM
        (
            SELECT
                outcome,
                arrayJoin(arrayFilter(x -> x.1 != '', [
                    ('wall', wait_s),
                    (if(follows_reply, 'follow_up', ''), wait_s),
                    (multiIf(business_wait_s IS NULL, '', outcome = 'replied' AND business_wait_s = 0, 'out_of_hours', 'business'), ifNull(business_wait_s, 0)),
                    (if(follows_reply AND business_wait_s IS NOT NULL AND NOT (outcome = 'replied' AND business_wait_s = 0), 'business_follow_up', ''), ifNull(business_wait_s, 0))])) AS clocked
            FROM int_waits(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
            WHERE institution = {institution:String}
        )
        GROUP BY clock, t
    ),
    risks AS
    (
        SELECT *, sum(ended) OVER (PARTITION BY clock ORDER BY t DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS at_risk
        FROM waits
    ),
    curves AS
    (
        SELECT
            *,
            if(max(d_replied = at_risk) OVER upto, 0,
                exp(sum(if(d_replied = at_risk, 0, log1p(-d_replied / at_risk))) OVER upto)) AS unanswered,
            if(max(d_replied + d_deleted = at_risk) OVER before, 0,
                exp(sum(if(d_replied + d_deleted = at_risk, 0, log1p(-(d_replied + d_deleted) / at_risk))) OVER before)) AS waiting_before,
            leadInFrame(t, 1, inf) OVER (PARTITION BY clock ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next_t
        FROM risks
        WINDOW
            upto AS (PARTITION BY clock ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
            before AS (PARTITION BY clock ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ),
    figures AS
    (
        SELECT
            clock,
            toNullable(sum(ended)) AS asked,
            toNullable(sum(d_replied)) AS answered,
            toNullable(sum(d_deleted)) AS gone,
            minOrNullIf(t, unanswered <= 0.5 + 1e-12) AS median_s,
            toNullable(least(min(t), 604800) + sum(unanswered * (least(next_t, 604800) - least(t, 604800)))) AS mean_7d_s,
            toNullable(sumIf(waiting_before * d_replied / at_risk, t <= 3600)) AS within_1h,
            toNullable(sumIf(waiting_before * d_replied / at_risk, t <= 86400)) AS within_24h,
            toNullable(sumIf(waiting_before * d_replied / at_risk, t <= 259200)) AS within_72h,
            if(sum(d_replied) = 0, NULL, quantileExactInclusiveArray(0.5)(arrayWithConstant(d_replied, t))) AS p50_s,
            if(sum(d_replied) = 0, NULL, quantileExactInclusiveArray(0.9)(arrayWithConstant(d_replied, t))) AS p90_s
        FROM curves
        GROUP BY clock
    )
SELECT
    toUInt64(ifNull(anyIf(asked, clock = 'wall'), 0)) AS n,
    toUInt64(ifNull(anyIf(answered, clock = 'wall'), 0)) AS replied,
    toUInt64(ifNull(anyIf(gone, clock = 'wall'), 0)) AS deleted,
    toUInt64(n - replied - deleted) AS open,
    anyIf(median_s, clock = 'wall') AS km_median_s,
    anyIf(mean_7d_s, clock = 'wall') AS rmst_7d_s,
    anyIf(within_1h, clock = 'wall') AS incidence_1h,
    anyIf(within_24h, clock = 'wall') AS incidence_24h,
    anyIf(within_72h, clock = 'wall') AS incidence_72h,
    anyIf(p50_s, clock = 'wall') AS answered_p50_s,
    anyIf(p90_s, clock = 'wall') AS answered_p90_s,
    if(has_calendar, ifNull(anyIf(asked, clock = 'business'), 0), NULL) AS b_n,
    if(has_calendar, ifNull(anyIf(answered, clock = 'business'), 0), NULL) AS b_replied,
    if(has_calendar, ifNull(anyIf(gone, clock = 'business'), 0), NULL) AS b_deleted,
    toUInt64(b_n - b_replied - b_deleted) AS b_open,
    anyIf(median_s, clock = 'business') AS b_km_median_s,
    anyIf(mean_7d_s, clock = 'business') AS b_rmst_7d_s,
    anyIf(within_1h, clock = 'business') AS b_incidence_1h,
    anyIf(within_24h, clock = 'business') AS b_incidence_24h,
    anyIf(within_72h, clock = 'business') AS b_incidence_72h,
    anyIf(p50_s, clock = 'business') AS b_answered_p50_s,
    anyIf(p90_s, clock = 'business') AS b_answered_p90_s,
    if(has_calendar, ifNull(anyIf(asked, clock = 'out_of_hours'), 0), NULL) AS b_out_of_hours,
    toUInt64(ifNull(anyIf(asked, clock = 'follow_up'), 0)) AS follow_up_n,
    toUInt64(ifNull(anyIf(answered, clock = 'follow_up'), 0)) AS follow_up_replied,
    anyIf(median_s, clock = 'follow_up') AS follow_up_km_median_s,
    anyIf(mean_7d_s, clock = 'follow_up') AS follow_up_rmst_7d_s,
    if(has_calendar, ifNull(anyIf(asked, clock = 'business_follow_up'), 0), NULL) AS b_follow_up_n,
    anyIf(median_s, clock = 'business_follow_up') AS b_follow_up_km_median_s,
    anyIf(mean_7d_s, clock = 'business_follow_up') AS b_follow_up_rmst_7d_s
FROM figures
COMMENT 'How long the public waits for an answer, the unanswered included. n requests were asked in the period: replied, deleted (by their author, unanswered) or open. km_median_s: Kaplan-Meier median wait, NULL if not reached. rmst_7d_s: mean wait, each counted up to 7 days; the figure to rank by, lower is better. incidence_1h, _24h, _72h: chance of an answer within that time (Aalen-Johansen). answered_p50_s and answered_p90_s: waits of the answered only; never show them without a response rate. b_*: the same on a clock that runs in working hours only (so 24 h are over three working days and 7 d over four weeks), NULL without a calendar; b_out_of_hours counts answers to which no working time passed, they are left out of the other b_ figures. follow_up_*: the same for the requests of somebody who had got a reply in the thread already (M7). Parameters: institution, from, to. One row, seconds. In METRICS.md: M2b, M4-M7.'
