"""What the starting network knows: a linear probe of its features, its accuracy on what it was trained for.

Usage: python -m stages.reference
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from rafce import controls, dataset, network, outs, source_task, training, uncertainty
from rafce.controls import ControlsParams
from rafce.taxonomy import SPLITS, ClassSet, compound_classes
from rafce.training import InferenceParams
from stages import command

PARAMS = {"data.classes": ClassSet, "train": InferenceParams, "probe": ControlsParams}
DATASET = Path("data/dataset_resnet_224.zip")
PRETRAINED = Path("models/pretrained.pth")
SAMPLE = Path("data/raw/imagenet_sample")
DECODED = Path(".decoded")
BATCH = 64


def main(values: dict[str, Any]) -> None:
    classes, train = compound_classes(values["data.classes"]), values["train"]
    device = training.prepare_device(train.threads)
    dtype = training.resolve_precision(train.precision, device)
    pretrained = network.read_checkpoint(PRETRAINED)
    model = network.build(len(classes), 0.0, seed=0)
    network.load_body(model, pretrained["state_dict"], str(PRETRAINED))
    model = model.to(device)

    def pooled(split: dataset.Split, title: str) -> dict[network.Part, np.ndarray]:
        rows = torch.arange(len(split))
        with training.enough_memory("train.image_size"):
            return controls.pooled_features(model, split, rows, BATCH, device, dtype, title)

    splits = {s: dataset.load_split(DATASET, classes, "compound", s, train, DECODED) for s in SPLITS}
    features = {s: pooled(split, f"features of {s}") for s, split in splits.items()}
    labels = {s: split.labels.numpy() for s, split in splits.items()}
    predicted, scores = controls.probe_splits(features, labels, classes, values["probe"].regularisation)
    found = source_task.find(pretrained, DATASET, SAMPLE, train, DECODED)
    record: dict[str, Any] = {
        "data": splits["train"].data,
        **scores,
    }
    kept: dict[str, Any] = {
        "features": {part: torch.from_numpy(x) for part, x in features["val"].items()},
        "probe": torch.from_numpy(predicted),
    }
    if found:
        source = np.concatenate(
            [pooled(s, f"features of {found.name}")[controls.PENULTIMATE] for s in found.splits]
        )
        right = controls.source_accuracy(source, found.weight, found.bias, found.labels)
        kept["source_right"] = torch.from_numpy(right)
        record["source_task"] = {
            "name": found.name,
            "images": len(right),
            "accuracy": float(right.mean()),
            "interval": uncertainty.wilson(int(right.sum()), len(right)),
            "majority": found.majority,
        }
    outs.write_torch(Path("data/reference.pt"), kept)
    outs.write_json(Path("metrics/reference.json"), record)


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
