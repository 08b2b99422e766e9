-- The defaults of the metric specification. A change is a new row with a later valid_from, in a new migration: what was computed under the old value stays explained.
INSERT INTO metric_settings (institution, name, valid_from, value, note, set_at)
SELECT '', setting.1, toDate32('1970-01-01'), setting.2, setting.3, toDateTime64('2026-01-01 00:00:00', 3, 'UTC')
FROM
(
    SELECT arrayJoin([
        ('stage_one_way_reply_share', 0.10, 'M26: S1 has a reply share under this'),
        ('stage_one_way_answered_24h', 0.10, 'M26: S1 answers less than this within 24 h'),
        ('stage_administrative_answered_24h', 0.10, 'M26: S2 answers at least this within 24 h'),
        ('stage_administrative_template_share', 0.70, 'M26: of the replies of S2 at least this are templates'),
        ('stage_two_way_reply_share', 0.20, 'M26: S3 has at least this reply share'),
        ('stage_two_way_answered_24h', 0.30, 'M26: S3 answers at least this within 24 h'),
        ('stage_symmetric_loop_rate', 0.20, 'M26: S4 has at least this loop rate'),
        ('template_repeats', 3, 'a reply whose text is said at least this often in the period is a template'),
        ('crisis_factor', 1.25, 'M18: what a crisis in the 12 months before the period ends makes of the load (Coombs)'),
        ('quality_least_coverage', 0.95, 'M25: under this coverage figures are greyed out'),
        ('quality_least_labels', 50, 'M25: no drift with fewer labelled messages in the period or in the 90 days before'),
        ('bait_reply_ratio', 1, 'M23: replies / (likes + 1) above this'),
        ('bait_negative_share', 0.60, 'M23: negative share above this'),
        ('shift_window_s', 604800, 'M17: the next message has to come within this time'),
        ('anomaly_z', 4, 'M19: alert above this, or below its negative'),
        ('anomaly_least', 10, 'M19: no alert for fewer messages in three hours'),
        ('anomaly_refractory_s', 43200, 'M19: after an alert no other of its kind for this time'),
        ('anomaly_live_s', 86400, 'M19: a message read later than this after it was written is a backfill'),
        ('growth_z', 5, 'M21: growth above this is unexplained unless something rose'),
        ('growth_rise', 1.5, 'M21: a day above this times its usual value is a rise'),
        ('growth_least_mad', 0.0005, 'M21: the least spread of daily growth that is believed'),
        ('coordination_window_s', 60, 'M22: equal contents within this time, 10 to 60'),
        ('coordination_times', 2, 'M22: a pair of authors has to do it at least this often'),
        ('bot_burst_s', 10, 'M20: a message this soon after the author''s last one is part of a burst'),
        ('bot_weight_burst', 0.5, 'M20: weight of the share of messages in bursts'),
        ('bot_weight_duplicate', 0.5, 'M20: weight of the share of messages that repeat an earlier text of the author'),
        ('bot_weight_young', 0.2, 'M20: weight of an account younger than bot_young_days'),
        ('bot_young_days', 30, 'M20: see bot_weight_young'),
        ('bot_weight_unfollowed', 0.2, 'M20: weight of an account with fewer followers than bot_unfollowed'),
        ('bot_unfollowed', 5, 'M20: see bot_weight_unfollowed')
    ]) AS setting
)
