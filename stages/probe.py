"""What a run did to the network it started from: a probe of its features, how far they moved, what it forgot.

At the last epoch: an early selection would hide what training destroyed, as it hides overfitting.

Usage: python -m stages.probe run1
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from rafce import controls, dataset, network, outs, source_task, training
from rafce.controls import ControlsParams
from rafce.taxonomy import SPLITS, ClassSet, compound_classes
from rafce.training import InferenceParams
from stages import command

PARAMS = {
    "data.classes": ClassSet,
    "train": InferenceParams,
    "runs.{run}.title": str,
    "probe": ControlsParams,
}
DATASET = Path("data/dataset_resnet_224.zip")
PRETRAINED = Path("models/pretrained.pth")
REFERENCE = Path("data/reference.pt")
SAMPLE = Path("data/raw/imagenet_sample")
DECODED = Path(".decoded")
BATCH = 64


def main(values: dict[str, Any], name: str) -> None:
    classes, train = compound_classes(values["data.classes"]), values["train"]
    device = training.prepare_device(train.threads)
    dtype = training.resolve_precision(train.precision, device)
    path = Path(f"models/last_epoch/{name}.pth")
    weights, pretrained = network.read_checkpoint(path), network.read_checkpoint(PRETRAINED)
    splits = {s: dataset.load_split(DATASET, classes, "compound", s, train, DECODED) for s in SPLITS}
    network.check_classes(weights, classes, str(path))
    network.check_data(weights, splits["train"].data, str(path))
    reference = torch.load(REFERENCE, weights_only=True)
    model = network.build(len(classes), 0.0, seed=0)
    network.load_whole(model, weights["state_dict"], str(path))
    model = model.to(device)

    def pooled(split: dataset.Split, title: str) -> dict[network.Part, np.ndarray]:
        rows = torch.arange(len(split))
        with training.enough_memory("train.image_size"):
            return controls.pooled_features(model, split, rows, BATCH, device, dtype, title)

    features = {s: pooled(split, f"features of {s}") for s, split in splits.items()}
    labels = {s: split.labels.numpy() for s, split in splits.items()}
    predicted, scores = controls.probe_splits(features, labels, classes, values["probe"].regularisation)
    before = reference["probe"].numpy() == labels["test"]
    record: dict[str, Any] = {
        "run": name,
        "title": values["runs.{run}.title"],
        "epoch": weights["epoch"],
        "data": splits["train"].data,
        **scores,
        "against_start": controls.probe_comparison(before, predicted == labels["test"]),
        "cka": {
            part: controls.debiased_cka(start.numpy(), features["val"][part])
            for part, start in reference["features"].items()
        },
        "weight_change": controls.weight_change(pretrained["state_dict"], weights["state_dict"]),
        "statistics_change": controls.statistics_change(pretrained["state_dict"], weights["state_dict"]),
        "retention": None,
    }
    found = source_task.find(pretrained, DATASET, SAMPLE, train, DECODED)
    if found:
        source = np.concatenate(
            [pooled(s, f"features of {found.name}")[controls.PENULTIMATE] for s in found.splits]
        )
        right = controls.source_accuracy(source, found.weight, found.bias, found.labels)
        record["retention"] = {
            "task": found.name,
            **controls.retention(reference["source_right"].numpy(), right, found.majority),
        }
    outs.write_json(Path(f"metrics/probe/{name}.json"), record)


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
