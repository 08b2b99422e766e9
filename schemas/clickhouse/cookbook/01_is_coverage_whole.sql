-- Is the coverage whole?
-- coverage: the share of the period that the connectors are known to have read (worst: the least of them). greyed_out: show other figures in grey, for what was not read is not silence.
-- duplicates: of the messages to the institution, those that repeat their author; drift_psi above 0.25: the classifier's labels have moved. n: all messages.
SELECT
    n,
    connectors,
    round(coverage, 3) AS coverage,
    round(coverage_worst, 3) AS worst,
    greyed_out,
    round(duplicate_share, 3) AS duplicates,
    round(drift_psi, 3) AS drift_psi
FROM metric_quality(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
