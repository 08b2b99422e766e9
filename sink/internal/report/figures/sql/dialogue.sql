SELECT n, threads, looped, loop_rate, depth_p50, depth_p90
FROM metric_dialogue(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
