-- How many people the requests are about, each day and (bucket NULL) in the whole period. A deleted request no longer says whose it was.
SELECT
    toDateTime(intDiv(toUnixTimestamp(asked_at) + {utc_offset_s:Int32}, 86400) * 86400 - {utc_offset_s:Int32}, 'UTC') AS bucket,
    uniqExactIf(author_key, author_key != '') AS authors
FROM int_requests(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
GROUP BY GROUPING SETS ((bucket), ())
SETTINGS group_by_use_nulls = 1
