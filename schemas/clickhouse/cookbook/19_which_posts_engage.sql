-- What do we publish, and what does each kind earn?
-- Per post and 1000 followers: likes (popularity), comments (commitment), shares (virality); posts without a count are left out of it. share is of all n posts together.
SELECT
    content_function,
    n,
    round(share, 3) AS share,
    round(p3, 2) AS likes_per_1000,
    round(c3, 2) AS comments_per_1000,
    round(v3, 2) AS shares_per_1000,
    round(e, 2) AS engagement
FROM metric_content(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
ORDER BY n DESC, content_function
