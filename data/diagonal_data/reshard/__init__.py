"""Reshard: a dataset and a keep list to a dataset of their own, by byte copies.

__main__    command
config      its flags
building    the whole: plan, copy in parallel, manifest
plan        which sample goes where, and what its copies are called
ranges      bytes of samples out of many tars, local or remote
copying     one new shard: tar, row table, stats
samples     the same sample by sample, for who changes them on the way
"""
