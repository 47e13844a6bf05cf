"""The CLIP paper's claims, tried on the demo's drawings; `make bench WHAT=claims` runs them.

arms.py         what is trained: one configuration per arm
contrastive.py  an arm by our train loop
prediction.py   models that predict a caption's words or the caption itself, and their loop
exam.py         zero-shot accuracy of any of them, by the same questions
table.py        the tables of benchmarks/results
page.py         docs/results.md
plots.py        its charts
"""
