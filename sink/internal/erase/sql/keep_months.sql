-- The figures of one month, kept if at least five people wrote.
INSERT INTO kept_months
SELECT
    {institution:String}, toDate({month:String}), s.broadcasts, s.replies, s.auto_replies, a.inbound, a.authors, a.authors_answered,
    w.n, w.replied, w.deleted, w.open, w.rmst_7d_s, now64(3, 'UTC')
FROM metric_reply_share(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')}) AS s
CROSS JOIN metric_asymmetry(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')}) AS a
CROSS JOIN metric_wait(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')}) AS w
WHERE a.authors >= 5
