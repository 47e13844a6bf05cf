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
layers       which layer of which encoder a parameter belongs to
locking      encoders that are not trained
schedule     smaller images and shorter texts in the course of a run
optimizer    groups by weight decay and layer, one update, logit scale clamp
stable_adamw  AdamW whose step is shortened tensor by tensor
lr_schedule  the learning rate of each step
ema          a moving average of the weights
distributed  ranks, devices and collectives
parallel     the model replicated or sharded over ranks
checkpoint   complete checkpoints, verified before use; checkpointing/ writes and reads them
metrics      metrics.jsonl, TensorBoard and the progress bar
checkpoint   complete checkpoints, verified before use
metrics      metrics.jsonl, and the line on the console
  recorder     what is recorded at each step;  step_measures, flops  what is measured for it
  trackers     TensorBoard, W&B and MLflow, fed from a thread
  probe        retrieval and zero-shot on held-out samples;  probe_set, probe_scores  its parts
report       command: curves of runs → one page
start        where a run begins: anew, behind a checkpoint, or not at all
step         one optimizer step, the same on every rank
loop         `train(config, world)`, the same under every launcher
ray_train    the loop on Ray Train; the only importer of Ray
export       command: a run in the formats of transformers, open_clip and ONNX; exporting its parts

Imports point left only: infra ◄ data ◄ train ◄ eval.
"""
