"""Zero-shot evaluation over any number of sets: one model, one pass over every picture.

config          configuration of `python -m diagonal_eval zeroshot`
run             checkpoint × tasks → results.json, predictions/, tables, report
  opening         the sets of the tasks
  measured        what a task's measurement is, and its table of predictions
  classification  one label per picture;  multilabel  any number of them
  class_design    what other classes beside the set's own do to people
  each_template   what the wording of the prompt does
  retrieving      pictures and captions;  selecting  the right caption before the wrong ones
follow          the checkpoints of a run, as they land;  ray_validation  as Ray Train reports them
"""
