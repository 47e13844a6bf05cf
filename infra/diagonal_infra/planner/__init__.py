"""What a whole CLIP takes, from the first URL to the last step, and where scraping saturates.

config      what is asked: pairs, model, hardware, prices; the cluster that is simulated
recipes     named plans
figures     what this machine measured (benchmarks/results), and what others published
flops       the work of a model, from its widths
costs       the plan's lines, each with its assumption and where it comes from
simulation  workers that fetch, in steps of time;  outcome  what they did, and what limited it
bounds      what each resource allows by itself
sweep       how many workers still help
report      tables on stdout, JSON, a page with a chart
"""
