-- What did the greatest spike consist of?
-- What came in on the busiest local day of the period (choose from and to so that it is the one you mean), by what it is about, beside a usual day: the mean of the others.
-- times is NULL for what usually does not come; a message with two tags counts under both. What under five authors wrote of that day is left out.
WITH
    (SELECT any(utc_offset_s) FROM institution_settings FINAL WHERE institution = {institution:String}) AS offset_s,
    incoming AS
    (
        SELECT
            toDate32(created_at + toIntervalSecond(offset_s)) AS day,
            arrayJoin(if(empty(risk_tags), ['none'], risk_tags)) AS about,
            sentiment,
            platform,
            message_id,
            author_key
        FROM messages
        WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')} AND direction = 'inbound' AND kind != 'repost' AND NOT is_auto
    ),
    days AS
    (
        SELECT day, uniqExact(platform, message_id) AS n
        FROM incoming
        GROUP BY day
    ),
    (SELECT argMax(day, (n, day)) FROM days) AS spike,
    (SELECT greatest(1, count() - 1) FROM days) AS others
SELECT
    spike AS busiest_day,
    about,
    countIf(day = spike) AS n,
    round(n / sum(n) OVER (), 3) AS share,
    round(countIf(day = spike AND sentiment = 'negative') / nullIf(n, 0), 3) AS negative_share,
    round(countIf(day != spike) / others, 2) AS usual,
    round(n / nullIf(countIf(day != spike) / others, 0), 1) AS times
FROM incoming
GROUP BY about
HAVING uniqExactIf(author_key, day = spike) >= 5
ORDER BY n DESC, about
LIMIT 20
