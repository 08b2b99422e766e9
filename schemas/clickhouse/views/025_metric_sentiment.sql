CREATE OR REPLACE VIEW metric_sentiment AS
WITH
    countIf(sentiment = 'negative') AS negatives,
    countIf(sentiment = 'positive') AS positives,
    (positives - negatives) / nullIf(n, 0) AS raw_net,
    1.959964 * sqrt(greatest(0, (positives + negatives) / nullIf(n, 0) - raw_net * raw_net) / n) AS half
SELECT
    count() AS n,
    negatives / nullIf(n, 0) AS raw_negative,
    countIf(sentiment = 'neutral') / nullIf(n, 0) AS raw_neutral,
    positives / nullIf(n, 0) AS raw_positive,
    CAST(NULL, 'Nullable(Float64)') AS negative,
    CAST(NULL, 'Nullable(Float64)') AS neutral,
    CAST(NULL, 'Nullable(Float64)') AS positive,
    if(n < 50, NULL, raw_net) AS net,
    if(n < 50, NULL, greatest(-1, raw_net - half)) AS net_lo,
    if(n < 50, NULL, least(1, raw_net + half)) AS net_hi
FROM int_messages(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
WHERE institution = {institution:String} AND deleted_at IS NULL AND role = 'addressed' AND sentiment IN ('negative', 'neutral', 'positive')
COMMENT 'M16. The tone of what the public says to the institution, over the n messages that the classifier could answer for. raw_*: shares of its labels. negative, neutral, positive: the same corrected for its known errors; NULL until human labels of this stream exist. net = raw_positive - raw_negative, from -1 to 1, with a 95 % interval net_lo..net_hi; NULL when n is under 50. Parameters: institution, from, to. One row.'
