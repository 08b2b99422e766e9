-- Is somebody who asks again served as fast as at first?
-- follow_up: the author had an answer in the thread already. Half were answered within median_h, the open ones included.
SELECT
    figure.1 AS asked,
    figure.2 AS n,
    figure.3 AS replied,
    round(figure.4 / 3600, 1) AS median_h,
    round(figure.5 / 3600, 1) AS mean_7d_h
FROM
(
    SELECT arrayJoin([('all', n, replied, km_median_s, rmst_7d_s), ('follow_up', follow_up_n, follow_up_replied, follow_up_km_median_s, follow_up_rmst_7d_s)]) AS figure
    FROM metric_wait(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
)
ORDER BY asked
