"""Score one network on clean images: train, val and test at the selected epoch, train and val at the last.

Usage: python -m stages.evaluate run1 0
"""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.models import ResNet

from emotions import inference
from emotions.command import command
from emotions.data import dataset
from emotions.evidence import intervals, metrics
from emotions.evidence.knobs import EvaluateParams, UncertaintyParams
from emotions.model import weight_files
from emotions.model.knobs import TrainedParams, TrainedRun
from emotions.random_streams import numpy_stream
from emotions.runtime import outs
from emotions.taxonomy import SPLITS, ClassSet, compound_classes

PARAMS = {
    "seed": int,
    "data.classes": ClassSet,
    "train": TrainedParams,
    "runs.{run}": TrainedRun,
    "evaluate": EvaluateParams,
    "uncertainty": UncertaintyParams,
}
DATASET = Path("data/dataset_resnet_224.zip")
DECODED = Path(".decoded")


def main(values: dict[str, Any], run: str, seed: int) -> None:
    name, classes = f"{run}-{seed}", compound_classes(values["data.classes"])
    train, recipe = values["train"], values["runs.{run}"]
    device = inference.prepare_device(train.threads)
    dtype = inference.resolve_precision(train.precision, device)
    fractions = dict.fromkeys(SPLITS, 1.0) | {"train": recipe.fraction or train.fraction}
    splits = {
        s: dataset.load_split(
            DATASET,
            classes,
            "compound",
            split=s,
            params=train,
            decoded=DECODED,
            fraction=fraction,
            seed=values["seed"],
        )
        for s, fraction in fractions.items()
    }

    def probabilities(model: ResNet, split: str) -> np.ndarray:
        with inference.enough_memory("evaluate.batch_size or train.image_size"):
            logits = inference.predict_logits(
                model,
                splits[split],
                torch.arange(len(splits[split])),
                batch_size=values["evaluate"].batch_size,
                device=device,
                dtype=dtype,
                title=f"score {name} on {split}",
            )
        return torch.softmax(logits.double(), 1).numpy()

    path, last_path = Path(f"models/runs/{name}.pth"), Path(f"models/last_epoch/{name}.pth")
    data = splits["train"].data
    model, selected = weight_files.load_run(path, classes, data, device=device)
    last_model, last = weight_files.load_run(last_path, classes, data, device=device)
    by_split = {s: probabilities(model, s) for s in SPLITS}
    at_selected = {s: metrics.score(splits[s].labels.numpy(), by_split[s], classes) for s in SPLITS}
    if last["epoch"] == selected["epoch"]:
        at_last = {s: dict(at_selected[s]) for s in ("train", "val")}
    else:
        at_last = {
            s: metrics.score(splits[s].labels.numpy(), probabilities(last_model, s), classes)
            for s in ("train", "val")
        }

    for split in ("val", "test"):
        draws = numpy_stream(values["seed"], "bootstrap", name, split)
        at_selected[split] |= uncertain(
            splits[split].labels.numpy(), by_split[split], classes, params=values["uncertainty"], draws=draws
        )
    simulated = numpy_stream(values["seed"], "coverage", name)
    at_selected["test"]["macro_f1_coverage"] = intervals.coverage(
        np.array(at_selected["test"]["confusion"]),
        values["uncertainty"].simulations,
        values["uncertainty"].replicates,
        generator=simulated,
    )
    train_labels = splits["train"].labels.numpy()
    outs.write_json(
        Path(f"metrics/runs/{name}.json"),
        {
            "run": run,
            "seed": seed,
            "title": recipe.title,
            "train_images": len(splits["train"]),
            "classes": list(classes),
            "data": data,
            "precision": inference.dtype_name(dtype),
            "majority": {
                s: metrics.majority(train_labels, splits[s].labels.numpy()) for s in ("val", "test")
            },
            "selected": {"epoch": selected["epoch"], **at_selected},
            "last": {"epoch": last["epoch"], **at_last},
        },
    )
    outs.write_text(Path(f"data/predictions/{name}.csv"), predictions_csv(splits, by_split, classes))


def uncertain(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: tuple[str, ...],
    *,
    params: UncertaintyParams,
    draws: np.random.Generator,
) -> dict[str, Any]:
    """95 % intervals of a split's scores."""
    confusion = metrics.confusion(labels, probabilities.argmax(1), len(classes))
    return {
        "intervals": intervals.intervals(
            labels, probabilities, classes, replicates=params.replicates, generator=draws
        ),
        "recall_intervals": intervals.recall_intervals(confusion, classes),
    }


def predictions_csv(
    splits: dict[str, dataset.Split], by_split: dict[str, np.ndarray], classes: tuple[str, ...]
) -> str:
    """One line an image: name, split, true class, predicted class, probability of every class."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("image", "split", "label", "predicted", *classes))
    for name, split in splits.items():
        for row, p in zip(split.rows, by_split[name], strict=True):
            writer.writerow((row.image, name, row.label, classes[p.argmax()], *(f"{v:.6f}" for v in p)))
    return out.getvalue()


if __name__ == "__main__":
    command(main, PARAMS, __doc__, seeded=True)
