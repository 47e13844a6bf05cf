"""Filters annotate, they never delete: a recipe over row tables gives a keep list.

rules       hold-out, caption length, image shape, duplicates: which rows each drops, and why
keep_list   the keep.npy format, shared with DataComp
report      report.html: the funnel and pictures per reason
__main__    the command
"""
