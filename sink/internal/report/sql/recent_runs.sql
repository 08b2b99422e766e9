SELECT
    toString(report), toString(institution), period_from, period_to, toString(status), started_at, finished_at,
    outputs, error, toString(metric_spec), toString(trigger), version
FROM report_runs FINAL
ORDER BY started_at DESC, report, institution, period_from
LIMIT {most:UInt32}
