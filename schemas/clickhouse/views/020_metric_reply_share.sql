CREATE OR REPLACE VIEW metric_reply_share AS
SELECT
    countIf(role = 'broadcast') AS broadcasts,
    countIf(role = 'reply') AS replies,
    countIf(role = 'auto_reply') AS auto_replies,
    replies / nullIf(broadcasts + replies, 0) AS reply_share,
    auto_replies / nullIf(replies + auto_replies, 0) AS auto_share,
    broadcasts + replies AS n
FROM int_messages
WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')}
    AND deleted_at IS NULL
COMMENT 'How much of what the institution says is said to someone. reply_share = replies / (broadcasts + replies), from 0 (only announcements) to 1. Automatic replies are counted beside it (auto_share = auto_replies / (replies + auto_replies)) and never as replies. Parameters: institution, from, to. One row; a share of nothing is NULL. In METRICS.md: M1.'
