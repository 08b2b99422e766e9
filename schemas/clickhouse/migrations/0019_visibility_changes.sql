-- What was said about the visibility of a message or of everything by one author: a set of changes, so that repeats and order do not matter. The view
-- int_concealed draws the conclusion. An author stands here under a hash of its key, because the entry outlives the erasure of that key.
CREATE TABLE IF NOT EXISTS visibility_changes
(
    institution LowCardinality(String),
    platform    LowCardinality(String),
    subject     Enum8('message' = 1, 'author' = 2),
    subject_key FixedString(16) COMMENT 'the message_key, or the first 16 bytes of SHA-256(author_key)',
    at          DateTime64(3, 'UTC'),
    state       Enum8('shown' = 0, 'hidden' = 1, 'deleted' = 2),
    reason      LowCardinality(String) COMMENT 'why hidden: suspended, protected or withheld'
)
ENGINE = ReplacingMergeTree
ORDER BY (institution, platform, subject, subject_key, at, state, reason)
COMMENT 'Suppressions of messages and authors, their undoing, and deletions of authors; read the view int_concealed instead'
