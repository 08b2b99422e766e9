-- How much of what is said to us looks automated or arranged?
-- inauthentic_share: the mean of a heuristic score over n authors; it says nothing about any person. coordinated: messages of authors who repeatedly said the same within a minute.
-- No row under five authors.
SELECT n, round(inauthentic_share, 3) AS inauthentic_share, messages, coordinated, round(coordinated_share, 3) AS coordinated_share, unexplained_growth_days
FROM metric_authenticity(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
WHERE n >= 5
