"""Evaluation sets: what there is, where it lies, what is true of its pictures.

    registry.py      every known set: kind, metric, classes, sizes, how to get it
      task_info.py   one entry; clip_paper.py, vtab_and_shifts.py, other_tasks.py hold them
    opening.py       open_set: a name or an address → EvalSet
      wds.py         CLIP_benchmark's and DataComp's webdatasets, local or remote
      folders.py     image folders
      own_shards.py  a dataset of ours, as retrieval
      built.py       clip_benchmark's builder over files that are there
      packaged.py    digits that come with packages
    found.py         what a source found → EvalSet: the checks, the digest
    wording.py       class names, templates and prompts, from clip_benchmark or the user

`python -m diagonal_eval.sets list` prints the table, `… markdown` that of docs/evaluation.md.
"""
