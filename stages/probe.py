"""Measure what a run did to its starting network: probe its features, their change, and what it forgot.

The last epoch is measured: early selection would hide what training destroyed, as it hides overfitting.

Usage: python -m stages.probe run1 0
"""

from pathlib import Path
from typing import Any

import torch

from emotions.command import command
from emotions.evidence import probing
from emotions.evidence.knobs import ProbeParams
from emotions.model import weight_files
from emotions.runtime import outs
from emotions.taxonomy import ClassSet, compound_classes

PARAMS = {"data.classes": ClassSet, "runs.{run}.title": str, "probe": ProbeParams}
PRETRAINED = Path("models/pretrained.pth")
REFERENCE = Path("data/reference.pt")


def main(values: dict[str, Any], run: str, seed: int) -> None:
    name = f"{run}-{seed}"
    torch.set_num_threads(1)
    pretrained = weight_files.read_checkpoint(PRETRAINED)
    weights = weight_files.read_checkpoint(Path(f"models/last_epoch/{name}.pth"))
    reference = torch.load(REFERENCE, weights_only=True)
    seen = torch.load(Path(f"data/features/{name}.pt"), weights_only=True)
    features = {
        s: {part: x.numpy() for part, x in by_part.items()} for s, by_part in seen["features"].items()
    }
    labels = {split: x.numpy() for split, x in seen["labels"].items()}
    predicted, scores = probing.probe_splits(
        features,
        labels,
        compound_classes(values["data.classes"]),
        regularisation=values["probe"].regularisation,
    )
    before = reference["probe"].numpy() == labels["test"]
    record: dict[str, Any] = {
        "run": run,
        "seed": seed,
        "title": values["runs.{run}.title"],
        "epoch": weights["epoch"],
        "data": weights["data"],
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
    if source := reference.get("source"):
        record["retention"] = {
            "task": source["name"],
            **probing.retention(source["right"].numpy(), seen["source_right"].numpy(), source["majority"]),
        }
    outs.write_json(Path(f"metrics/probe/{name}.json"), record)


if __name__ == "__main__":
    command(main, PARAMS, __doc__, seeded=True)
