"""What a trained dual encoder can do, measured: every number with its n and a 95 % interval.

config       configuration tree of the command;  recipes  named choices
__main__     command: checkpoint × dataset → results.json, predictions.parquet, report.html
  dataset      finished shards, their samples and funnels, read by byte range
  training_data  what the run was trained on: funnel and leak check
  embed        the one door to diagonal_train's models: pictures and texts → fp16 embeddings, cached
  ahead        batches that are decoded while the model works on the ones before
  demo_tasks   the demo's ground truth joined to the dataset: which classes for which pictures
  zeroshot     prompt ensembles, classifiers, predictions, accuracy
  retrieval    recall@k with several right answers
  intervals    Wilson and bootstrap
  results      all measurements of a checkpoint, and the JSON and Parquet they are written as
  pictures     sample sheet, similarity matrices and loss curve, gathered for the report
  charts       SVG bars, PNG heat maps
  report       one self-contained HTML page;  report_tables  its tables
scores/      command: dataset → score columns and embeddings, one file per kind
explore/     command: dataset (and model) → pages and a JSON API on 127.0.0.1, or one report.html
demo         the whole way from the demo web to the report
"""
