-- max over equal rows: a repeat changes nothing, in whatever order rows arrive.
CREATE OR REPLACE VIEW account_snapshots AS
SELECT
    institution,
    platform,
    account,
    observed_at,
    max(account_counts.followers) AS followers,
    max(account_counts.following) AS following,
    max(account_counts.posts) AS posts
FROM account_counts
GROUP BY institution, platform, account, observed_at
COMMENT 'Sizes of the official accounts at the time they were looked at (observed_at, UTC). A count that the platform does not give is NULL, never 0.'
