"""A trained run in the formats of other libraries.

folder          the output folder, which appears whole
open_clip       open_clip_config.json and weights under open_clip's own names
hugging_face    config.json, preprocessor_config.json and weights under transformers' names
rename          open_clip's weight names to transformers'
tokenizer_files CLIP's tokenizer as vocab.json, merges.txt and tokenizer.json
modeling_diagonal_clip  transformers code that is copied beside weights which CLIPModel cannot hold
onnx            two graphs, and preprocess.json
records         what a run's own files say about it
model_card      README.md, out of the records;  card_text  front matter, model-index, tables
escaping        names of strangers in Markdown, CSV and LaTeX
"""
