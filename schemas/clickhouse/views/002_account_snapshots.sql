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
COMMENT 'Sizes of the official accounts at the time they were looked at (observed_at, UTC). A count that the platform does not give is NULL, never 0.';
ALTER TABLE account_snapshots
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN platform 'x, bluesky, mastodon, youtube, facebook, instagram, threads, telegram, tiktok, reddit or web',
    COMMENT COLUMN account 'the official account',
    COMMENT COLUMN observed_at 'when it was looked at, UTC',
    COMMENT COLUMN followers 'NULL where the platform does not tell',
    COMMENT COLUMN following 'the same of those that it follows',
    COMMENT COLUMN posts 'the same of its posts'
