"""From a dataset folder to a trained dual encoder.

stream, streaming/   global batches for this rank, in an order that is a function of seed and place
config/              the configuration tree; recipes and published/ hold the named choices
planning/            before the first step: set-ups that are refused, dry runs, footprints
augment              uint8 to normalised float on the device, with random changes
encoders/            the dual encoder, loading it, and what a run changes about it
loss                 the losses over the global batch;  tiled_loss, rank_rows  rows of all ranks
distill              what is taken from a teacher;  reinforce  command: its embeddings to the data
gradient_cache       gradients of a batch beyond memory, by micro_batches
updating/            optimizer, learning rate, moving average, loss scale
distributed          ranks, devices and collectives;  parallel  replicated or sharded over ranks
state, checkpoint    all that a run is; complete or not there, verified before use (checkpointing/)
start                where a run begins: anew, behind a checkpoint, or not at all
step                 one optimizer step, the same on every rank
loop                 `train(config, world)`, the same under every launcher;  finished  its verdict
recovering/          bad steps, signals, hung and slow ranks, lack of memory
watching/            what is recorded while a run goes on; the probe
report               command: curves of runs to one page
export               command: a run for transformers, open_clip and ONNX (exporting/)
ray_train            the loop on Ray Train; the only importer of Ray

Imports point left only: infra ◄ data ◄ train ◄ eval.
"""
