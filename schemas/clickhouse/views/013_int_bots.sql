-- A heuristic of behaviour, computed when it is asked for and stored nowhere: 1 - the product of (1 - weight x sign) over four signs, or the mean of bot_p where something estimated it.
CREATE OR REPLACE VIEW int_bots AS
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
    written AS
    (
        SELECT
            *,
            min(created_at) OVER (PARTITION BY author_key ORDER BY created_at, platform, message_id ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING) AS previous_at,
            count() OVER (PARTITION BY author_key ORDER BY created_at, platform, message_id ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING) AS earlier,
            count() OVER (PARTITION BY author_key, text_hash ORDER BY created_at, platform, message_id ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING) AS same_earlier
        FROM int_messages
        WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')}
            AND deleted_at IS NULL AND role = 'addressed'
    ),
    scored AS
    (
        SELECT
            author_key,
            count() AS wrote,
            countIf(earlier > 0 AND dateDiff('millisecond', previous_at, created_at) <= setting['bot_burst_s'] * 1000) / wrote AS burst,
            countIf(text_hash != 0 AND same_earlier > 0) / wrote AS duplicate,
            max(ifNull(dateDiff('millisecond', author_created_at, created_at) < setting['bot_young_days'] * 86400000, false)) AS young,
            ifNull(max(author_followers) < setting['bot_unfollowed'], false) AS unfollowed,
            countIf(bot_p IS NOT NULL) AS told,
            toFloat64(sum(toDecimal128(toFloat64(ifNull(bot_p, 0)), 12))) / greatest(1, told) AS told_mean,
            if(told > 0, told_mean,
                least(1, greatest(0, 1 - (1 - setting['bot_weight_burst'] * burst) * (1 - setting['bot_weight_duplicate'] * duplicate)
                    * (1 - setting['bot_weight_young'] * young) * (1 - setting['bot_weight_unfollowed'] * unfollowed)))) AS bot
        FROM written
        GROUP BY author_key
    )
SELECT author_key, wrote, bot
FROM scored
COMMENT 'Internal. How automated the authors of a period''s messages to the institution look, from 0 to 1: a heuristic of the stream, never to be shown of anybody. Parameters: institution, from, to.'
