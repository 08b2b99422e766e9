SELECT bucket, n, inbound, replies, answered_24h, negative_share
FROM series_engagement(
    institution = {institution:String},
    from = {from:DateTime64(3, 'UTC')},
    to = {to:DateTime64(3, 'UTC')},
    step_s = 86400)
ORDER BY bucket
