"""Filters annotate, they never delete: a recipe over row tables and scores gives a keep list.

config      what a recipe says          recipes     the named ones, with published parameters
rules       a recipe as SQL conditions, each with a reason
sql         conditions as users write them: checked on the syntax tree, run where no file is seen
columns     what SQL may name, and where the values come from
scan        rows and scores of a dataset, shard by shard, with a check that they belong together
cache       what was scanned, in few files beside the dataset, for the filters to come
ranks       quantiles and top shares    texts       words of captions, hosts of URLs
query       the one scan: conditions and keys as a query of DuckDB
match       one condition, some shards at a time: what the explorer asks
pool        the rows with their reasons so far
steps       rules that compare samples: copies, balancing, caps, draws, weights
nearest     image-based selection       draws       lots by seed and uid
select      all of these in order
algebra     `a & b`, `a | b`, `a - b`   lists       filters combined, imported, exported
inputs      digests of what a filter was made of, and whether it is stale
keep_list   the keep.npy format, shared with DataComp
write       the filter's folder         report      report.html: funnel, histograms, pictures
__main__    the command
"""
