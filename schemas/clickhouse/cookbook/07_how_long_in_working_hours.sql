-- How long do people wait in working hours?
-- n requests for which the calendar reaches; hours of work, the open ones included. Half were answered within median_h; mean_168h counts each wait up to 168 hours of work, over four weeks.
-- out_of_hours counts answers to which no working time passed; they are left out. All is NULL without a calendar.
SELECT
    b_n AS n,
    b_open AS open,
    b_out_of_hours AS out_of_hours,
    round(b_km_median_s / 3600, 1) AS median_h,
    round(b_rmst_7d_s / 3600, 1) AS mean_168h,
    round(b_answered_p90_s / 3600, 1) AS answered_p90_h
FROM metric_wait(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
