-- The period and the two before it, of equal length, are judged in one pass: period 0, 1 and 2 counted backwards from to. A stage stands until two periods in a row say
-- something else, so that one odd month does not move it; more than three periods are not looked at.
-- Each message is a row for itself (own) and a row per author, as in metric_dialogue; said holds what is counted by message, the rest is by author.
CREATE OR REPLACE VIEW metric_stage AS
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
        SELECT groupArray(happened_on)
        FROM institution_events
        WHERE institution = {institution:String} AND kind = 'change_made'
    ) AS changes,
    toUnixTimestamp64Milli({to:DateTime64(3, 'UTC')}) AS to_ms,
    greatest(1, to_ms - toUnixTimestamp64Milli({from:DateTime64(3, 'UTC')})) AS length_ms,
    threads AS
    (
        SELECT
            period,
            max(wrote AND arrayExists(r -> r >= first_in, reply_times)) AS is_answered,
            max(wrote AND arrayExists(r -> r >= first_in AND r < last_in, reply_times)) AS came_back,
            sum(own_broadcasts) AS said_broadcasts,
            sum(own_replies) AS said_replies,
            sumMap(own_texts) AS said_texts
        FROM
        (
            SELECT
                intDiv(to_ms - 1 - toUnixTimestamp64Milli(created_at), length_ms) AS period,
                platform,
                thread,
                part.1 AS own,
                part.2 AS author,
                countIf(own AND role = 'broadcast') AS own_broadcasts,
                countIf(own AND role = 'reply') AS own_replies,
                sumMapIf(map(text_hash, toUInt64(1)), own AND role = 'reply' AND text_hash != 0) AS own_texts,
                countIf(NOT own AND role = 'addressed') > 0 AS wrote,
                minIf(created_at, NOT own AND role = 'addressed') AS first_in,
                maxIf(created_at, NOT own AND role = 'addressed') AS last_in,
                groupArrayIf(created_at, NOT own AND role = 'reply') AS reply_times
            FROM int_messages
            ARRAY JOIN arrayPushFront(arrayMap(a -> (false, a), authors), (true, '')) AS part
            WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} - toIntervalMillisecond(2 * greatest(0, dateDiff('millisecond', {from:DateTime64(3, 'UTC')}, {to:DateTime64(3, 'UTC')}))) AND created_at < {to:DateTime64(3, 'UTC')}
                AND deleted_at IS NULL AND role IN ('broadcast', 'reply', 'addressed')
            GROUP BY period, platform, thread, own, author
        )
        GROUP BY period, platform, thread
    ),
    figures AS
    (
        SELECT
            period,
            sum(broadcasts) AS all_broadcasts,
            sum(replies) AS all_replies,
            all_replies / nullIf(all_broadcasts + all_replies, 0) AS reply_share,
            sum(templates) / nullIf(all_replies, 0) AS template_share,
            sum(looped) / nullIf(sum(answered_threads), 0) AS loop_rate,
            sum(answered) / nullIf(sum(matured), 0) AS answered_24h
        FROM
        (
            SELECT
                period, sum(said_broadcasts) AS broadcasts, sum(said_replies) AS replies,
                arraySum(arrayFilter(c -> c >= setting['template_repeats'], mapValues(sumMap(said_texts)))) AS templates,
                countIf(is_answered) AS answered_threads, countIf(is_answered AND came_back) AS looped, 0 AS matured, 0 AS answered
            FROM threads
            GROUP BY period
            UNION ALL
            SELECT
                intDiv(to_ms - 1 - toUnixTimestamp64Milli(asked_at), length_ms) AS period, 0 AS broadcasts, 0 AS replies, 0 AS templates, 0 AS answered_threads, 0 AS looped,
                countIf(observed_s >= 86400 AND NOT (outcome = 'deleted' AND wait_s <= 86400)) AS matured,
                countIf(observed_s >= 86400 AND outcome = 'replied' AND wait_s <= 86400) AS answered
            FROM int_requests(
                institution = {institution:String},
                from = {from:DateTime64(3, 'UTC')} - toIntervalMillisecond(2 * greatest(0, dateDiff('millisecond', {from:DateTime64(3, 'UTC')}, {to:DateTime64(3, 'UTC')}))),
                to = {to:DateTime64(3, 'UTC')})
            WHERE institution = {institution:String}
            GROUP BY period
            UNION ALL
            SELECT arrayJoin(range(3)) AS period, 0 AS broadcasts, 0 AS replies, 0 AS templates, 0 AS answered_threads, 0 AS looped, 0 AS matured, 0 AS answered
        )
        GROUP BY period
    ),
    judged AS
    (
        SELECT
            *,
            toDate32(fromUnixTimestamp64Milli(to_ms - period * length_ms, 'UTC')) AS ended_on,
            arrayExists(d -> dateDiff('day', d, ended_on) BETWEEN 0 AND setting['evidence_days'], changes) AS evidence,
            multiIf(
                ifNull(loop_rate >= setting['stage_symmetric_loop_rate'], false) AND evidence, 'S4',
                ifNull(reply_share >= setting['stage_two_way_reply_share'] AND answered_24h >= setting['stage_two_way_answered_24h'], false), 'S3',
                ifNull(answered_24h >= setting['stage_administrative_answered_24h'] AND template_share >= setting['stage_administrative_template_share'], false), 'S2',
                ifNull(reply_share < setting['stage_one_way_reply_share'] AND answered_24h < setting['stage_one_way_answered_24h'], false), 'S1',
                '') AS seen
        FROM figures
    )
