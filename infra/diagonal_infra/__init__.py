"""What every stage stands on: command line, storage, run folders, logging and Ray.

cli          recipes and flags to a configuration; user errors to one line and exit code 2
errors       the exception tree
storage      paths on any fsspec file system; files that appear whole or not at all
  file_marks  whether a file is another than before
log          logging and progress bars on stderr
metrics_server  Prometheus metrics, served while a command runs
  tally  what the command has done so far;  stage_metrics  that, of any command
run_dir      the resolved configuration, written before work starts
html_page    a page that needs nothing else, and its style sheet;  charts  line charts on it
ray_cluster  one function over many units, on Ray or in this process
  ray_workers  which worker gets which unit;  shared  one object for all of them
cost         what fetching a list takes;  planner, plan  what a whole CLIP takes
launch       a make target started on this machine, under torchrun, on Ray or on a cluster
  stages  what can be launched;  profile  what a cluster is like;  shape  processes on nodes
  work  one launch;  clusters  by kind: slurm_script, slurm, kubernetes, skypilot

Imports point left only: infra ◄ data ◄ train ◄ eval. Neither infra nor data imports torch.
"""
