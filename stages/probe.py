"""Measure what a run did to its starting network: probe its features, their change, and what it forgot.

The last epoch is measured: early selection would hide what training destroyed, as it hides overfitting.

Usage: python -m stages.probe run1 0
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from emotions import inference
from emotions.command import command
from emotions.data import dataset, source_task
from emotions.evidence import probing
from emotions.evidence.knobs import ProbeParams
from emotions.model import resnet, weight_files
from emotions.model.knobs import InferenceParams
from emotions.runtime import outs
from emotions.taxonomy import SPLITS, ClassSet, compound_classes

PARAMS = {
    "data.classes": ClassSet,
    "train": InferenceParams,
    "runs.{run}.title": str,
    "probe": ProbeParams,
}
DATASET = Path("data/dataset_resnet_224.zip")
PRETRAINED = Path("models/pretrained.pth")
REFERENCE = Path("data/reference.pt")
SAMPLE = Path("data/raw/imagenet_sample")
DECODED = Path(".decoded")
BATCH = 64


def main(values: dict[str, Any], run: str, seed: int) -> None:
    name = f"{run}-{seed}"
    classes, train = compound_classes(values["data.classes"]), values["train"]
    device = inference.prepare_device(train.threads)
    dtype = inference.resolve_precision(train.precision, device)
    path = Path(f"models/last_epoch/{name}.pth")
    pretrained = weight_files.read_checkpoint(PRETRAINED)
    splits = {
        s: dataset.load_split(DATASET, classes, "compound", split=s, params=train, decoded=DECODED)
        for s in SPLITS
    }
    model, weights = weight_files.load_run(path, classes, splits["train"].data, device=device)
    reference = torch.load(REFERENCE, weights_only=True)

    def pooled(split: dataset.Split, title: str) -> dict[resnet.Part, np.ndarray]:
        return probing.pooled_features(model, split, BATCH, device=device, dtype=dtype, title=title)

    features = {s: pooled(split, f"features of {s}") for s, split in splits.items()}
    labels = {s: split.labels.numpy() for s, split in splits.items()}
    predicted, scores = probing.probe_splits(
        features, labels, classes, regularisation=values["probe"].regularisation
    )
    before = reference["probe"].numpy() == labels["test"]
    record: dict[str, Any] = {
        "run": run,
        "seed": seed,
        "title": values["runs.{run}.title"],
        "epoch": weights["epoch"],
        "data": splits["train"].data,
        **scores,
        "against_start": probing.probe_comparison(before, predicted == labels["test"]),
        "cka": {
            part: probing.debiased_cka(start.numpy(), features["val"][part])
            for part, start in reference["features"].items()
        },
        "weight_change": probing.weight_change(pretrained["state_dict"], weights["state_dict"]),
        "statistics_change": probing.statistics_change(pretrained["state_dict"], weights["state_dict"]),
        "retention": None,
    }
    found = source_task.find(pretrained, DATASET, SAMPLE, params=train, decoded=DECODED)
    if found:
        title = f"features of {found.name}"
        right = probing.right_on_source(found, lambda split: pooled(split, title)[probing.PENULTIMATE])
        record["retention"] = {
            "task": found.name,
            **probing.retention(reference["source_right"].numpy(), right, found.majority),
        }
    outs.write_json(Path(f"metrics/probe/{name}.json"), record)


if __name__ == "__main__":
    command(main, PARAMS, __doc__, seeded=True)
