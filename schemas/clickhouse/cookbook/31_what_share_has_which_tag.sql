-- What share of the messages has which risk?
-- share is of the messages to the institution, those with the tag as their first, with its 95 % interval. It is corrected where labels by people measure the
-- classifier on this stream, else raw: what the classifier says, errors included. NULL under 50 messages; tags of under five authors are left out.
SELECT
    risk_tag,
    primary,
    messages,
    round(share, 3) AS share,
    round(share_lo, 3) AS lo,
    round(share_hi, 3) AS hi,
    if(share IS NULL, NULL, if(calibrated, 'corrected', 'raw')) AS share_is
FROM metric_risk(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
WHERE authors >= 5
ORDER BY share DESC, risk_tag
LIMIT 20
