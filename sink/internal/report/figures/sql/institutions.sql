SELECT
    toString(institution) AS institution,
    name,
    toString(zone) AS zone,
    toString(calendar) AS calendar
FROM institution_settings FINAL
ORDER BY institution
