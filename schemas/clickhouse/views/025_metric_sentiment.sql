CREATE OR REPLACE VIEW metric_sentiment AS
SELECT
    labelled AS n,
    negatives / nullIf(labelled, 0) AS raw_negative,
    neutrals / nullIf(labelled, 0) AS raw_neutral,
    positives / nullIf(labelled, 0) AS raw_positive,
    CAST(NULL, 'Nullable(Float64)') AS negative,
    CAST(NULL, 'Nullable(Float64)') AS neutral,
    CAST(NULL, 'Nullable(Float64)') AS positive,
    if(labelled < 50, NULL, difference) AS net,
    if(labelled < 50, NULL, greatest(-1, difference - half)) AS net_lo,
    if(labelled < 50, NULL, least(1, difference + half)) AS net_hi
FROM
(
    SELECT
        *,
        (positives - negatives) / greatest(labelled, 1) AS difference,
        1.959964 * sqrt(greatest(0, (positives + negatives) / greatest(labelled, 1) - difference * difference) / greatest(labelled, 1)) AS half
    FROM
    (
        SELECT
            count() AS labelled,
            countIf(sentiment = 'negative') AS negatives,
            countIf(sentiment = 'neutral') AS neutrals,
            countIf(sentiment = 'positive') AS positives
        FROM int_messages(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
        WHERE institution = {institution:String} AND deleted_at IS NULL AND role = 'addressed' AND sentiment IN ('negative', 'neutral', 'positive')
    )
)
COMMENT 'M16. The tone of what the public says to the institution, over the n messages that the classifier could answer for. raw_*: shares of its labels. negative, neutral, positive: the same corrected for its known errors; NULL until human labels of this stream exist. net = raw_positive - raw_negative, from -1 to 1, with a 95 % interval net_lo..net_hi; NULL when n is under 50. Parameters: institution, from, to. One row.'
