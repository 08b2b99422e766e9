SELECT
    toString(report), toString(institution), period_from, period_to, toString(status), started_at, finished_at,
    outputs, error, toString(metric_spec), toString(trigger), version
FROM report_runs FINAL
WHERE report = {report:String} AND institution = {institution:String}
ORDER BY period_from, period_to
