-- Coordination: pairs of authors that used the same text or address within the window, in at least coordination_times messages of each; contents that the institution itself used are left out.
CREATE OR REPLACE VIEW metric_authenticity AS
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
    contents AS
    (
        SELECT
            content,
            arraySort(groupArrayIf((toUnixTimestamp64Milli(created_at), author_key, platform, message_id), role = 'addressed')) AS uses
        FROM int_messages
        ARRAY JOIN arrayDistinct(arrayFilter(h -> h != 0, arrayPushBack(link_hashes, text_hash))) AS content
        WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')}
            AND deleted_at IS NULL AND role IN ('addressed', 'broadcast', 'reply', 'auto_reply')
        GROUP BY content
        HAVING countIf(role != 'addressed') = 0 AND length(uses) > 1
    ),
    pairs AS
    (
        SELECT
            groupUniqArray((pair.1.3, pair.1.4)) AS of_one,
            groupUniqArray((pair.2.3, pair.2.4)) AS of_other
        FROM
        (
            SELECT arrayJoin(arrayFlatten(arrayMap(
                x -> arrayMap(y -> (x, y), arrayFilter(y -> x.2 < y.2 AND abs(x.1 - y.1) <= setting['coordination_window_s'] * 1000, uses)), uses))) AS pair
            FROM contents
        )
        GROUP BY pair.1.2, pair.2.2
        HAVING least(length(of_one), length(of_other)) >= setting['coordination_times']
    )
SELECT
    count() AS n,
    toFloat64(sum(toDecimal128(bot, 12))) / nullIf(count(), 0) AS inauthentic_share,
    coordinated / nullIf(messages, 0) AS coordinated_share,
    (
        SELECT countIf(unexplained)
        FROM series_follower_growth(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
    ) AS unexplained_growth_days,
    sum(wrote) AS messages,
    (SELECT uniqExact(arrayJoin(arrayConcat(of_one, of_other))) FROM pairs) AS coordinated
FROM int_bots(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
COMMENT 'How much of what is said to the institution looks automated or arranged. n: authors; inauthentic_share: the mean over them of a bot score from 0 to 1, which is a heuristic (bursts, repeated texts, a young account, hardly any followers; weights in metric_settings) and says nothing about any person. coordinated_share: of the messages, those (coordinated) by pairs of authors who at least twice used the same text or address within 60 seconds. unexplained_growth_days: see series_follower_growth. Parameters: institution, from, to. One row. In METRICS.md: M20-M22.'
