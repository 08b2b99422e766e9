SELECT n, answered, rate, lo, hi
FROM metric_response_rate(
    institution = {institution:String},
    from = {from:DateTime64(3, 'UTC')},
    to = {to:DateTime64(3, 'UTC')},
    window_s = {window_s:Float64})
