-- Counts of three hours, told at their last hour. Anscombe's transform makes their spread about 1 whatever their size; the median and the MAD are of the same hour of the week and its neighbours
-- in the six weeks before, as far as messages go back. History of 1 to 4 weeks: Poisson against the same hour of the seven days before. Alerts for a rise count only messages that were read
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
    volume AS
    (
        SELECT
            sumMap(map(h, toInt64(1))) AS messages,
            sumMapIf(map(h, toInt64(1)), is_live) AS messages_live,
            min(h) AS oldest
        FROM
        (
            SELECT
                intDiv(toUnixTimestamp64Milli(created_at), 3600000) AS h,
                dateDiff('millisecond', created_at, ingested_at) <= setting['anomaly_live_s'] * 1000 AS is_live
            FROM int_messages
            WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} - toIntervalDay(43) AND created_at < {to:DateTime64(3, 'UTC')}
                AND deleted_at IS NULL AND role = 'addressed'
        )
    ),
    hours AS
    (
        SELECT
            hour,
            messages[hour] + messages[hour - 1] + messages[hour - 2] AS x,
            messages_live[hour] + messages_live[hour - 1] + messages_live[hour - 2] AS x_live,
            multiIf(empty(messages) OR hour - oldest < 168, 'none', hour - oldest < 672, 'poisson', 'anscombe') AS method,
            arrayMap(i -> 2 * sqrt(messages[i] + messages[i - 1] + messages[i - 2] + 0.375),
                arrayFilter(i -> i - 2 >= oldest, arrayFlatten(arrayMap(k -> [hour - 168 * k - 1, hour - 168 * k, hour - 168 * k + 1], range(1, 7))))) AS roots,
            arraySum(k -> messages[hour - 24 * k] + messages[hour - 24 * k - 1] + messages[hour - 24 * k - 2], range(1, 8)) / 7 AS mean_before,
            stretches.2 > 0 AND length(arrayDistinct(arrayMap(s -> s.1, arrayFilter(s -> s.2 <= hour - 2 AND s.3 >= hour + 1, stretches.1)))) = stretches.2 AS covered
        FROM
        (
            SELECT *, arrayJoin(range(greatest(0, first_hour), greatest(first_hour, end_hour))) AS hour
            FROM volume
        )
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
COMMENT 'M19. Whether unusually much or little is said to the institution: a row per hour (bucket, UTC) with n, the messages of the three hours that end with it (n_live: those read within a day of being written), the number expected and z, the distance from it in robust standard deviations. alert: rise (z of the live ones above 4 and at least 10 of them) or drop (z under -4 although everything was read: covered); then no other of its kind for 12 hours. method: anscombe (against the same hour of the week of six weeks), poisson (history under four weeks: the same hour of seven days), none (under a week; z is NULL). Hours that no connector has reached are absent. Parameters: institution, from, to.'
