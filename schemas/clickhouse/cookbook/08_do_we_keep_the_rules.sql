-- Do we answer within the time that the rules allow?
-- A row per service clock: of the n requests that it is for and that were due, the unanswered included, the share answered in time with its 95 % interval.
-- What is settled in private is not seen here; clocks with under five requests are left out.
SELECT clock, days, unit, n, answered, round(rate, 3) AS rate, round(lo, 3) AS lo, round(hi, 3) AS hi
FROM metric_service_clock(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
WHERE n >= 5
ORDER BY clock
