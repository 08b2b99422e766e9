-- Which growth of our followers is unexplained?
-- The ten farthest days: z is the distance from the n known days of the four weeks before. unexplained: z above 5 while posts, mentions and views stayed usual; the reason is not told.
SELECT platform, account, day, followers, round(100 * (exp(growth) - 1), 1) AS growth_percent, round(z, 1) AS z, posts, mentions, unexplained, n
FROM series_follower_growth(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
WHERE z IS NOT NULL
ORDER BY z DESC, platform, account, day
LIMIT 10
