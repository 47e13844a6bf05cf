"""What the loader (stream.py) is made of: tar shards to parts of global batches.

config.py                                which stream, and how it is read
index.py                                 which samples there are, from any of these
├── dataset_index.py                     our own datasets: row tables, keep list, tombstones
├── tar_index.py tar_scan.py             other people's tars
└── index_cache.py                       built once, mapped by all processes of a node
order.py shuffle_quality.py              which sample comes when (pure); how well it is shuffled
read_ahead.py window.py                  which bytes are read soon
reader.py                                bytes of samples
├── remote_windows.py window_cache.py    remote ones, through the local disk
└── ranged_get.py range_answers.py       one range of a remote file; one request
samples.py                               a sample, or another in its place
crop_boxes.py transforms.py              which part of an image; from bytes to pixels
tokenize.py                              captions to token ids
schedule.py                              sizes that change in the course of a stream
worker.py                                how a decoding process starts
lanes.py batch.py                        one worker's parts of the batches; what is delivered
device.py normalise.py                   on the way to the device; floats
measure.py                               the command: how fast a stream comes
"""
