-- Would the figures be others if automated accounts counted less?
-- raw is the figure as its own view gives it, weighted the same with every message counted by how human its author looks (a heuristic). Show both; a great difference is worth a look.
SELECT metric, round(raw, 3) AS raw, round(weighted, 3) AS weighted, n
FROM metric_weighted(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
ORDER BY metric
