-- What an erasure keeps of a deleted question: when it was asked, answered and deleted, and nobody's name, id or words. Without it a deletion would take
-- the unanswered out of every rate. A message that counted together with an erased one stays folded into it.
CREATE TABLE IF NOT EXISTS settled_requests
(
    institution LowCardinality(String),
    asked_at    DateTime64(3, 'UTC'),
    platform    LowCardinality(String),
    message_key FixedString(16) COMMENT 'what the tombstone remembers of the message',
    folded      Bool COMMENT 'no request of its own: it counted with an earlier one',
    replied_at  Nullable(DateTime64(3, 'UTC')),
    deleted_at  Nullable(DateTime64(3, 'UTC'))
)
ENGINE = ReplacingMergeTree
ORDER BY (institution, asked_at, platform, message_key)
COMMENT 'The timing of requests whose messages were erased; read the view requests instead'
