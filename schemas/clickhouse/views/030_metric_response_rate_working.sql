-- A request is due at the end of the local day that is the given number of working days after the day on which it was asked, that day not counted. Working days are the
-- days of the calendar that have a span, as numbers since 1970; next_working_day tells of each day from the first of them on at which place the next one stands, so that a request
-- looks its days up instead of walking through the calendar. The interval is that of metric_response_rate.
CREATE OR REPLACE VIEW metric_response_rate_working AS
WITH
    (SELECT {working_days:UInt16} + throwIf({working_days:UInt16} = 0, 'working_days has to be a number of days above 0')) AS allowed,
    (SELECT ifNull(anyOrNull(utc_offset_s), 0) FROM institution_settings FINAL WHERE institution = {institution:String}) AS offset_s,
    (
        SELECT arraySort(groupUniqArray(toInt32(toDate32(s + toIntervalSecond(utc_offset_s)))))
        FROM business_spans
        WHERE s < e AND (calendar, utc_offset_s) IN (SELECT calendar, utc_offset_s FROM institution_settings FINAL WHERE institution = {institution:String})
    ) AS working_days,
    (SELECT arrayFlatten(arrayMap((days, place) -> arrayWithConstant(days, place), arrayDifference(working_days), arrayEnumerate(working_days)))) AS next_working_day
SELECT
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
            countIf(matured) AS asked,
            countIf(matured AND outcome = 'replied' AND wait_s < window_s) AS in_time
        FROM
        (
            SELECT outcome, wait_s, window_s, observed_s >= window_s AND NOT (outcome = 'deleted' AND wait_s < window_s) AS matured
            FROM
            (
                SELECT
                    outcome,
                    wait_s,
                    observed_s,
                    due_day,
                    ((due_day + 1) * 86400000 - offset_s * 1000 - toUnixTimestamp64Milli(asked_at)) / 1000 AS window_s
                FROM
                (
                    SELECT
                        *,
                        toInt32(toDate32(asked_at + toIntervalSecond(offset_s))) AS asked_day,
                        length(working_days) > 0 AND asked_day >= working_days[1] AS is_known,
                        working_days[next_working_day[asked_day - working_days[1] + 1] + allowed - 1] AS due_day
                    FROM int_requests(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
                    WHERE institution = {institution:String}
                )
                WHERE is_known AND due_day > asked_day
            )
        )
    )
)
COMMENT 'The response rate in working days: of the requests that were due, the share that was answered in time: by the end of the day that is working_days working days after the day of asking, which is not counted itself. Requests deleted unanswered before that are left out, and so are all where the institution has no calendar. lo and hi: Wilson 95 % interval. Parameters: institution, from, to, working_days (0 is refused). One row; rate, lo and hi are NULL when n is 0. Do not rank on n under 30. In METRICS.md: M2.'
