"""Pictures against labels typed on the command line.

config      flags
classify    pictures and labels become probabilities
output      as a table, JSON or CSV
command     `python -m diagonal_eval.zeroshot classify`
"""
