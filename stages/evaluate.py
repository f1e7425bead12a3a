"""Score one network on clean images: train, val and test at the selected epoch, train and val at the last.

Kept for `probe`: features of the last epoch, of all training images, whatever share was trained on.

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
from emotions.data import dataset, source_task
from emotions.evidence import intervals, metrics, probing
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
PRETRAINED = Path("models/pretrained.pth")
SAMPLE = Path("data/raw/imagenet_sample")
DECODED = Path(".decoded")


def main(values: dict[str, Any], run: str, seed: int) -> None:
    name, classes = f"{run}-{seed}", compound_classes(values["data.classes"])
    train, recipe = values["train"], values["runs.{run}"]
    device = inference.prepare_device(train.threads)
    dtype = inference.resolve_precision(train.precision, device)

    def load(split: str, fraction: float = 1.0) -> dataset.Split:
        return dataset.load_split(
            DATASET,
            classes,
            "compound",
            split=split,
            params=train,
            decoded=DECODED,
            fraction=fraction,
            seed=values["seed"],
        )

    splits = {s: load(s) for s in SPLITS}
    trained = {**splits, "train": load("train", recipe.fraction or train.fraction)}
    row_of = {row.image: i for i, row in enumerate(splits["train"].rows)}
    shown = [row_of[row.image] for row in trained["train"].rows]
    data = splits["train"].data
    path, last_path = Path(f"models/runs/{name}.pth"), Path(f"models/last_epoch/{name}.pth")
    model, selected = weight_files.load_run(path, classes, data, device=device)
    last_model, last = weight_files.load_run(last_path, classes, data, device=device)

    def outputs(model: ResNet, split: dataset.Split, title: str) -> probing.Outputs:
        size = values["evaluate"].batch_size
        return probing.outputs(model, split, size, device=device, dtype=dtype, title=title)

    at_end = {s: outputs(last_model, split, f"last epoch of {name} on {s}") for s, split in splits.items()}
    by_split_at_end = {s: probabilities(made.logits) for s, made in at_end.items()}
    by_split_at_end["train"] = by_split_at_end["train"][shown]
    if last["epoch"] == selected["epoch"]:
        by_split = by_split_at_end
    else:
        by_split = {
            s: probabilities(outputs(model, split, f"selected epoch of {name} on {s}").logits)
            for s, split in trained.items()
        }
    at_selected = {s: metrics.score(trained[s].labels.numpy(), by_split[s], classes) for s in SPLITS}
    at_last = {
        s: metrics.score(trained[s].labels.numpy(), by_split_at_end[s], classes) for s in ("train", "val")
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
    train_labels = trained["train"].labels.numpy()
    outs.write_json(
        Path(f"metrics/runs/{name}.json"),
        {
            "run": run,
            "seed": seed,
            "title": recipe.title,
            "train_images": len(trained["train"]),
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
    outs.write_text(Path(f"data/predictions/{name}.csv"), predictions_csv(trained, by_split, classes))
    kept: dict[str, Any] = {
        "labels": {s: split.labels for s, split in splits.items()},
        # CKA looks at all parts, on validation; the linear probe at what the head sees.
        "features": {
            s: {
                part: torch.from_numpy(x)
                for part, x in made.features.items()
                if s == "val" or part == probing.PENULTIMATE
            }
            for s, made in at_end.items()
        },
    }
    pretrained = weight_files.read_checkpoint(PRETRAINED)
    if found := source_task.find(pretrained, DATASET, SAMPLE, params=train, decoded=DECODED):
        right = probing.right_on_source(
            found,
            lambda split: outputs(last_model, split, f"{name} on {found.name}").features[probing.PENULTIMATE],
        )
        kept["source_right"] = torch.from_numpy(right)
    outs.write_torch(Path(f"data/features/{name}.pt"), kept)


def probabilities(logits: torch.Tensor) -> np.ndarray:
    """Softmax in float64: logits [N, C] -> [N, C]."""
    return torch.softmax(logits.double(), 1).numpy()


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
