"""How checkpoints are written and read; checkpoint.py is the door.

manifest   what makes a checkpoint complete: where it lies, its manifest, its verification
tensors    a TrainState as tensors for torch.distributed.checkpoint, and back
writer     one checkpoint, written by all ranks, that appears whole or not at all
saver      saving in the background of a run, and what happens when it fails
policy     after which steps to save
"""
