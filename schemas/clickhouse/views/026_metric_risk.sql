-- The load is summed as decimals: a sum of floats depends on the order in which parts and threads bring the rows, and a repeat would change its last digit.
CREATE OR REPLACE VIEW metric_risk AS
WITH
    (
        SELECT CAST((groupArray(name), groupArray(value)), 'Map(String, Float64)')
        FROM
        (
            SELECT name, argMax(metric_settings.value, (metric_settings.institution != '', metric_settings.valid_from, metric_settings.set_at)) AS value
            FROM metric_settings
            WHERE institution IN ('', {institution:String}) AND valid_from <= toDate32({from:DateTime64(3, 'UTC')})
            GROUP BY name
        )
    ) AS setting,
    (
        SELECT count() > 0
        FROM institution_events
        WHERE institution = {institution:String} AND kind = 'crisis'
            AND happened_on >= toDate32({to:DateTime64(3, 'UTC')}) - 365 AND happened_on <= toDate32({to:DateTime64(3, 'UTC')})
    ) AS has_crisis,
    if(has_crisis, setting['crisis_factor'], 1) AS factor
SELECT
    tag AS risk_tag,
    count() AS n,
    max(risk_severity) AS severity_max,
    toFloat64(sum(toDecimal128(risk_weight * risk_p[tag], 12))) * factor AS load,
    uniqExact(author_key) AS authors,
    factor AS crisis_factor
FROM int_messages(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
ARRAY JOIN risk_tags AS tag
WHERE institution = {institution:String} AND deleted_at IS NULL AND role = 'addressed'
GROUP BY tag
ORDER BY load DESC, risk_tag
COMMENT 'M18. What the public''s messages put at stake, a row per risk tag: n messages from a number of distinct authors, the greatest severity (0..5) and the load: the sum over messages of a weight of the severity (0, 1, 2, 4, 8, 16) x the probability of the tag x (1 - the probability of a bot) x log2(2 + followers), times crisis_factor, which is above 1 if a crisis is on record for the year before to. A tag belongs to a message, never to a person. Parameters: institution, from, to.'
