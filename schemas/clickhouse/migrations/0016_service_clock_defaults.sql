-- Which requests are complaints is read from the risk tags, a proxy: allegations against people go to inspection, withheld information is a request under the law on public information.
INSERT INTO service_clocks (institution, clock, valid_from, days, unit, tags, source, set_at)
SELECT '', row.1, toDate32('1970-01-01'), row.2, row.3, row.4, row.5, toDateTime64('2026-01-01 00:00:00', 3, 'UTC')
FROM
(
    SELECT arrayJoin([
        ('acknowledgement', 3, 'working_days', CAST([], 'Array(String)'), 'PermenPANRB 62/2018 (SP4N): follow-up begins within 3 working days'),
        ('information', 5, 'working_days', ['none'], 'PermenPANRB 62/2018 (SP4N): requests for information'),
        ('complaint', 14, 'working_days', ['service_failure', 'non_response', 'wrong_information', 'hoax_impersonation', 'improper_content', 'inauthentic_engagement', 'data_leak_secret', 'public_safety', 'policy_criticism'], 'PermenPANRB 62/2018 (SP4N): complaints without inspection'),
        ('inspection', 60, 'days', ['misconduct_corruption', 'abuse_discrimination', 'partisanship_bias'], 'PermenPANRB 62/2018 (SP4N): complaints with inspection'),
        ('public_information', 10, 'working_days', ['nondisclosure'], 'UU 14/2008 art. 22: requests for public information'),
        ('public_information_extended', 17, 'working_days', ['nondisclosure'], 'UU 14/2008 art. 22: with the extension of 7 working days')
    ]) AS row
)
