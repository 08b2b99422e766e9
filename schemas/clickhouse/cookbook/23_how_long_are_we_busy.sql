-- How long are we busy with a thread in public?
-- From the first to the last answer, over the n stretches of at least two answers; single had one, so no length. b_ counts hours of work. What goes on in private is not seen.
SELECT
    n,
    single,
    round(handling_p50_s / 3600, 1) AS p50_h,
    round(handling_p90_s / 3600, 1) AS p90_h,
    round(b_handling_p50_s / 3600, 1) AS b_p50_h,
    round(b_handling_p90_s / 3600, 1) AS b_p90_h
FROM metric_handling(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
