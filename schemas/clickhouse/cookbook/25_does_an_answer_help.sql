-- Does an answer change the tone?
-- shift: mean change of tone (-2 to 2) from the question to the author's next message after the answer; control: the same of n_control like questions still open.
-- effect = shift - control; with a small n_control it says little. n_unmatched found nothing alike.
SELECT n, n_control, round(shift, 3) AS shift, round(control, 3) AS control, round(effect, 3) AS effect, n_unmatched
FROM metric_sentiment_shift(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
