-- Shares are corrected by adjusted classify and count: for each model version by its own confusion matrix, then added. Draw 0 is the figure; draws 1 to 200 are a
-- bootstrap in which counts and cells of the matrix vary as under Poisson weights, by their first two moments. The deviates come from a hash of the draw's number, so
-- the same rows always give the same interval. Each step is a subquery of its own, as in int_messages.
-- Cells are in rows by what people said (negative, neutral, positive), in a row by what the model version said.
CREATE OR REPLACE VIEW metric_sentiment AS
WITH
    versions AS
    (
        SELECT
            model_version,
            [countIf(sentiment = 'negative'), countIf(sentiment = 'neutral'), countIf(sentiment = 'positive')] AS counts
        FROM int_messages(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
        WHERE institution = {institution:String} AND deleted_at IS NULL AND role = 'addressed' AND sentiment IN ('negative', 'neutral', 'positive')
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
            model_version, counts, people, weights, squares, draw,
            arrayMap(j -> if(draw = 0, 0, (arraySum(i -> bitAnd(bitShiftRight(intHash64(draw * 64 + j * 4 + intDiv(i, 4)), 16 * (i % 4)), 65535), range(12)) + 6) / 65536 - 6), range(12)) AS z
        FROM (SELECT versions.model_version AS model_version, counts, people, weights, squares FROM versions LEFT JOIN matrices ON matrices.model_version = versions.model_version)
        ARRAY JOIN range(201) AS draw
    ),
    varied AS
    (
        SELECT
            *,
            arrayMap((c, j) -> greatest(0., c + sqrt(c) * z[j]), counts, [1, 2, 3]) AS varied_counts,
            arrayMap((w, s, j) -> greatest(0., w + sqrt(s) * z[j + 3]), weights, squares, arrayEnumerate(weights)) AS varied_weights
        FROM draws
    ),
    rates AS
    (
        SELECT
            *,
            arrayMap((v, c) -> if(arraySum(varied_counts) = 0, c / arraySum(counts), v / arraySum(varied_counts)), varied_counts, counts) AS q,
            arrayMap((v, w, i) -> if(arraySum(arraySlice(varied_weights, i - (i - 1) % 3, 3)) = 0,
                w / arraySum(arraySlice(weights, i - (i - 1) % 3, 3)),
                v / arraySum(arraySlice(varied_weights, i - (i - 1) % 3, 3))), varied_weights, weights, arrayEnumerate(weights)) AS m
        FROM varied
    ),
    cofactors AS
    (
        SELECT
            *,
            [m[5] * m[9] - m[6] * m[8], m[6] * m[7] - m[4] * m[9], m[4] * m[8] - m[5] * m[7],
             m[8] * m[3] - m[9] * m[2], m[9] * m[1] - m[7] * m[3], m[7] * m[2] - m[8] * m[1],
             m[2] * m[6] - m[3] * m[5], m[3] * m[4] - m[1] * m[6], m[1] * m[5] - m[2] * m[4]] AS cofactor
        FROM rates
    ),
    solved AS
    (
        SELECT
            *,
            m[1] * cofactor[1] + m[2] * cofactor[2] + m[3] * cofactor[3] AS determinant,
            length(weights) = 9 AND arraySum(people) >= 200 AND arrayMin(people) >= 5 AND determinant >= 0.05 AS usable,
            arrayMap(x -> greatest(0., x), if(determinant >= 0.05,
                arrayMap(g -> (q[1] * cofactor[g + 1] + q[2] * cofactor[g + 2] + q[3] * cofactor[g + 3]) / determinant, [0, 3, 6]), q)) AS share
        FROM cofactors
    ),
    added AS
    (
        SELECT
            draw,
            min(usable) AS usable,
            arraySort(groupArray(model_version)) AS model_versions,
            sumForEach(counts) AS counts,
            sumForEach(arrayMap(x -> x * arraySum(solved.counts), q)) AS raw,
            sumForEach(arrayMap((s, x) -> (s / arraySum(share) - x) * arraySum(solved.counts), share, q)) AS moved
        FROM solved
        GROUP BY draw
    ),
    gathered AS
    (
        SELECT
            anyIf(added.counts, draw = 0) AS counts,
            anyIf(added.usable, draw = 0) AS usable,
            anyIf(added.model_versions, draw = 0) AS model_versions,
            anyIf(added.raw, draw = 0) AS raw,
            anyIf(added.moved, draw = 0) AS moved,
            groupArrayIf(added.moved, draw > 0) AS moves,
            quantilesExactInclusiveIf(0.025, 0.975)(added.raw[3] + added.moved[3] - added.raw[1] - added.moved[1], draw > 0) AS between
        FROM added
    ),
    -- What the correction moves is shrunk as far as its own noise could have moved it.
    shrunk AS
    (
        SELECT
            *,
            arraySum(counts) AS labelled,
            arraySum(arrayMap(x -> x * x, moved)) AS length,
            if(length = 0, 0, greatest(0, 1 - arraySum(arrayMap(m -> arraySum(arrayMap((x, y) -> (x - y) * (x - y), m, moved)), moves)) / 200 / length)) AS keep,
            arrayMap((r, x) -> (r + keep * x) / labelled, raw, moved) AS shares,
            labelled >= 50 AND usable AS calibrated
        FROM gathered
    ),
    nets AS
    (
        SELECT
            *,
            (counts[3] - counts[1]) / greatest(labelled, 1) AS difference,
            1.959964 * sqrt(greatest(0, (counts[3] + counts[1]) / greatest(labelled, 1) - difference * difference) / greatest(labelled, 1)) AS half,
            shares[3] - shares[1] AS corrected
        FROM shrunk
    )
SELECT
    labelled AS n,
    counts[1] / nullIf(labelled, 0) AS raw_negative,
    counts[2] / nullIf(labelled, 0) AS raw_neutral,
    counts[3] / nullIf(labelled, 0) AS raw_positive,
    if(calibrated, shares[1], NULL) AS negative,
    if(calibrated, shares[2], NULL) AS neutral,
    if(calibrated, shares[3], NULL) AS positive,
    multiIf(labelled < 50, NULL, calibrated, corrected, difference) AS net,
    multiIf(labelled < 50, NULL, calibrated, least(corrected, between[1] / labelled), greatest(-1, difference - half)) AS net_lo,
    multiIf(labelled < 50, NULL, calibrated, greatest(corrected, between[2] / labelled), least(1, difference + half)) AS net_hi,
    CAST(calibrated, 'Bool') AS calibrated,
    CAST(model_versions, 'Array(String)') AS model_versions
FROM nets
COMMENT 'M16. The tone of what the public says to the institution, over the n messages that the classifier could answer for. raw_*: shares of its labels. negative, neutral, positive: the same corrected for its known errors on this stream; NULL until enough labels by people (200, 5 of each class) measure every model version in the period, or when n is under 50. net = positive - negative, from -1 to 1, with a 95 % interval net_lo..net_hi: of the corrected shares where calibrated is true, else of the raw ones; NULL when n is under 50. model_versions: whose answers these are. Parameters: institution, from, to. One row.'
