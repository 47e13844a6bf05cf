"""From a dataset folder to a trained dual encoder.

config       the configuration tree; recipes holds the named choices
index        which samples are kept and where their bytes lie
order        which sample comes when: a pure function of seed and position
reader       ranges of shard tars, local or by URL, and the pair in a sample's bytes
transforms   encoded image to uint8 pixels: decode, crop, resize
tokenize     captions to token ids
stream       global batches for this rank, from lanes owned by its workers
augment      uint8 to normalised float on the device, with random changes
patch_resnet  a small image encoder, in torch alone
image_encoder  the same, made known to timm
models       the dual encoder and its loading; the only importer of open_clip
loss         the contrastive loss over the global batch
optimizer    weight decay groups, learning rate, logit scale clamp
distributed  ranks, devices and collectives
checkpoint   complete checkpoints, verified before use
metrics      metrics.jsonl, TensorBoard and the progress bar
start        where a run begins: anew, behind a checkpoint, or not at all
step         one optimizer step, the same on every rank
loop         `train(config, world)`, the same under every launcher
ray_train    the loop on Ray Train; the only importer of Ray
export       command: a run in the formats of transformers, open_clip and ONNX; exporting its parts

Imports point left only: infra ◄ data ◄ train ◄ eval.
"""
