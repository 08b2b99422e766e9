SELECT n, raw_negative, raw_neutral, raw_positive, negative, neutral, positive, calibrated, net, net_lo, net_hi
FROM metric_sentiment(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
