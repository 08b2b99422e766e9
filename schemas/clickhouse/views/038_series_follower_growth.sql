-- A day is local; its followers are those of its last snapshot with a number. Growth is between neighbouring days only, and is compared with that of the growth_days before, of which at least
-- growth_least_days have to be known. The counts of a day are 0 where nothing was seen.
CREATE OR REPLACE VIEW series_follower_growth AS
WITH
    (
        SELECT CAST((groupArray(name), groupArray(value)), 'Map(String, Float64)')
        FROM
        (
            SELECT name, argMax(metric_settings.value, (metric_settings.institution != '', metric_settings.valid_from, metric_settings.set_at)) AS value
            FROM metric_settings
            WHERE institution IN ('', {institution:String}) AND valid_from <= toDate32({from:DateTime64(3, 'UTC')})
            GROUP BY name
        )
    ) AS setting,
    greatest(1, toInt64(setting['growth_days'])) AS days_before,
    (SELECT ifNull(anyOrNull(utc_offset_s), 0) FROM institution_settings FINAL WHERE institution = {institution:String}) AS offset_s,
    toDate32({from:DateTime64(3, 'UTC')} + toIntervalSecond(assumeNotNull(offset_s))) AS first_day,
    toDate32({to:DateTime64(3, 'UTC')} + toIntervalSecond(assumeNotNull(offset_s)) - toIntervalMillisecond(1)) AS last_day,
    grown AS
    (
        SELECT
            platform,
            account,
            arraySort(groupArray((day, followers_then))) AS days,
            arrayFilter(g -> g.3 = g.1 - 1, arrayMap((d, p) -> (d.1, log(d.2) - log(p.2), p.1), arrayPopFront(days), arrayPopBack(days))) AS growths
        FROM
        (
            SELECT platform, account, toDate32(observed_at + toIntervalSecond(assumeNotNull(offset_s))) AS day, argMax(assumeNotNull(account_counts.followers), observed_at) AS followers_then
            FROM account_counts
            WHERE institution = {institution:String} AND account_counts.followers > 0
                AND observed_at >= {from:DateTime64(3, 'UTC')} - toIntervalDay(days_before + 4) AND observed_at < {to:DateTime64(3, 'UTC')} + toIntervalDay(1)
            GROUP BY platform, account, day
        )
        WHERE day <= last_day
        GROUP BY platform, account
    ),
    seen AS
    (
        SELECT
            platform,
            account,
            sumMapIf(map(toInt32(toDate32(created_at + toIntervalSecond(assumeNotNull(offset_s)))), toInt64(1)), role = 'broadcast') AS posts,
            sumMapIf(map(toInt32(toDate32(created_at + toIntervalSecond(assumeNotNull(offset_s)))), toInt64(1)), role = 'addressed') AS mentions,
            sumMapIf(map(toInt32(toDate32(created_at + toIntervalSecond(assumeNotNull(offset_s)))), ifNull(views, 0)), role = 'broadcast') AS impressions
        FROM int_messages
        WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} - toIntervalDay(days_before + 2) AND created_at < {to:DateTime64(3, 'UTC')} + toIntervalDay(1)
            AND deleted_at IS NULL AND role IN ('broadcast', 'addressed')
        GROUP BY platform, account
    )
SELECT
    platform,
    account,
    day,
    followers,
    growth,
    if(known < greatest(1, setting['growth_least_days']), NULL, (growth - middle) / greatest(spread, setting['growth_least_mad'], 1e-9)) AS z,
    posts_here AS posts,
    mentions_here AS mentions,
    impressions_here AS impressions,
    toBool(ifNull(z > setting['growth_z'], false)
        AND posts_here <= setting['growth_rise'] * arrayReduce('quantileExactInclusive(0.5)', posts_before)
        AND mentions_here <= setting['growth_rise'] * arrayReduce('quantileExactInclusive(0.5)', mentions_before)
        AND impressions_here <= setting['growth_rise'] * arrayReduce('quantileExactInclusive(0.5)', impressions_before)) AS unexplained,
    known AS n
FROM
(
    SELECT
        platform,
        account,
        day,
        followers,
        growth,
        length(before) AS known,
        if(known = 0, 0, arrayReduce('quantileExactInclusive(0.5)', before)) AS middle,
        1.4826 * if(known = 0, 0, arrayReduce('quantileExactInclusive(0.5)', arrayMap(y -> abs(y - middle), before))) AS spread,
        posts[toInt32(day)] AS posts_here,
        mentions[toInt32(day)] AS mentions_here,
        impressions[toInt32(day)] AS impressions_here,
        arrayMap(d -> posts[toInt32(day) - toInt32(d)], range(1, days_before + 1)) AS posts_before,
        arrayMap(d -> mentions[toInt32(day) - toInt32(d)], range(1, days_before + 1)) AS mentions_before,
        arrayMap(d -> impressions[toInt32(day) - toInt32(d)], range(1, days_before + 1)) AS impressions_before
    FROM
    (
        SELECT
            g.platform AS platform,
            g.account AS account,
            growth_of.1 AS day,
            growth_of.2 AS growth,
            arrayFirst(d -> d.1 = growth_of.1, g.days).2 AS followers,
            arrayMap(x -> x.2, arrayFilter(x -> x.1 < growth_of.1 AND x.1 >= growth_of.1 - days_before, g.growths)) AS before,
            s.posts AS posts,
            s.mentions AS mentions,
            s.impressions AS impressions
        FROM grown AS g
        LEFT JOIN seen AS s ON s.platform = g.platform AND s.account = g.account
        ARRAY JOIN g.growths AS growth_of
        WHERE growth_of.1 >= first_day AND growth_of.1 <= last_day AND {from:DateTime64(3, 'UTC')} < {to:DateTime64(3, 'UTC')}
    )
)
ORDER BY platform, account, day
COMMENT 'How the followers of each account grow, a row per local day on which they and those of the day before are known. growth: the difference of their logarithms; z: how far it is from that of the n known days of the 28 (growth_days) before, in robust standard deviations (NULL under 14: growth_least_days). posts, mentions and impressions (views) of the day; unexplained: z above 5 though none of the three rose above 1.5 times its usual value. Nothing is said about the reason. Parameters: institution, from, to. In METRICS.md: M21.'
