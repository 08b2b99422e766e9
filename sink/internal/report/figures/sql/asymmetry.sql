SELECT n, inbound, replies, asymmetry, reciprocity, targeting, authors, authors_answered, author_coverage, reply_gini
FROM metric_asymmetry(institution = {institution:String}, from = {from:DateTime64(3, 'UTC')}, to = {to:DateTime64(3, 'UTC')})
