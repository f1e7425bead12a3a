"""Measure the starting network: a linear probe of its features, and its accuracy on its original task.

Usage: python -m stages.reference
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from emotions import inference
from emotions.command import command
from emotions.data import dataset, source_task
from emotions.evidence import intervals, probing
from emotions.evidence.knobs import ProbeParams
from emotions.model import resnet, weight_files
from emotions.model.knobs import InferenceParams
from emotions.runtime import outs
from emotions.taxonomy import SPLITS, ClassSet, compound_classes

PARAMS = {"data.classes": ClassSet, "train": InferenceParams, "probe": ProbeParams}
DATASET = Path("data/dataset_resnet_224.zip")
PRETRAINED = Path("models/pretrained.pth")
SAMPLE = Path("data/raw/imagenet_sample")
DECODED = Path(".decoded")
BATCH = 64


def main(values: dict[str, Any]) -> None:
    classes, train = compound_classes(values["data.classes"]), values["train"]
    device = inference.prepare_device(train.threads)
    dtype = inference.resolve_precision(train.precision, device)
    pretrained = weight_files.read_checkpoint(PRETRAINED)
    model = resnet.build(len(classes), 0.0, seed=0)
    weight_files.load_body(model, pretrained["state_dict"], str(PRETRAINED))
    model = model.to(device)

    def pooled(split: dataset.Split, title: str) -> dict[resnet.Part, np.ndarray]:
        return probing.outputs(model, split, BATCH, device=device, dtype=dtype, title=title).features

    splits = {
        s: dataset.load_split(DATASET, classes, "compound", split=s, params=train, decoded=DECODED)
        for s in SPLITS
    }
    features = {s: pooled(split, f"features of {s}") for s, split in splits.items()}
    labels = {s: split.labels.numpy() for s, split in splits.items()}
    predicted, scores = probing.probe_splits(
        features, labels, classes, regularisation=values["probe"].regularisation
    )
    found = source_task.find(pretrained, DATASET, SAMPLE, params=train, decoded=DECODED)
    record: dict[str, Any] = {
        "data": splits["train"].data,
        **scores,
    }
    kept: dict[str, Any] = {
        "features": {part: torch.from_numpy(x) for part, x in features["val"].items()},
        "probe": torch.from_numpy(predicted),
    }
    if found:
        title = f"features of {found.name}"
        right = probing.right_on_source(found, lambda split: pooled(split, title)[probing.PENULTIMATE])
        kept["source"] = {
            "name": found.name,
            "majority": found.majority,
            "right": torch.from_numpy(right),
        }
        record["source_task"] = {
            "name": found.name,
            "images": len(right),
            "accuracy": float(right.mean()),
            "interval": intervals.wilson(int(right.sum()), len(right)),
            "majority": found.majority,
        }
    outs.write_torch(Path("data/reference.pt"), kept)
    outs.write_json(Path("metrics/reference.json"), record)


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
