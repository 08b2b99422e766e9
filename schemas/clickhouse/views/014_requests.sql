CREATE OR REPLACE VIEW requests AS
SELECT
    institution,
    request_id,
    platform,
    root_id,
    author_key,
    asked_at,
    answered_at,
    deleted_at,
    outcome,
    wait_s,
    business_wait_s
FROM int_waits(institution = '', from = '1970-01-02 00:00:00', to = '2299-12-31 00:00:00')
COMMENT 'A row per request: a question or complaint of an author in a thread, with what became of it. outcome: replied, deleted (by its author, before a reply) or open. wait_s: seconds from asking to the reply, the deletion, or the last instant that is known; business_wait_s: the part of it in working hours, NULL without a calendar. Always filter by institution. Times are UTC.';
ALTER TABLE requests
    COMMENT COLUMN institution 'the institution as in institutions.yaml',
    COMMENT COLUMN request_id 'the message_id of the question; empty for one that was erased',
    COMMENT COLUMN platform 'x, bluesky, mastodon, youtube, facebook, instagram, threads, telegram, tiktok, reddit or web',
    COMMENT COLUMN root_id 'the first message of its thread',
    COMMENT COLUMN author_key 'who asked, as a keyed hash; empty if the message was deleted',
    COMMENT COLUMN asked_at 'UTC',
    COMMENT COLUMN answered_at 'the first human reply to its author in the thread, UTC; NULL unless replied',
    COMMENT COLUMN deleted_at 'when its author deleted it unanswered, UTC; NULL unless deleted',
    COMMENT COLUMN outcome 'replied, deleted or open, as far as is known',
    COMMENT COLUMN wait_s 'seconds from asking to the reply, the deletion or the last instant that is known',
    COMMENT COLUMN business_wait_s 'the part of wait_s in working hours; NULL without a calendar'
