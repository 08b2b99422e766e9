-- For an instant t the last span with s <= t gives cum + least(t, e) - s, and the difference of two such sums is the working time between. Only the spans of the calendars that are
-- used here are read; what matches the last span of no length is past the calendar's end.
CREATE OR REPLACE VIEW int_waits AS
WITH
    clocks AS
    (
        SELECT institution, calendar, utc_offset_s
        FROM institution_settings FINAL
        WHERE ({institution:String} = '' OR institution = {institution:String})
    ),
    spans AS
    (
        SELECT calendar, utc_offset_s, s, e, cum
        FROM business_spans
        WHERE (calendar, utc_offset_s) IN (SELECT calendar, utc_offset_s FROM clocks)
    )
SELECT
    q.institution AS institution,
    q.request_id AS request_id,
    q.platform AS platform,
    q.root_id AS root_id,
    q.author_key AS author_key,
    q.asked_at AS asked_at,
    q.answered_at AS answered_at,
    q.deleted_at AS deleted_at,
    q.outcome AS outcome,
    q.wait_s AS wait_s,
    if(ifNull(s0.calendar, '') = '' OR ifNull(s1.calendar, '') = '' OR s1.s = s1.e, NULL,
        (dateDiff('millisecond', s1.s, least(q.ended_at, s1.e)) - dateDiff('millisecond', s0.s, least(q.asked_at, s0.e))) / 1000
            + (s1.cum - s0.cum)) AS business_wait_s,
    q.follows_reply AS follows_reply
FROM
(
    SELECT r.*, i.calendar AS calendar, i.utc_offset_s AS utc_offset_s
    FROM int_requests(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')}) AS r
    LEFT JOIN clocks AS i ON i.institution = r.institution
) AS q
ASOF LEFT JOIN spans AS s0
    ON s0.calendar = q.calendar AND s0.utc_offset_s = q.utc_offset_s AND q.asked_at >= s0.s
ASOF LEFT JOIN spans AS s1
    ON s1.calendar = q.calendar AND s1.utc_offset_s = q.utc_offset_s AND q.ended_at >= s1.s
COMMENT 'Internal. int_requests with business_wait_s, the part of wait_s in working hours; NULL where the institution has no calendar or the calendar does not reach.'
