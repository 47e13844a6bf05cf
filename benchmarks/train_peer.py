"""open_clip_train's own command on a model that it has no name for, the demo's too.

python train_peer.py MODEL.json --model MODEL --train-data … (open_clip_train's flags)
"""

import sys

import open_clip
from open_clip_train.main import main

from diagonal_train.encoders import image_encoder

if __name__ == "__main__":
    image_encoder.register()
    open_clip.add_model_config(sys.argv[1])
    main(sys.argv[2:])
