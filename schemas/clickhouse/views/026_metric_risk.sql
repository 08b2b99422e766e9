-- The load is summed as decimals: a sum of floats depends on the order in which parts and threads bring the rows, and a repeat would change its last digit.
CREATE OR REPLACE VIEW metric_risk AS
SELECT
    tag AS risk_tag,
    count() AS n,
    max(risk_severity) AS severity_max,
    toFloat64(sum(toDecimal128(risk_weight * risk_p[tag], 12))) AS load,
    uniqExact(author_key) AS authors
FROM int_messages(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
ARRAY JOIN risk_tags AS tag
WHERE institution = {institution:String} AND deleted_at IS NULL AND role = 'addressed'
GROUP BY tag
ORDER BY load DESC, risk_tag
COMMENT 'M18. What the public''s messages put at stake, a row per risk tag: n messages from a number of distinct authors, the greatest severity (0..5) and the load: the sum over messages of a weight of the severity (0, 1, 2, 4, 8, 16) x the probability of the tag x (1 - the probability of a bot) x log2(2 + followers). A tag belongs to a message, never to a person. Parameters: institution, from, to.'
