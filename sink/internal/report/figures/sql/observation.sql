SELECT
    quantileExactInclusiveOrNullIf(0.95)(assumeNotNull(dateDiff('millisecond', created_at, observed_at)) / 1000, observed_at IS NOT NULL) AS lag_p95_s,
    arraySort(groupUniqArrayIf(toString(model_version), model_version != '')) AS model_versions
FROM messages
WHERE institution = {institution:String}
    AND created_at >= {from:DateTime64(3, 'UTC')}
    AND created_at < {to:DateTime64(3, 'UTC')}
    AND direction = 'inbound'
