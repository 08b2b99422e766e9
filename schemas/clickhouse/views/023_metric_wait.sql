-- The comparison with one half allows for the rounding of logarithms: a survival of exactly one half has to count as reached.
CREATE OR REPLACE VIEW metric_wait AS
WITH
    (SELECT count() > 0 FROM business_spans WHERE (calendar, utc_offset_s) IN (
        SELECT calendar, utc_offset_s FROM institution_settings FINAL WHERE institution = {institution:String})) AS has_calendar
SELECT
    toUInt64(ifNull(anyIf(c.n, clock = 'wall'), 0)) AS n,
    toUInt64(ifNull(anyIf(c.replied, clock = 'wall'), 0)) AS replied,
    toUInt64(ifNull(anyIf(c.deleted, clock = 'wall'), 0)) AS deleted,
    toUInt64(n - replied - deleted) AS open,
    anyIf(c.km_median_s, clock = 'wall') AS km_median_s,
    anyIf(c.rmst_7d_s, clock = 'wall') AS rmst_7d_s,
    anyIf(c.incidence_1h, clock = 'wall') AS incidence_1h,
    anyIf(c.incidence_24h, clock = 'wall') AS incidence_24h,
    anyIf(c.incidence_72h, clock = 'wall') AS incidence_72h,
    anyIf(c.answered_p50_s, clock = 'wall') AS answered_p50_s,
    anyIf(c.answered_p90_s, clock = 'wall') AS answered_p90_s,
    if(has_calendar, ifNull(anyIf(c.n, clock = 'business'), 0), NULL) AS b_n,
    if(has_calendar, ifNull(anyIf(c.replied, clock = 'business'), 0), NULL) AS b_replied,
    if(has_calendar, ifNull(anyIf(c.deleted, clock = 'business'), 0), NULL) AS b_deleted,
    toUInt64(b_n - b_replied - b_deleted) AS b_open,
    anyIf(c.km_median_s, clock = 'business') AS b_km_median_s,
    anyIf(c.rmst_7d_s, clock = 'business') AS b_rmst_7d_s,
    anyIf(c.incidence_1h, clock = 'business') AS b_incidence_1h,
    anyIf(c.incidence_24h, clock = 'business') AS b_incidence_24h,
    anyIf(c.incidence_72h, clock = 'business') AS b_incidence_72h,
    anyIf(c.answered_p50_s, clock = 'business') AS b_answered_p50_s,
    anyIf(c.answered_p90_s, clock = 'business') AS b_answered_p90_s,
    if(has_calendar, ifNull(anyIf(c.n, clock = 'out_of_hours'), 0), NULL) AS b_out_of_hours
FROM
(
    SELECT
        clock,
        toNullable(sum(ended)) AS n,
        toNullable(sum(s.replied)) AS replied,
        toNullable(sum(s.deleted)) AS deleted,
        minOrNullIf(t, unanswered <= 0.5 + 1e-12) AS km_median_s,
        toNullable(least(min(t), 604800) + sum(unanswered * (least(next_t, 604800) - least(t, 604800)))) AS rmst_7d_s,
        toNullable(sumIf(waiting_before * s.replied / at_risk, t <= 3600)) AS incidence_1h,
        toNullable(sumIf(waiting_before * s.replied / at_risk, t <= 86400)) AS incidence_24h,
        toNullable(sumIf(waiting_before * s.replied / at_risk, t <= 259200)) AS incidence_72h,
        quantileExactInclusiveArrayOrNull(0.5)(arrayWithConstant(s.replied, t)) AS answered_p50_s,
        quantileExactInclusiveArrayOrNull(0.9)(arrayWithConstant(s.replied, t)) AS answered_p90_s
    FROM int_survival(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')}) AS s
    GROUP BY clock
) AS c
COMMENT 'M2b, M4, M5, M6. How long the public waits for an answer, the unanswered included. n requests were asked in the period: replied, deleted (by their author, unanswered) or open. km_median_s: Kaplan-Meier median wait, NULL if not reached. rmst_7d_s: mean wait, each counted up to 7 days; the figure to rank by, lower is better. incidence_1h, _24h, _72h: chance of an answer within that time (Aalen-Johansen). answered_p50_s and answered_p90_s: waits of the answered only; never show them without a response rate. b_*: the same in working hours, NULL without a calendar; b_out_of_hours counts answers to which no working time passed, they are left out of the other b_ figures. Parameters: institution, from, to. One row, seconds.'
