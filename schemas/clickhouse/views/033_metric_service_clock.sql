-- Due times are those of metric_response_rate_working for clocks in working days, and the plain time for clocks in days. A row per clock in force, with or without requests.
CREATE OR REPLACE VIEW metric_service_clock AS
WITH
    (SELECT ifNull(anyOrNull(utc_offset_s), 0) FROM institution_settings FINAL WHERE institution = {institution:String}) AS offset_s,
    (
        SELECT arraySort(groupUniqArray(toInt32(toDate32(s + toIntervalSecond(utc_offset_s)))))
        FROM business_spans
        WHERE s < e AND (calendar, utc_offset_s) IN (SELECT calendar, utc_offset_s FROM institution_settings FINAL WHERE institution = {institution:String})
    ) AS working_days,
    (SELECT arrayFlatten(arrayMap((days, place) -> arrayWithConstant(days, place), arrayDifference(working_days), arrayEnumerate(working_days)))) AS next_working_day,
    (
        SELECT arrayFilter(c -> c.2 > 0, groupArray((clock, rule.1, rule.2, rule.3)))
        FROM
        (
            SELECT clock, argMax((service_clocks.days, toString(service_clocks.unit), service_clocks.tags), (service_clocks.institution != '', service_clocks.valid_from, service_clocks.set_at)) AS rule
            FROM service_clocks
            WHERE institution IN ('', {institution:String}) AND valid_from <= toDate32({from:DateTime64(3, 'UTC')})
            GROUP BY clock
        )
    ) AS clocks
SELECT
    clock,
    days,
    unit,
    asked AS n,
    in_time AS answered,
    in_time / nullIf(asked, 0) AS rate,
    if(asked = 0, NULL, greatest(0, middle - half)) AS lo,
    if(asked = 0, NULL, least(1, middle + half)) AS hi
FROM
(
    SELECT
        *,
        1.959964 AS z,
        (in_time + z * z / 2) / (asked + z * z) AS middle,
        z * sqrt(in_time * (asked - in_time) / greatest(asked, 1) + z * z / 4) / (asked + z * z) AS half
    FROM
    (
        SELECT
            clock,
            days,
            unit,
            countIf(matured) AS asked,
            countIf(matured AND answered_in_time) AS in_time
        FROM
        (
            SELECT rule.1 AS clock, rule.2 AS days, rule.3 AS unit, false AS matured, false AS answered_in_time
            FROM (SELECT arrayJoin(clocks) AS rule)
            UNION ALL
            SELECT
                clock,
                days,
                unit,
                observed_s >= window_s AND NOT (outcome = 'deleted' AND ended_in_time) AS matured,
                outcome = 'replied' AND ended_in_time AS answered_in_time
            FROM
            (
                SELECT *, if(unit = 'days', wait_s <= window_s, wait_s < window_s) AS ended_in_time
                FROM
                (
                    SELECT
                        *,
                        if(unit = 'days', days * 86400.,
                            ((due_day + 1) * 86400000 - offset_s * 1000 - toUnixTimestamp64Milli(asked_at)) / 1000) AS window_s
                    FROM
                    (
                        SELECT
                            rule.1 AS clock,
                            rule.2 AS days,
                            rule.3 AS unit,
                            outcome,
                            wait_s,
                            observed_s,
                            asked_at,
                            asked_day,
                            length(working_days) > 0 AND asked_day >= working_days[1] AS is_known,
                            working_days[next_day + rule.2 - 1] AS due_day
                        FROM
                        (
                            SELECT
                                *,
                                toInt32(toDate32(asked_at + toIntervalSecond(offset_s))) AS asked_day,
                                next_working_day[asked_day - working_days[1] + 1] AS next_day
                            FROM int_requests(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
                            WHERE institution = {institution:String}
                        )
                        ARRAY JOIN clocks AS rule
                        WHERE empty(rule.4) OR (stands AND hasAny(rule.4, if(empty(risk_tags), ['none'], risk_tags)))
                    )
                    WHERE unit = 'days' OR (is_known AND due_day > asked_day)
                )
            )
        )
        GROUP BY clock, days, unit
    )
)
ORDER BY clock
COMMENT 'Is the public answered within the time that the rules allow: a row per service clock (table service_clocks) with its number of days and their unit (days or working_days). Over the n requests that the clock is for and that were due: answered in time, rate, and lo and hi, its Wilson 95 % interval. Which requests a clock is for is read from their risk tags; deleted ones count only where a clock is for all. A public reply is only a proxy: what is settled elsewhere is not seen. Parameters: institution, from, to. NULL where n is 0. In METRICS.md: M24.'
