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
COMMENT 'A row per request: a question or complaint of an author in a thread, with what became of it. outcome: replied, deleted (by its author, before a reply) or open. wait_s: seconds from asking to the reply, the deletion, or the last instant that is known; business_wait_s: the part of it in working hours, NULL without a calendar. Always filter by institution. Times are UTC.'
