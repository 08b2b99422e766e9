-- What is at stake in what people write?
-- load weighs severity, certainty, reach and the chance of a bot; compare it with this institution's own past, not with others. severity is 0 to 5.
-- A tag belongs to a message, never to a person; tags of under five authors are left out.
SELECT risk_tag, n, authors, severity_max, round(load, 1) AS load
FROM metric_risk(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
WHERE authors >= 5
ORDER BY load DESC, risk_tag
LIMIT 20
