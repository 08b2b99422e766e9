-- What share of what we say is an answer, and what share of that is automatic?
-- reply_share: human replies of all that is not automatic (n). auto_share: automatic replies of all replies; they are never counted as answers and end no wait.
SELECT n, broadcasts, replies, auto_replies, round(reply_share, 3) AS reply_share, round(auto_share, 3) AS auto_share
FROM metric_reply_share(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
