-- What is the tone of what people write to us?
-- Shares of n labelled messages; net = positive - negative with a 95 % interval. calibrated: corrected for the classifier's known errors on this stream; if false, the shares are its raw labels.
SELECT
    n,
    round(raw_negative, 3) AS raw_negative,
    round(raw_neutral, 3) AS raw_neutral,
    round(raw_positive, 3) AS raw_positive,
    round(net, 3) AS net,
    round(net_lo, 3) AS net_lo,
    round(net_hi, 3) AS net_hi,
    calibrated
FROM metric_sentiment(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
