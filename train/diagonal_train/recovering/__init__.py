"""What goes wrong in a run, and what is done about it.

recovery        bad steps are passed, bad stretches gone back behind;  spikes  what is bad
signals         a request to stop, seen by all ranks behind the same step
watchdog        who hangs, and where;  rank_times  who is slow
out_of_memory   an error that says what to change
"""
