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
COMMENT 'What each connector is known to have read: a row per stretch of time. status complete: everything public from since to until was read; gap: it was not, for the given reason. Times are UTC.'
