"""What a trained dual encoder can do, measured: every number with its n and a 95 % interval.

config       configuration of the demo's evaluation;  recipes  named choices of the command
__main__     command: demo, zeroshot, probe, fine-tune
  evalset      one split of an evaluation set;  sets/  which there are, and where
  features     pictures and texts → fp32 features, kept by content, shared by ranks
  suite/       every number of any set;  suite_report/  page, tables, model card
  probes/      linear probe, few-shot curves, fine-tuning;  weak_spots/  what CLIP is bad at
  metrics      numbers of weighted samples;  intervals  Wilson and bootstrap
  calibration  and calibration_error, temperature: can confidence be believed?
  bias         and group_errors, spread: who is served worse, and is it chance?
  robustness   and robustness_report: under shift, and beside other models
zeroshot     prompt ensembles, classifiers, predictions; command classify (classify/)
retrieval    recall@k with several right answers; commands search and export (search/)
compare/     command: two evaluations by paired tests
embed        the one door to diagonal_train's models: pictures and texts → fp16 embeddings, cached
  model_names  what names a model;  ahead  batches decoded while the model works
  dataset      finished shards, their samples and funnels, read by byte range
demo_eval    the demo: held-out drawings
  demo_tasks   its ground truth joined to the dataset;  training_data  what the run was trained on
  results      all measurements, and the JSON and Parquet they are written as
  pictures     sample sheet, similarity matrices and loss curve, gathered for the report
  report       one self-contained HTML page;  report_tables  its tables;  charts, dot_charts  SVG
scores/      command: dataset → score columns and embeddings, one file per kind
explore/     command: dataset (and model) → pages and a JSON API on 127.0.0.1, or one report.html
demo         the whole way from the demo web to the report
"""
