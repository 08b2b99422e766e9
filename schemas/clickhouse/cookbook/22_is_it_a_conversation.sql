-- Is it a conversation?
-- Of the threads in which somebody got an answer, loop_rate is the share in which that somebody wrote again afterwards; depth counts the turns of such a thread.
SELECT threads, looped, round(loop_rate, 3) AS loop_rate, round(depth_p50, 1) AS depth_p50, round(depth_p90, 1) AS depth_p90
FROM metric_dialogue(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
