-- Where do we stand between announcing and conversing?
-- stage S1 one-way, S2 administrative, S3 two-way, S4 toward symmetric; NULL between them. raw_stage is this period's alone; stage follows once two periods in a row agree.
-- A ladder over public messages only; answered_24h includes the unanswered.
SELECT
    stage,
    raw_stage,
    round(reply_share, 3) AS reply_share,
    round(answered_24h, 3) AS answered_24h,
    round(template_share, 3) AS template_share,
    round(loop_rate, 3) AS loop_rate,
    evidence,
    n
FROM metric_stage(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
