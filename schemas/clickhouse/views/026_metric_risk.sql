-- The load is summed as decimals: a sum of floats depends on the order in which parts and threads bring the rows, and a repeat would change its last digit.
-- Each message stands once for every tag that it carries, and once for the tag '', which counts the messages of a model version. The share of a tag as the first of
-- a message is corrected as in metric_sentiment, of two classes: this tag, and everything else.
CREATE OR REPLACE VIEW metric_risk AS
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
        SELECT count() > 0
        FROM institution_events
        WHERE institution = {institution:String} AND kind = 'crisis'
            AND dateDiff('day', happened_on, toDate32({to:DateTime64(3, 'UTC')})) BETWEEN 0 AND setting['crisis_days']
    ) AS has_crisis,
    if(has_crisis, setting['crisis_factor'], 1) AS factor,
    arrayMap(severity -> setting[concat('risk_weight_', toString(severity))], range(6)) AS severity_weights,
    -- The deviates of the 200 draws, and before them those of the figure itself.
    (
        SELECT arrayMap(draw -> arrayMap(j -> if(draw = 0, 0, (arraySum(i -> bitAnd(bitShiftRight(intHash64(draw * 64 + j * 4 + intDiv(i, 4)), 16 * (i % 4)), 65535), range(12)) + 6) / 65536 - 6), range(6)), range(201))
    ) AS deviates,
    carried AS
    (
        SELECT
            model_version,
            tag,
            count() AS n,
            countIf(tag = first_tag) AS firsts,
            max(risk_severity) AS severity,
            sum(toDecimal128(if(tag = '', 0, risk_weight * risk_p[tag]), 12)) AS load,
            uniqExactIfState(author_key, tag != '') AS writers
        FROM
        (
            SELECT model_version, risk_severity, severity_weights[least(risk_severity, 5) + 1] * risk_reach AS risk_weight, risk_p, author_key, risk_tags[1] AS first_tag, arrayPushFront(risk_tags, '') AS tags
            FROM int_messages
            WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')}
                AND deleted_at IS NULL AND role = 'addressed'
        )
        ARRAY JOIN tags AS tag
        GROUP BY model_version, tag
    ),
    -- What is known of a tag: (n, severity_max, load, authors, messages, firsts, model versions); then, for each model version in the period, (model_version, messages, firsts).
    tagged AS
    (
        SELECT
            tag,
            (sum(n), max(severity), toFloat64(sum(load)), uniqExactIfMerge(writers), arraySum(v -> v.2, any(versions)), sum(firsts),
                arraySort(arrayFilter(v -> v != '', arrayMap(v -> toString(v.1), any(versions))))) AS known,
            arrayMap((versions, named) -> arrayMap(v -> (v.1, v.2, arraySum(c -> if(c.1 = v.1, c.2, 0), named)), versions), [any(versions)], [groupArray((model_version, firsts))])[1] AS counted
        FROM (SELECT *, groupArrayIf((model_version, n), tag = '') OVER () AS versions FROM carried)
        WHERE tag != ''
        GROUP BY tag
    ),
    -- Of two classes, this tag and the rest, in this order: how often it is said, and how often not, where people said this tag, and where they did not; with the sums of squares.
    matrices AS
    (
        SELECT
            model_version,
            tag,
            [sumIf(labels, gold = tag), sumIf(labels, gold != tag)] AS people,
            [sumIf(weight, gold = tag AND predicted = tag), sumIf(weight, gold != tag AND predicted = tag)] AS said,
            [sumIf(weight, gold = tag AND predicted != tag), sumIf(weight, gold != tag AND predicted != tag)] AS unsaid,
            [sumIf(weight_sq, gold = tag AND predicted = tag), sumIf(weight_sq, gold != tag AND predicted = tag)] AS said_sq,
            [sumIf(weight_sq, gold = tag AND predicted != tag), sumIf(weight_sq, gold != tag AND predicted != tag)] AS unsaid_sq
        FROM
        (
            SELECT model_version, toString(gold) AS gold, toString(predicted) AS predicted, labels, weight, weight_sq, groupUniqArray(gold) OVER (PARTITION BY model_version) AS tags
            FROM stream_confusions FINAL
            WHERE institution = {institution:String} AND head = 'risk_tag'
        )
        ARRAY JOIN tags AS tag
        GROUP BY model_version, tag
    ),
    -- What was counted stands before the rows of the matrix. The variance of nothing is that of one message.
    parts AS
    (
        SELECT
            t.tag AS tag,
            t.known AS known,
            t.version.2 AS n,
            arrayResize(m.people, 2) AS people,
            arrayPushFront(arrayResize(said, 2), toFloat64(t.version.3)) AS yes,
            arrayPushFront(arrayResize(unsaid, 2), toFloat64(t.version.2 - t.version.3)) AS no,
            arrayPushFront(arrayMap((x, y, p) -> greatest(x, (x + y) / p), said_sq, unsaid_sq, m.people), greatest(1., toFloat64(t.version.3))) AS yes_variance,
            arrayPushFront(arrayMap((x, y, p) -> greatest(y, (x + y) / p), said_sq, unsaid_sq, m.people), greatest(1., toFloat64(t.version.2 - t.version.3))) AS no_variance
        FROM (SELECT tag, known, version, version.1 AS model_version FROM tagged ARRAY JOIN counted AS version) AS t
        LEFT JOIN matrices AS m ON m.model_version = t.model_version AND m.tag = t.tag
    ),
    -- By draw: counted, and what the correction moves. The first draw is the figure itself.
    corrected AS
    (
        SELECT
            tag, known, arraySum(people) >= 200 AND arrayMin(people) >= 5 AND yes[2] / (yes[2] + no[2]) - yes[3] / (yes[3] + no[3]) >= 0.05 AS usable,
            arrayMap(z -> arrayMap(r -> (r[1] * n, if(r[2] - r[3] >= 0.05, least(1, greatest(0, (r[1] - r[3]) / (r[2] - r[3]))) - r[1], 0) * n),
                [arrayMap((a, b, x, y) -> if(x + y = 0, a / (a + b), x / (x + y)), yes, no,
                    arrayMap((a, v, i) -> greatest(0., a + sqrt(v) * z[i]), yes, arrayResize(yes_variance, 3), [1, 3, 5]),
                    arrayMap((b, v, i) -> greatest(0., b + sqrt(v) * z[i]), no, arrayResize(no_variance, 3), [2, 4, 6]))])[1], deviates) AS draws
        FROM parts
    ),
    added AS
    (
        SELECT tag, known, min(usable) AS usable, sumForEach(draws.1) AS raw, sumForEach(draws.2) AS moves
        FROM corrected
        GROUP BY tag, known
    ),
    shrunk AS
    (
        SELECT
            tag,
            known,
            usable,
            arrayMap((raw, moves) -> raw[1] + moves[1] * if(moves[1] = 0, 0, greatest(0, 1 - arraySum(m -> (m - moves[1]) * (m - moves[1]), moves) / 200 / (moves[1] * moves[1]))),
                [raw], [moves])[1] / known.5 AS share,
            arrayReduce('quantilesExactInclusive(0.025, 0.975)', arrayPopFront(arrayMap((r, m) -> (r + m) / known.5, raw, moves))) AS between
        FROM added
    ),
    shared AS
    (
        SELECT
            tag,
            known,
            usable AND known.5 >= setting['risk_least'] AS corrected,
            -- (share, lo, hi): corrected, else raw with Wilson's interval.
            multiIf(
                known.5 < setting['risk_least'], (NULL, NULL, NULL),
                usable, arrayMap((s, b) -> (toNullable(s), toNullable(least(s, b[1])), toNullable(greatest(s, b[2]))), [share], [between])[1],
                arrayMap((p, n) -> (toNullable(p),
                    toNullable(greatest(0, (p + 1.920729440648 / n - 1.959964 * sqrt(p * (1 - p) / n + 0.960364720324 / n / n)) / (1 + 3.841458881296 / n))),
                    toNullable(least(1, (p + 1.920729440648 / n + 1.959964 * sqrt(p * (1 - p) / n + 0.960364720324 / n / n)) / (1 + 3.841458881296 / n)))),
                    [known.6 / known.5], [known.5])[1]) AS of
        FROM shrunk
    )
