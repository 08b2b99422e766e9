-- What labels by people say of one model version's answers on one institution's stream: a confusion matrix a head, a row a cell. A measurement writes all cells, those
-- without a label too, so that the newest measurement stands whole. Of a head that was adapted from labels, those labels count with the answer of a
-- correction that had not seen them.
CREATE TABLE IF NOT EXISTS stream_confusions
(
    institution   LowCardinality(String),
    head          LowCardinality(String),
    model_version LowCardinality(String),
    gold          LowCardinality(String) COMMENT 'what a person said',
    predicted     LowCardinality(String) COMMENT 'what the model version says',
    labels        UInt32 COMMENT 'messages',
    weight        Float64 COMMENT 'the sum of their weights: within a row of the matrix, what the cells stand for in the stream',
    weight_sq     Float64 COMMENT 'the sum of their squares',
    measured_at   DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(measured_at)
ORDER BY (institution, head, model_version, gold, predicted)
COMMENT 'Confusion matrices by institution, head and model version, the latest measurement with FINAL; metric_sentiment corrects its shares with them'
