-- Followers are those at the time of the post: as delivered with it, else of the account's latest snapshot before it. A post without a count is left out of that count's
-- figures. Ratios are summed as decimals, so that the order of reading does not show in the last digit.
CREATE OR REPLACE VIEW metric_content AS
WITH
    posts AS
    (
        SELECT
            p.message_id AS message_id,
            if(p.content_function = '', 'unknown', p.content_function) AS content_function,
            p.likes AS likes,
            p.replies AS replies,
            p.shares AS shares,
            nullIf(ifNull(p.author_followers, if(c.account = '', NULL, c.followers)), 0) AS followers
        FROM
        (
            SELECT *
            FROM int_messages
            WHERE institution = {institution:String} AND created_at >= {from:DateTime64(3, 'UTC')} AND created_at < {to:DateTime64(3, 'UTC')}
                AND deleted_at IS NULL AND role = 'broadcast'
        ) AS p
        ASOF LEFT JOIN
        (
            SELECT platform, account, observed_at, max(account_counts.followers) AS followers
            FROM account_counts
            WHERE institution = {institution:String}
            GROUP BY platform, account, observed_at
        ) AS c ON c.platform = p.platform AND c.account = p.account AND p.created_at >= c.observed_at
    ),
    functions AS
    (
        SELECT
            content_function,
            count() AS posts_here,
            countIf(likes > 0) / nullIf(countIf(likes IS NOT NULL), 0) AS liked,
            avgOrNull(likes) AS likes_each,
            1000 * toFloat64(sum(toDecimal128(ifNull(likes / followers, 0), 18))) / nullIf(countIf(likes / followers IS NOT NULL), 0) AS likes_per_1000,
            countIf(replies > 0) / nullIf(countIf(replies IS NOT NULL), 0) AS commented,
            avgOrNull(replies) AS comments_each,
            1000 * toFloat64(sum(toDecimal128(ifNull(replies / followers, 0), 18))) / nullIf(countIf(replies / followers IS NOT NULL), 0) AS comments_per_1000,
            countIf(shares > 0) / nullIf(countIf(shares IS NOT NULL), 0) AS shared,
            avgOrNull(shares) AS shares_each,
            1000 * toFloat64(sum(toDecimal128(ifNull(shares / followers, 0), 18))) / nullIf(countIf(shares / followers IS NOT NULL), 0) AS shares_per_1000
        FROM posts
        GROUP BY content_function
    )
SELECT
    content_function,
    posts_here AS posts,
    posts_here / sum(posts_here) OVER () AS share,
    liked AS p1,
    likes_each AS p2,
    likes_per_1000 AS p3,
    commented AS c1,
    comments_each AS c2,
    comments_per_1000 AS c3,
    shared AS v1,
    shares_each AS v2,
    shares_per_1000 AS v3,
    likes_per_1000 + comments_per_1000 + shares_per_1000 AS e,
    log2(sum(posts_here) OVER ()) - sum(posts_here * log2(posts_here)) OVER () / sum(posts_here) OVER () AS entropy,
    posts_here AS n
FROM functions
ORDER BY content_function
COMMENT 'What the institution publishes and what it gets for it, a row per function of its posts (informative, educative, entertaining, mixed, other, unknown). posts and their share of all. p1, p2, p3 (popularity): posts that were liked / posts, likes per post, likes per post and 1000 followers of that time; c1-c3 the same for comments (commitment), v1-v3 for shares (virality); e = p3 + c3 + v3, engagement (Bonson & Ratkai 2013). Posts for which the platform gives no count are left out of it; NULL where there is nothing to divide by. entropy: how mixed all posts are, in bits, 0 for one function only; the same in every row. Parameters: institution, from, to. In METRICS.md: M14, M15.'
