-- Shares are corrected by adjusted classify and count: for each model version by its own confusion matrix, then added. Draw 0 is the figure; draws 1 to 200 are a
-- bootstrap in which counts and cells of the matrix vary as under Poisson weights, by their first two moments, an empty one as if one message were in it. The deviates come from a hash of the draw's number, so
-- the same rows always give the same interval. Each step is a subquery of its own, as in int_messages, and names each column of
-- the step before once, through a lambda: a column named n times is n copies of all that it is made of, to the analysis.
-- Cells are in rows by what people said (negative, neutral, positive), in a row by what the model version said.
CREATE OR REPLACE VIEW metric_sentiment AS
WITH
    (
        SELECT argMax(metric_settings.value, (metric_settings.institution != '', metric_settings.valid_from, metric_settings.set_at))
        FROM metric_settings
        WHERE name = 'sentiment_least' AND institution IN ('', {institution:String}) AND valid_from <= toDate32({from:DateTime64(3, 'UTC')})
    ) AS sentiment_least,
    versions AS
    (
        SELECT
            model_version,
            [countIf(sentiment = 'negative'), countIf(sentiment = 'neutral'), countIf(sentiment = 'positive')] AS counts
        FROM int_messages
        WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')}
            AND deleted_at IS NULL AND role = 'addressed' AND sentiment IN ('negative', 'neutral', 'positive')
        GROUP BY model_version
    ),
    matrices AS
    (
        SELECT
            model_version,
            arrayMap(g -> arraySum(arrayMap(c -> if(c.1 = g, c.3, 0), cells)), classes) AS people,
            arrayFlatten(arrayMap(g -> arrayMap(p -> arraySum(arrayMap(c -> if(c.1 = g AND c.2 = p, c.4, 0), cells)), classes), classes)) AS weights,
            arrayFlatten(arrayMap(g -> arrayMap(p -> arraySum(arrayMap(c -> if(c.1 = g AND c.2 = p, c.5, 0), cells)), classes), classes)) AS squares
        FROM
        (
            SELECT
                model_version,
                groupArray((toString(gold), toString(predicted), toFloat64(labels), weight, weight_sq)) AS cells,
                ['negative', 'neutral', 'positive'] AS classes
            FROM stream_confusions FINAL
            WHERE institution = {institution:String} AND head = 'sentiment'
            GROUP BY model_version
        )
    ),
    draws AS
    (
        SELECT
            model_version, counts, people, weights, draw,
            arrayMap((p, s) -> arrayMap((x, i) -> greatest(x, arraySum(arraySlice(s, i - (i - 1) % 3, 3)) / p[intDiv(i - 1, 3) + 1]), s, arrayEnumerate(s)), [people], [squares])[1] AS floored,
            arrayMap(j -> if(draw = 0, 0, (arraySum(i -> bitAnd(bitShiftRight(intHash64(draw * 64 + j * 4 + intDiv(i, 4)), 16 * (i % 4)), 65535), range(12)) + 6) / 65536 - 6), range(12)) AS z
        FROM (SELECT versions.model_version AS model_version, counts, people, weights, squares FROM versions LEFT JOIN matrices ON matrices.model_version = versions.model_version)
        ARRAY JOIN range(201) AS draw
    ),
    varied AS
    (
        SELECT
            model_version, draw, people, counts, weights,
            arrayMap((c, x) -> greatest(0., c + sqrt(greatest(c, 1)) * x), counts, arraySlice(z, 1, 3)) AS varied_counts,
            arrayMap((w, s, x) -> greatest(0., w + sqrt(s) * x), weights, floored, arraySlice(z, 4, length(floored))) AS varied_weights
        FROM draws
    ),
    rates AS
    (
        SELECT
            model_version, draw, people, counts,
            arrayMap((v, c) -> if(arraySum(v) = 0, arrayMap(x -> x / arraySum(c), c), arrayMap(x -> x / arraySum(v), v)), [varied_counts], [counts])[1] AS q,
            arrayMap((v, w) -> arrayMap(i -> if(arraySum(arraySlice(v, i - (i - 1) % 3, 3)) = 0,
                w[i] / arraySum(arraySlice(w, i - (i - 1) % 3, 3)), v[i] / arraySum(arraySlice(v, i - (i - 1) % 3, 3))), arrayEnumerate(w)), [varied_weights], [weights])[1] AS m
        FROM varied
    ),
    -- Of each matrix its nine cofactors, then its determinant.
    cofactors AS
    (
        SELECT
            model_version, draw, people, counts, q,
            arrayMap(m -> arrayMap(c -> arrayPushBack(c, m[1] * c[1] + m[2] * c[2] + m[3] * c[3]),
                [[m[5] * m[9] - m[6] * m[8], m[6] * m[7] - m[4] * m[9], m[4] * m[8] - m[5] * m[7],
                m[8] * m[3] - m[9] * m[2], m[9] * m[1] - m[7] * m[3], m[7] * m[2] - m[8] * m[1],
                m[2] * m[6] - m[3] * m[5], m[3] * m[4] - m[1] * m[6], m[1] * m[5] - m[2] * m[4]]])[1], [rates.m])[1] AS c
        FROM rates
    ),
    solved AS
    (
        SELECT
            model_version, draw, counts,
            arrayMap((p, c) -> arraySum(p) >= 200 AND arrayMin(p) >= 5 AND c[10] >= 0.05, [people], [cofactors.c])[1] AS usable,
            -- Raw and corrected shares.
            arrayMap((q, c) -> (q, arrayMap(x -> greatest(0., x), if(c[10] >= 0.05, arrayMap(g -> (q[1] * c[g + 1] + q[2] * c[g + 2] + q[3] * c[g + 3]) / c[10], [0, 3, 6]), q))), [cofactors.q], [cofactors.c])[1] AS share
        FROM cofactors
    ),
    scaled AS
    (
        SELECT
            model_version, draw, counts, usable,
            arrayMap((s, c) -> (arrayMap(x -> x * arraySum(c), s.1), arrayMap((x, y) -> (x / arraySum(s.2) - y) * arraySum(c), s.2, s.1)), [share], [counts])[1] AS moved
        FROM solved
    ),
    added AS
    (
        SELECT
            draw,
            min(usable) AS usable,
            arraySort(groupArray(model_version)) AS model_versions,
            sumForEach(counts) AS counts,
            sumForEach(moved.1) AS raw,
            sumForEach(moved.2) AS moves
        FROM scaled
        GROUP BY draw
    ),
    gathered AS
    (
        SELECT
            anyIf((counts, raw, moves, model_versions, usable), draw = 0) AS figure,
            groupArrayIf((raw, moves), draw > 0) AS others
        FROM added
    ),
    -- What the correction moves is shrunk as far as its own noise could have moved it.
    shrunk AS
    (
        SELECT
            figure.1 AS counts,
            figure.4 AS model_versions,
            figure.5 AS usable,
            arrayMap((raw, moved, others) -> arrayMap((x, y) -> (x + y * if(arraySum(d -> d * d, moved) = 0, 0,
                greatest(0, 1 - arraySum(o -> arraySum(arrayMap((a, b) -> (a - b) * (a - b), o.2, moved)), others) / 200 / arraySum(d -> d * d, moved)))) / arraySum(raw), raw, moved),
                [figure.2], [figure.3], [others])[1] AS shares,
            arrayReduce('quantilesExactInclusive(0.025, 0.975)', arrayMap(o -> (o.1[3] + o.2[3] - o.1[1] - o.2[1]) / arraySum(o.1), others)) AS between
        FROM gathered
    ),
    nets AS
    (
        SELECT
            counts,
            arraySum(counts) AS labelled,
            model_versions,
            shares,
            arrayMap(c -> c / arraySum(counts), counts) AS raw,
            if(arraySum(counts) < sentiment_least, NULL, usable) AS calibrated,
            arrayMap((s, b) -> (s[3] - s[1], least(s[3] - s[1], b[1]), greatest(s[3] - s[1], b[2])), [shares], [between])[1] AS corrected,
            arrayMap(c -> arrayMap((n, d) -> (d, 1.959964 * sqrt(greatest(0, (c[3] + c[1]) / n - d * d) / n)), [greatest(arraySum(c), 1)], [(c[3] - c[1]) / greatest(arraySum(c), 1)])[1], [counts])[1] AS plain
        FROM shrunk
    )
