-- Counts of three hours, told at their last hour. Anscombe's transform makes their spread about 1 whatever their size; the median and the MAD are of the same hour of the week and its neighbours
-- in the anomaly_weeks before, as far as messages go back. With a history from anomaly_poisson_days to anomaly_anscombe_days: Poisson against the same hour of the first of these days before. Alerts for a rise count only messages that were read
-- live, so that a backfill raises none; alerts for a drop need every connector to have read the three hours. arrayFold walks the candidates of a kind and drops those in the refractory time of the last one taken.
CREATE OR REPLACE VIEW series_volume_anomaly AS
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
    greatest(1, toInt64(setting['anomaly_weeks'])) AS weeks,
    greatest(0, toInt64(setting['anomaly_beside_h'])) AS beside_h,
    greatest(1, toInt64(setting['anomaly_poisson_days'])) AS poisson_days,
    greatest(7 * weeks, poisson_days, toInt64(setting['anomaly_anscombe_days'])) + 1 AS history_days,
    (
        SELECT (groupArray((connector, since_h, until_h)), uniqExact(connector), max(until_h))
        FROM
        (
            SELECT connector, toUnixTimestamp64Milli(since) / 3600000 AS since_h, toUnixTimestamp64Milli(max(coverage_ledger.until)) / 3600000 AS until_h
            FROM coverage_ledger
            WHERE institution = {institution:String} AND status = 'complete' AND since < {to:DateTime64(3, 'UTC')}
            GROUP BY connector, since, reason
            HAVING max(coverage_ledger.until) > {from:DateTime64(3, 'UTC')}
        )
    ) AS stretches,
    toInt64(ceil(toUnixTimestamp64Milli({from:DateTime64(3, 'UTC')}) / 3600000)) AS first_hour,
    toInt64(ceil(least(toUnixTimestamp64Milli({to:DateTime64(3, 'UTC')}) / 3600000, floor(stretches.3)))) AS end_hour,
    -- A row for each hour from history_days before the period on, those without messages too.
    volume AS
    (
        SELECT h, toInt64(sum(said)) AS messages, toInt64(sum(said_live)) AS messages_live
        FROM
        (
            SELECT
                intDiv(toUnixTimestamp64Milli(created_at), 3600000) AS h,
                1 AS said,
                toUInt8(dateDiff('millisecond', created_at, ingested_at) <= setting['anomaly_live_s'] * 1000) AS said_live
            FROM int_messages
            WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} - toIntervalDay(history_days) AND created_at < {to:DateTime64(3, 'UTC')}
                AND deleted_at IS NULL AND role = 'addressed'
            UNION ALL
            SELECT arrayJoin(range(first_hour - 24 * history_days - 1, greatest(first_hour, end_hour))) AS h, 0 AS said, 0 AS said_live
        )
        WHERE h < end_hour
        GROUP BY h
    ),
    sums AS
    (
        SELECT
            h,
            sum(messages) OVER three AS of_three,
            sum(messages_live) OVER three AS of_three_live,
            min(if(messages > 0, h, NULL)) OVER (ORDER BY h ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS oldest
        FROM volume
        WINDOW three AS (ORDER BY h ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)
    ),
    -- Each sum goes to the hours that are compared with it: its own (0), those of the poisson_days after it (1), and those of the weeks (2).
    hours AS
    (
        SELECT
            h + place.1 AS hour,
            sumIf(of_three, place.2 = 0) AS x,
            sumIf(of_three_live, place.2 = 0) AS x_live,
            groupArrayIf(2 * sqrt(of_three + 0.375), place.2 = 2 AND ifNull(h - 2 >= oldest, false)) AS roots,
            multiIf(ifNull(hour - any(oldest) < 24 * poisson_days, true), 'none', empty(roots) OR hour - any(oldest) < 24 * setting['anomaly_anscombe_days'], 'poisson', 'anscombe') AS method,
            sumIf(of_three, place.2 = 1) / poisson_days AS mean_before,
            stretches.2 > 0 AND length(arrayDistinct(arrayMap(s -> s.1, arrayFilter(s -> s.2 <= hour - 2 AND s.3 >= hour + 1, stretches.1)))) = stretches.2 AS covered
        FROM sums
        ARRAY JOIN arrayConcat([(0, 0)], arrayMap(k -> (24 * k, 1), range(1, poisson_days + 1)),
            arrayFlatten(arrayMap(week -> arrayMap(beside -> (168 * week + beside, 2), range(-beside_h, beside_h + 1)), range(1, weeks + 1)))) AS place
        WHERE hour >= greatest(0, first_hour) AND hour < end_hour
        GROUP BY hour
    ),
    scored AS
    (
        SELECT
            *,
            if(method = 'anscombe', arrayReduce('quantileExactInclusive(0.5)', roots), 0) AS middle,
            if(method = 'anscombe', greatest(1, 1.4826 * arrayReduce('quantileExactInclusive(0.5)', arrayMap(r -> abs(r - middle), roots))), 1) AS spread,
            multiIf(method = 'anscombe', (2 * sqrt(x + 0.375) - middle) / spread, method = 'poisson', (x - mean_before) / sqrt(greatest(1, mean_before)), NULL) AS z,
            multiIf(method = 'anscombe', (2 * sqrt(x_live + 0.375) - middle) / spread, method = 'poisson', (x_live - mean_before) / sqrt(greatest(1, mean_before)), NULL) AS z_live
        FROM hours
    ),
    walked AS
    (
        SELECT
            arraySort(groupArray((hour, x, x_live, method, middle, mean_before, covered, z))) AS rows,
            arraySort(groupArrayIf(hour, ifNull(z_live > setting['anomaly_z'], false) AND x_live >= setting['anomaly_least'])) AS rises,
            arraySort(groupArrayIf(hour, ifNull(z < -setting['anomaly_z'], false) AND covered)) AS drops,
            arrayFold((taken, h) -> if(empty(taken) OR (h - taken[-1]) * 3600 >= setting['anomaly_refractory_s'], arrayPushBack(taken, h), taken), rises, CAST([], 'Array(Int64)')) AS rise_alerts,
            arrayFold((taken, h) -> if(empty(taken) OR (h - taken[-1]) * 3600 >= setting['anomaly_refractory_s'], arrayPushBack(taken, h), taken), drops, CAST([], 'Array(Int64)')) AS drop_alerts
        FROM scored
    )
SELECT
    fromUnixTimestamp64Milli(row.1 * 3600000, 'UTC') AS bucket,
    row.2 AS n,
    row.3 AS n_live,
    multiIf(method = 'anscombe', greatest(0, row.5 * row.5 / 4 - 0.375), method = 'poisson', row.6, NULL) AS expected,
    row.8 AS z,
    row.4 AS method,
    toBool(row.7) AS covered,
    multiIf(has(rise_alerts, row.1), 'rise', has(drop_alerts, row.1), 'drop', '') AS alert
FROM walked
ARRAY JOIN rows AS row
ORDER BY bucket
COMMENT 'Whether unusually much or little is said to the institution: a row per hour (bucket, UTC) with n, the messages of the three hours that end with it (n_live: those read within a day of being written), the number expected and z, the distance from it in robust standard deviations. alert: rise (z of the live ones above 4 and at least 10 of them) or drop (z under -4 although everything was read: covered); then no other of its kind for 12 hours. method: anscombe (against the same hour of the week of six weeks), poisson (history under four weeks: the same hour of seven days), none (under a week; z is NULL); limits and lengths are rows of metric_settings, anomaly_*. Hours that no connector has reached are absent. Parameters: institution, from, to. In METRICS.md: M19.'
