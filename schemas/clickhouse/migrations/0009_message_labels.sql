-- What people said of messages. A label stands beside the classifier's and never in its place. Whoever labels a message again under the same head
-- replaces their own label and nobody else's. No text and no name: annotator is an alias.
CREATE TABLE IF NOT EXISTS message_labels
(
    institution   LowCardinality(String),
    head          LowCardinality(String) COMMENT 'sentiment, risk_tag (the primary one), needs_reply or content_function',
    platform      LowCardinality(String),
    message_id    String CODEC(ZSTD(1)),
    annotator     LowCardinality(String) COMMENT 'an alias, as a1',
    message_key   FixedString(16) COMMENT 'keyed hash of the id, what a tombstone remembers',
    label         LowCardinality(String),
    labelled_at   DateTime64(3, 'UTC'),
    model_version LowCardinality(String) COMMENT 'the model whose answer stood when the message was chosen',
    predicted     LowCardinality(String) COMMENT 'its answer',
    p             Nullable(Float32) COMMENT 'the probability that it gave to its answer; NULL where it gave none',
    stratum       LowCardinality(String) COMMENT 'what the message was chosen as: random, or predicted class and certainty; empty where it came from elsewhere',
    weight        Float64 COMMENT 'how much this message counts beside one drawn at random from the stream, which counts 1',
    expires_at    DateTime('UTC') COMMENT 'when the facts of the message expire'
)
ENGINE = ReplacingMergeTree(labelled_at)
ORDER BY (institution, head, platform, message_id, annotator)
TTL expires_at
COMMENT 'Labels by people, the latest of each annotator, message and head with FINAL'
