-- A stretch grows by its until; the greatest one stands.
CREATE OR REPLACE VIEW coverage AS
SELECT
    connector,
    institution,
    since,
    CAST(max(coverage_ledger.until), 'DateTime64(3, \'UTC\')') AS until,
    status,
    reason
FROM coverage_ledger
GROUP BY institution, connector, status, since, reason
COMMENT 'What each connector is known to have read: a row per stretch of time. status complete: everything public from since to until was read; gap: it was not, for the given reason. Times are UTC.';
ALTER TABLE coverage
    COMMENT COLUMN connector 'what read: a poller, a stream or an archive',
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN since 'beginning of the stretch, UTC',
    COMMENT COLUMN until 'its end, UTC',
    COMMENT COLUMN status 'complete: everything public was read; gap: it was not',
    COMMENT COLUMN reason 'of a gap: outage, limit, clamp, budget or auth; empty if complete'