SELECT
    labelled AS n,
    if(labelled = 0, NULL, nets.raw[1]) AS raw_negative,
    if(labelled = 0, NULL, nets.raw[2]) AS raw_neutral,
    if(labelled = 0, NULL, nets.raw[3]) AS raw_positive,
    if(ifNull(nets.calibrated, 0), shares[1], NULL) AS negative,
    if(ifNull(nets.calibrated, 0), shares[2], NULL) AS neutral,
    if(ifNull(nets.calibrated, 0), shares[3], NULL) AS positive,
    multiIf(nets.calibrated IS NULL, NULL, nets.calibrated, corrected.1, plain.1) AS net,
    multiIf(nets.calibrated IS NULL, NULL, nets.calibrated, corrected.2, greatest(-1, plain.1 - plain.2)) AS net_lo,
    multiIf(nets.calibrated IS NULL, NULL, nets.calibrated, corrected.3, least(1, plain.1 + plain.2)) AS net_hi,
    CAST(ifNull(nets.calibrated, 0), 'Bool') AS calibrated,
    CAST(model_versions, 'Array(String)') AS model_versions
FROM nets
COMMENT 'The tone of what the public says to the institution, over the n messages that the classifier could answer for. raw_*: shares of its labels. negative, neutral, positive: the same corrected for its known errors on this stream; NULL until enough labels by people (200, 5 of each class) measure every model version in the period, or when n is under 50. net = positive - negative, from -1 to 1, with a 95 % interval net_lo..net_hi: of the corrected shares where calibrated is true, else of the raw ones; NULL when n is under 50. model_versions: whose answers these are. Parameters: institution, from, to. One row. In METRICS.md: M16.'
