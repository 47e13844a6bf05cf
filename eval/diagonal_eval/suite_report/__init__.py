"""Results that a paper's table can be built from: a page, tables and a model card.

write        results and OUTPUT/predictions/ → all files of the report
record       results.json as dataclasses;  predictions  per-sample predictions of one task
provenance   checkpoint, digests, versions
page         report.html;  plots, curves, matrices, pictures, robustness: what stands in it
tables       results.md, results.csv, results.tex
card         README.md in Hugging Face's format
"""
