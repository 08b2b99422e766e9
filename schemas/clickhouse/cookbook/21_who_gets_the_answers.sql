-- Who speaks, and do a few get all the answers?
-- asymmetry: 1 only the public speaks, -1 only we. author_coverage: of the authors who wrote, those with an answer. reply_gini: 0 all get as many, towards 1 a few get all.
-- top1_share: what the most answered hundredth got. No row under five authors.
SELECT
    inbound,
    replies,
    round(asymmetry, 3) AS asymmetry,
    round(reciprocity, 3) AS reciprocity,
    authors,
    round(author_coverage, 3) AS author_coverage,
    round(reply_gini, 3) AS reply_gini,
    round(reply_top1_share, 3) AS top1_share
FROM metric_asymmetry(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
WHERE authors >= 5
