-- Which tag grows?
-- Messages in the later half of the period against those in the earlier half; times NULL: not seen before. A z of 2 and more is hardly chance.
-- Tags with under five authors in the period are left out.
WITH
    {from:DateTime64(3, 'UTC')} + toIntervalSecond(intDiv(dateDiff('second', {from:DateTime64(3, 'UTC')}, {to:DateTime64(3, 'UTC')}), 2)) AS middle
SELECT
    arrayJoin(risk_tags) AS risk_tag,
    countIf(created_at < middle) AS earlier,
    countIf(created_at >= middle) AS later,
    round(later / nullIf(earlier, 0), 2) AS times,
    round((toInt64(later) - toInt64(earlier)) / sqrt(later + earlier), 1) AS z
FROM messages
WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')} AND direction = 'inbound' AND kind != 'repost' AND NOT is_auto
GROUP BY risk_tag
HAVING risk_tag NOT IN ('', 'none') AND uniqExact(author_key) >= 5
ORDER BY z DESC, risk_tag
LIMIT 20
