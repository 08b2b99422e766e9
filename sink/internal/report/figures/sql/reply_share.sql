SELECT n, broadcasts, replies, auto_replies, reply_share, auto_share
FROM metric_reply_share(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