SELECT
    nullIf(multiIf(n = 0, '', raw_stage = previous, raw_stage, previous != '' AND previous = before_previous, previous, raw_stage), '') AS stage,
    if(n = 0, ['nothing was said'], arrayConcat(
        [
            multiIf(reply_share IS NULL, 'reply_share unknown',
                reply_share >= setting['stage_two_way_reply_share'], 'reply_share >= ' || toString(setting['stage_two_way_reply_share']),
                reply_share < setting['stage_one_way_reply_share'], 'reply_share < ' || toString(setting['stage_one_way_reply_share']),
                toString(setting['stage_one_way_reply_share']) || ' <= reply_share < ' || toString(setting['stage_two_way_reply_share'])),
            multiIf(answered_24h IS NULL, 'answered_24h unknown',
                answered_24h >= setting['stage_two_way_answered_24h'], 'answered_24h >= ' || toString(setting['stage_two_way_answered_24h']),
                answered_24h < setting['stage_one_way_answered_24h'], 'answered_24h < ' || toString(setting['stage_one_way_answered_24h']),
                toString(setting['stage_one_way_answered_24h']) || ' <= answered_24h < ' || toString(setting['stage_two_way_answered_24h'])),
            multiIf(template_share IS NULL, 'template_share unknown',
                template_share >= setting['stage_administrative_template_share'], 'template_share >= ' || toString(setting['stage_administrative_template_share']),
                'template_share < ' || toString(setting['stage_administrative_template_share'])),
            multiIf(loop_rate IS NULL, 'loop_rate unknown',
                loop_rate >= setting['stage_symmetric_loop_rate'], 'loop_rate >= ' || toString(setting['stage_symmetric_loop_rate']),
                'loop_rate < ' || toString(setting['stage_symmetric_loop_rate'])),
            if(has_evidence, 'evidence of a change made', 'no evidence of a change made')
        ],
        if(ifNull(stage, '') = raw_stage, [], ['held: a stage changes after two periods in a row']))) AS reasons,
    raw_stage,
    reply_share,
    answered_24h,
    template_share,
    loop_rate,
    toBool(has_evidence) AS evidence,
    n
FROM
(
    SELECT
        anyIf(seen, period = 0) AS raw_stage,
        anyIf(seen, period = 1) AS previous,
        anyIf(seen, period = 2) AS before_previous,
        anyIf(judged.reply_share, period = 0) AS reply_share,
        anyIf(judged.answered_24h, period = 0) AS answered_24h,
        anyIf(judged.template_share, period = 0) AS template_share,
        anyIf(judged.loop_rate, period = 0) AS loop_rate,
        anyIf(judged.evidence, period = 0) AS has_evidence,
        sumIf(all_broadcasts + all_replies, period = 0) AS n
    FROM judged
)
COMMENT 'Where the institution stands on the ladder from one-way information to two-way communication: S1 one-way, S2 administrative, S3 two-way asymmetric, S4 toward symmetric; NULL where the figures are between stages. raw_stage is that of this period alone (empty for none); stage follows it once two periods in a row agree. reasons names what each figure says: reply_share (M1), answered_24h (M2), template_share (of the human replies, those whose text is repeated), loop_rate (M12), and whether people recorded a change made (table institution_events). Thresholds are rows of metric_settings. n = broadcasts + replies. Parameters: institution, from, to. One row. In METRICS.md: M26.'
