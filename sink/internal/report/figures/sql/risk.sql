SELECT toString(risk_tag) AS risk_tag, n, severity_max, load, authors, messages, share, share_lo, share_hi, calibrated
FROM metric_risk(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
ORDER BY load DESC, risk_tag
