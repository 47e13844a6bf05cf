"""A dataset in the browser, and as JSON: look, search, compare; nothing is ever written to it.

config       flags and recipes        __main__    command: serve the pages, or write report.html
snapshot     shards and where their rows are counted from, noticed anew when the dataset changes
row_index    where every uid is, and which rows are samples: a few bytes per row
values       one numeric column of all samples: histogram, threshold, clusters
cards        rows as the pages show them, without what is taken down; samples with all columns
selection    SQL conditions, page by page;  diff  two filters against each other
embeddings   nearest pictures by cosine over mapped fp16 sidecars
playground   zero-shot ranking and similarity matrix with the model at hand
explorer     all of these behind one door, with what is kept in memory
asked        what a page may be asked: bounded fields
browse       looking and searching;  compare  thresholds, filters, copies;  model_pages  the model
pages        every page and its JSON twin, by path
server       the application: headers, refusals, errors, the socket on 127.0.0.1
report       the contact sheets as one file
templates/   Jinja, everything escaped;  static/  style sheet and script
"""
