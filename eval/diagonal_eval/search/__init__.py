"""Search over a dataset's embeddings, and their way into vector databases.

config      flags of `search` and `export`
sources     which embeddings are a model's; a shard's arrays, mapped; made by the scorer if missing
kinds       faiss: flat, HNSW and IVF, and how far each must look to find what is there
index       an index over all shards, stored beside the embeddings
query       a question becomes a vector, and the nearest rows become hits
output      hits as a table, JSON, CSV or a page with pictures
export      uid, url, caption and vectors as Parquet or Lance
command     `python -m diagonal_eval.retrieval search` and `export`
"""
