"""What can be said of a run before its first step.

preflight       set-ups that would train wrongly are refused
dry_run         size, work, memory, time and cost of a run
footprint       parameters, FLOPs and kept bytes of a model, measured without its weights
"""
