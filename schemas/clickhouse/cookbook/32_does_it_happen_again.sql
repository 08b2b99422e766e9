-- Do people come back with the same complaint?
-- Of n messages with a tag, repeated have an author who had written of the same more than a day and at most twelve months before. Where history_days is under 365,
-- repeats are a lower bound: what was not read cannot be repeated. Tags of under five authors, and repeats of under five, are left out.
SELECT
    risk_tag,
    n,
    authors,
    repeated,
    round(repeat_share, 3) AS repeat_share,
    round(repeat_lo, 3) AS lo,
    round(repeat_hi, 3) AS hi,
    history_days
FROM metric_recurrence(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
WHERE authors >= 5 AND authors_repeating >= 5
ORDER BY repeat_share DESC, risk_tag
LIMIT 20
