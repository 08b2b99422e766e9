-- The proof record of erasures and of subjects' requests. It names nobody: numbers, times and the platform.
CREATE TABLE IF NOT EXISTS privacy_log
(
    id           UUID,
    action       LowCardinality(String) COMMENT 'erase (a run of the job), subject_list, subject_erase, subject_hide or subject_show',
    platform     LowCardinality(String) COMMENT 'of a subject''s request',
    started_at   DateTime64(3, 'UTC'),
    finished_at  Nullable(DateTime64(3, 'UTC')) COMMENT 'NULL while it runs, and where it died',
    messages     UInt64 COMMENT 'that the request or the run was about',
    texts_before UInt64,
    texts_after  UInt64,
    facts_before UInt64,
    facts_after  UInt64,
    settled      UInt64 COMMENT 'requests whose timing was kept',
    pointers     UInt64 COMMENT 'rows of others that lost a deleted author''s key',
    expired      UInt64 COMMENT 'rows deleted because their retention had ended',
    old_parts    UInt64 COMMENT 'replaced data parts that were still on the disk at the end',
    outcome      LowCardinality(String) COMMENT 'running, done or failed',
    version      UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY id
COMMENT 'Every erasure and every request of a subject, with what was found and what is left; no personal data'
