-- How do the weeks differ?
-- Steps of seven days from a Thursday, local midnight; first and last may be cut. answered_24h: of the requests asked in the week and a day old, the unanswered included.
-- Weeks with under five messages to the institution are left out.
SELECT
    toDate32(bucket + toIntervalSecond((SELECT any(utc_offset_s) FROM institution_settings FINAL WHERE institution = {institution:String}))) AS week,
    n,
    inbound,
    replies,
    round(asymmetry, 3) AS asymmetry,
    round(answered_24h, 3) AS answered_24h,
    round(negative_share, 3) AS negative_share,
    round(risk_load, 1) AS risk_load
FROM series_engagement(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')}, step_s = 604800)
WHERE inbound >= 5
ORDER BY week DESC
LIMIT 20
