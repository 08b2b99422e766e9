-- How many people each day's inbound figures are about. Midnights are local: the offset of the zone shifts them.
SELECT
    toDateTime(intDiv(toUnixTimestamp(created_at) + {utc_offset_s:Int32}, 86400) * 86400 - {utc_offset_s:Int32}, 'UTC') AS bucket,
    uniqExact(author_key) AS authors
FROM int_messages
WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')}
    AND role = 'addressed' AND deleted_at IS NULL
GROUP BY bucket
