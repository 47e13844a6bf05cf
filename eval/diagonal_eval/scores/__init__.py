"""Score columns of a dataset: what models and measures say of each sample, one file per kind.

__main__   command: `python -m diagonal_eval.scores KIND --dataset D`
config     flags of each kind, and the recipes
run        which shards lack scores; one after the other, here or on Ray
scorer     what a kind is: columns, digest, a function from a batch to columns
  clip       cosine of picture and caption, and the embeddings
  text       language, length, concepts of the caption;  concepts  MetaCLIP's matching
  image      hashes, sharpness, entropy, aspect
  safety     nudity, faces, toxic captions
  ocr        text in the picture, and the cosine without it
"""
