SELECT
    n, replied, deleted, open,
    km_median_s, rmst_7d_s, incidence_1h, incidence_24h, incidence_72h, answered_p50_s, answered_p90_s,
    b_n, b_out_of_hours, b_km_median_s, b_rmst_7d_s, b_answered_p50_s, b_answered_p90_s
FROM metric_wait(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
