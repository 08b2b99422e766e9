-- A connector is expected while any stretch of it, complete or gap, reaches into the period or the quality_expected_days before it: one that died shows as uncovered. prev_e is the end of
-- what the connector's earlier complete stretches cover, so that overlaps count once. The wall clock only ends a period that is not over yet.
CREATE OR REPLACE VIEW metric_quality AS
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
    toUnixTimestamp64Milli({from:DateTime64(3, 'UTC')}) AS from_ms,
    least(toUnixTimestamp64Milli({to:DateTime64(3, 'UTC')}), toUnixTimestamp64Milli(now64(3, 'UTC'))) AS to_ms,
    (
        SELECT (count(), sum(covered_ms), min(covered_ms))
        FROM
        (
            SELECT connector, sum(if(is_complete, greatest(0, e - greatest(s, prev_e)), 0)) AS covered_ms
            FROM
            (
                SELECT
                    connector,
                    is_complete,
                    s,
                    e,
                    ifNull(max(toNullable(e)) OVER (PARTITION BY connector, is_complete ORDER BY s, e ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), from_ms) AS prev_e
                FROM
                (
                    SELECT
                        connector,
                        status = 'complete' AS is_complete,
                        greatest(toUnixTimestamp64Milli(since), from_ms) AS s,
                        least(toUnixTimestamp64Milli(max(coverage_ledger.until)), to_ms) AS e
                    FROM coverage_ledger
                    WHERE institution = {institution:String} AND since < {to:DateTime64(3, 'UTC')}
                    GROUP BY connector, status, since, reason
                    HAVING max(coverage_ledger.until) > {from:DateTime64(3, 'UTC')} - toIntervalDay(setting['quality_expected_days'])
                )
            )
            GROUP BY connector
        )
    ) AS covered,
    (
        SELECT quantileExactInclusiveOrNull(0.99)(dateDiff('millisecond', gone_at, known_at) / 1000)
        FROM
        (
            SELECT min(tombstones.deleted_at) AS gone_at, min(tombstones.learned_at) AS known_at
            FROM tombstones
            WHERE institution = {institution:String}
            GROUP BY platform, message_key
        )
        WHERE gone_at >= {from:DateTime64(3, 'UTC')} AND gone_at < {to:DateTime64(3, 'UTC')}
    ) AS delete_latency
SELECT
    if(covered.1 = 0 OR to_ms <= from_ms, NULL, covered.2 / (covered.1 * (to_ms - from_ms))) AS coverage,
    if(covered.1 = 0 OR to_ms <= from_ms, NULL, covered.3 / (to_ms - from_ms)) AS coverage_worst,
    covered.1 AS connectors,
    toBool(ifNull(coverage < setting['quality_least_coverage'], true)) AS greyed_out,
    lag_p95 AS lag_p95_s,
    repeated / nullIf(hashed, 0) AS duplicate_share,
    delete_latency AS delete_latency_p99_s,
    if(least(now_labelled, before_labelled) < setting['quality_least_labels'], NULL, arraySum(
        (x, y) -> ((x + 0.5) / (now_labelled + 1.5) - (y + 0.5) / (before_labelled + 1.5)) * log(((x + 0.5) / (now_labelled + 1.5)) / ((y + 0.5) / (before_labelled + 1.5))),
        now_labels, before_labels)) AS drift_psi,
    messages AS n,
    versions AS model_versions
FROM
(
    SELECT
        countIf(here) AS messages,
        CAST(arraySort(groupUniqArrayIf(model_version, here AND model_version != '')), 'Array(String)') AS versions,
        quantileExactInclusiveOrNullIf(0.95)(dateDiff('millisecond', created_at, ingested_at) / 1000, here AND NOT startsWith(connector, 'archive:')) AS lag_p95,
        countIf(here AND role = 'addressed' AND text_hash != 0) AS hashed,
        hashed - uniqExactIf((author_key, text_hash), here AND role = 'addressed' AND text_hash != 0) AS repeated,
        [countIf(here AND role = 'addressed' AND sentiment = 'negative'), countIf(here AND role = 'addressed' AND sentiment = 'neutral'),
            countIf(here AND role = 'addressed' AND sentiment = 'positive')] AS now_labels,
        [countIf(NOT here AND role = 'addressed' AND sentiment = 'negative'), countIf(NOT here AND role = 'addressed' AND sentiment = 'neutral'),
            countIf(NOT here AND role = 'addressed' AND sentiment = 'positive')] AS before_labels,
        arraySum(now_labels) AS now_labelled,
        arraySum(before_labels) AS before_labelled
    FROM
    (
        SELECT *, created_at >= {from:DateTime64(3, 'UTC')} AS here
        FROM int_messages
        WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} - toIntervalDay(setting['quality_drift_days']) AND created_at < {to:DateTime64(3, 'UTC')}
            AND deleted_at IS NULL
    )
)
COMMENT 'Can the figures of the period be trusted. coverage: the part of the time that the connectors read completely (coverage_worst: the least of the connectors); greyed_out: coverage is unknown or under 0.95, show other figures in grey. lag_p95_s: from a message to its reading, archives left out. duplicate_share: of the messages to the institution with a text of some length, those that repeat an earlier one of their author. delete_latency_p99_s: from a deletion to our knowing of it. drift_psi: how far the labels of the classifier have moved from those of the 90 days (quality_drift_days) before (population stability index, above 0.25 is a lot; NULL under 50 labels). n: messages. model_versions: whose labels all figures of the period are made of; of more than one, enrich backfill makes one. Parameters: institution, from, to. One row. In METRICS.md: M25.'
