"""Copies of the same picture and pictures of evaluation sets: what each row is near to, as scores.

near_hashes     all pairs of hashes within a distance, without a cross join
clusters        union-find on whole arrays; which row of a cluster stays
duplicates      clusters by digests and by perceptual hashes
pdq             Meta's 256-bit perceptual hash
picture_hashes  PDQ of the stored pictures, a score set of its own
semantic        SemDeDup's statistic: the nearest row before each one of its k-means cluster
stored_rows     what is read of the row tables, and what a result was computed of
embeddings      a dataset's embeddings, checked against its rows
eval_index      hashes of evaluation sets in one file, without the pictures
config          the commands' configurations; recipes: the named ones
__main__        the command
"""
