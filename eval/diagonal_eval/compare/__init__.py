"""Command: two evaluations → what differs, with paired tests and the samples that changed.

config        configuration;  __main__  the command
folders       results.json and predictions of both; what cannot be compared, and why
metrics       a task's headline out of both tables of predictions, for any weights of the samples
significance  exact McNemar, paired bootstrap
tasks         one task compared;  verdict  all of them, in words
outcome       compare.json, changed.parquet, the terminal's table;  page  compare.html
"""
