"""Logits of an export whose code is its own, in a process that has not loaded Diagonal.

python ask_transformers.py OUT PICTURE.png LOGITS.npy TEXT…
"""

import sys

import numpy as np
import torch
from PIL import Image
from transformers import AutoModel, AutoModelForZeroShotImageClassification, AutoProcessor

place, picture, answer, *texts = sys.argv[1:]
processor = AutoProcessor.from_pretrained(place)
inputs = processor(
    text=texts, images=Image.open(picture), return_tensors="pt", padding=True, truncation=True
)
for kind in (AutoModel, AutoModelForZeroShotImageClassification):
    model = kind.from_pretrained(place, trust_remote_code=True)
    with torch.inference_mode():
        outputs = model(**inputs)
        images = model.get_image_features(inputs["pixel_values"]).pooler_output
        captions = model.get_text_features(inputs["input_ids"]).pooler_output
    cosines = torch.cosine_similarity(images[:, None], captions[None], dim=-1)
    torch.testing.assert_close(outputs.logits_per_image, cosines * model.logit_scale.exp())
assert not any(name.startswith("diagonal") for name in sys.modules)
np.save(answer, outputs.logits_per_image.numpy())
