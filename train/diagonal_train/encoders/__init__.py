"""The dual encoder, and what a run changes about it.

models          build_model: open_clip's encoders behind one adapter, its only importer
image_encoder   the demo's encoder, made known to timm;  patch_resnet  the same in torch alone
load            a trained model out of a run folder
fit_model       what a configuration changes: text_trim, patch_dropout, fp8, recomputed blocks
precision       bf16, fp16 or fp32, as the device has it
locking         encoders, or their first layers, that are not trained
schedule        smaller images and shorter texts at first
published       models that others trained, by open_clip's names
needed_rows     in inference, a transformer where its output is read;  shared_prefixes  texts so
pooled          image features before the projection, for linear probes
layers          which layer of which encoder a parameter belongs to
"""
