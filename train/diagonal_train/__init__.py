"""From a dataset folder to a trained dual encoder.

stream, streaming/   global batches for this rank, in an order that is a function of seed and place
config/              the configuration tree; recipes and published/ hold the named choices
preflight            set-ups that are refused;  dry_run, footprint  what a run would be and cost
augment              uint8 to normalised float on the device, with random changes
models               the dual encoder; the only importer of open_clip
  image_encoder        the demo's encoder, made known to timm;  patch_resnet  in torch alone
  load                 a trained model out of a run folder
  fit_model            what a run changes about a model: text_trim, patch_dropout, fp8, …
  locking, schedule    encoders that are not trained; smaller images and shorter texts at first
  layers               which layer of which encoder a parameter belongs to
loss                 the losses over the global batch;  tiled_loss, rank_rows  rows of all ranks
distill              what is taken from a teacher;  reinforce  command: its embeddings to the data
gradient_cache       gradients of a batch beyond memory, by micro_batches
optimizer            groups by weight decay and layer, one update, the logit scale's clamp
  stable_adamw         AdamW whose step is shortened tensor by tensor
  lr_schedule, ema     the learning rate of each step; a moving average of the weights
  loss_scale           fp16's
distributed          ranks, devices and collectives;  parallel  replicated or sharded over ranks
state, checkpoint    all that a run is; complete or not there, verified before use (checkpointing/)
start                where a run begins: anew, behind a checkpoint, or not at all
step                 one optimizer step, the same on every rank;  stage_clock, out_of_memory
loop                 `train(config, world)`, the same under every launcher;  finished  its verdict
recovery             bad steps passed, bad stretches gone back behind;  spikes, signals
watchdog             who hangs, and where;  rank_times  who is slow
recorder             what is recorded at each step;  step_measures, peak_flops, metrics, trackers
probe                retrieval and zero-shot on held-out samples;  probe_set, probe_scores
report               command: curves of runs to one page
export               command: a run for transformers, open_clip and ONNX (exporting/)
ray_train            the loop on Ray Train; the only importer of Ray

Imports point left only: infra ◄ data ◄ train ◄ eval.
"""
