-- How long do people wait for an answer?
-- Half were answered within median_h; mean_7d_h counts each wait up to seven days. Both hold the open ones as waiting at least so long.
-- answered_median_h looks only at those who got an answer: the more are left open, the rosier it is.
SELECT
    n,
    replied,
    deleted,
    open,
    round(km_median_s / 3600, 1) AS median_h,
    round(rmst_7d_s / 3600, 1) AS mean_7d_h,
    round(answered_p50_s / 3600, 1) AS answered_median_h
FROM metric_wait(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
