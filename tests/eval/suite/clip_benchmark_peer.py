"""CLIP_benchmark's numbers for webdatasets: python clip_benchmark_peer.py MODEL.json WEIGHTS DIR….

Prints {folder name: metrics}. Its metrics need a numpy before 2.4.
"""

import json
import sys
from pathlib import Path

import open_clip
import torch
from clip_benchmark.datasets.builder import build_dataset
from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval

torch.set_num_threads(1)
config, weights, *folders = (Path(word) for word in sys.argv[1:])
open_clip.add_model_config(config)
model, _, transform = open_clip.create_model_and_transforms(config.stem, pretrained=str(weights))
tokenizer = open_clip.get_tokenizer(config.stem)
found = {}
for folder in folders:
    kind = folder / "dataset_type.txt"
    retrieval = kind.exists() and kind.read_text() == "retrieval"
    task = "zeroshot_retrieval" if retrieval else "zeroshot_classification"
    dataset = build_dataset("wds/x", root=str(folder), transform=transform, task=task)
    batches = torch.utils.data.DataLoader(dataset.batched(16), batch_size=None)
    if retrieval:
        found[folder.name] = zeroshot_retrieval.evaluate(
            model.eval(), batches, tokenizer, "cpu", amp=False, recall_k_list=[1, 5, 10]
        )
    else:
        batches.dataset.classes = dataset.classes  # pyright: ignore[reportAttributeAccessIssue]  # the peer asks it for them
        found[folder.name] = zeroshot_classification.evaluate(
            model.eval(), batches, tokenizer, dataset.classes, dataset.templates, "cpu", amp=False
        )
print(json.dumps(found))  # noqa: T201  # what it is for
