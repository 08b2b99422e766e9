-- When was unusually much said to us?
-- z: distance of three hours from what is usual at that time of the week, in robust standard deviations; above 4 is unusual.
-- The farthest of each of the ten farthest days, in UTC; n messages in the three hours up to until_hour.
SELECT
    toDate32(bucket) AS day,
    toHour(bucket) + 1 AS until_hour,
    n,
    round(expected, 1) AS expected,
    round(z, 1) AS z,
    method
FROM series_volume_anomaly(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')}) AS hours
WHERE hours.z > 0
ORDER BY hours.z DESC, bucket
LIMIT 1 BY day
LIMIT 10