SELECT
    tag AS risk_tag,
    known.1 AS n,
    known.2 AS severity_max,
    known.3 * factor AS load,
    known.4 AS authors,
    factor AS crisis_factor,
    known.5 AS messages,
    known.6 AS primary,
    known.6 / known.5 AS raw_share,
    of.1 AS share,
    of.2 AS share_lo,
    of.3 AS share_hi,
    CAST(corrected, 'Bool') AS calibrated,
    known.7 AS model_versions
FROM shared
ORDER BY load DESC, risk_tag
COMMENT 'What the public''s messages put at stake, a row per risk tag: n messages from a number of distinct authors, the greatest severity (0..5) and the load: the sum over messages of a weight of the severity (0, 1, 2, 4, 8, 16 unless set otherwise) x the probability of the tag x (1 - the probability of a bot) x log2(2 + followers), times crisis_factor, which is above 1 if a crisis is on record for the year before to (crisis_days of metric_settings). Of all messages to the institution, primary have the tag as their first; raw_share is their share. share is the same corrected for the classifier''s known errors on this stream where calibrated is true, that is where enough labels by people (200, 5 of the tag) measure every model version in the period; else it is the raw one. share_lo..share_hi is its 95 % interval; all three NULL under 50 messages. model_versions: whose answers these are. A tag belongs to a message, never to a person. Parameters: institution, from, to. In METRICS.md: M18.'
