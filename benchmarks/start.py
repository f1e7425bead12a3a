"""What starts are worth: recipes of training on drawn single emotions, their seconds, and what follows.

Usage: python -m benchmarks.start DATASET [--jobs 2] "faces=1200 epochs=3" "faces=1800 epochs=2" ...

DATASET: a dataset zip (`dvc repro preprocess`) with at least the faces that a recipe asks for. Each recipe is
trained by one thread; what it leaves out is as in params.yaml. Prints seconds and validation accuracies: of
the single emotions, of a linear probe of the compounds on the start's features, and of run 1 afterwards,
fine-tuned on `tune_faces` for `tune_epochs`. Runs 2 and 3 are left out: a start is chosen without them.
"""

import argparse
import functools
import multiprocessing
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emotions import inference, params_file
from emotions.data import dataset
from emotions.evidence import probing
from emotions.evidence.knobs import ProbeParams
from emotions.model import resnet, weight_files
from emotions.taxonomy import BASIC, ClassSet, compound_classes
from emotions.training import distributed, loop
from emotions.training.knobs import LearningRates, PretrainedParams, RunParams, TrainParams

PARAMS = Path(__file__).parent.parent / "params.yaml"
DECODED = Path(".decoded")


@dataclass(frozen=True)
class Recipe:
    """How the start is trained, and run 1 after it. `faces`: single emotions to train on; 0: all of them."""

    faces: int
    epochs: int
    pixels: int
    lr: float
    batch: int
    augmentation: str = "standard"
    schedule: str = "constant"
    warmup: float = 0.0
    zero_init: int = 1
    seed: int = 0
    tune_faces: int = 0
    tune_epochs: int = 0


def study() -> dict[str, Any]:
    groups = {
        "train": TrainParams,
        "pretrained": PretrainedParams,
        "runs.run1": RunParams,
        "probe": ProbeParams,
        "data.classes": ClassSet,
    }
    return params_file.read(PARAMS, groups)


def parsed(text: str) -> Recipe:
    """A recipe from `key=value` words."""
    values = study()
    train, basic = values["train"], values["pretrained"].basic_emotions
    given = dict(word.split("=", 1) for word in text.split())
    kinds = {f.name: f.type for f in fields(Recipe)}
    if unknown := given.keys() - kinds.keys():
        raise SystemExit(f"no such key: {', '.join(unknown)}; there are {', '.join(kinds)}")
    known = {
        "faces": 0,
        "epochs": basic.epochs,
        "pixels": train.image_size,
        "lr": basic.lr,
        "batch": train.batch_size,
        "tune_epochs": train.epochs,
    }
    return Recipe(**known | {k: kinds[k](v) for k, v in given.items()})  # type: ignore[operator]


def first(split: dataset.Split, images: int, seed: int) -> dataset.Split:
    """So many images of the split, with the shares of its classes; 0: all."""
    if not images:
        return split
    if images > len(split):
        raise SystemExit(f"{images} faces are asked for, the dataset has {len(split)}")
    kept = {row.image for row in dataset.stratified(split.rows, images / len(split), seed)}
    return split.subset(np.flatnonzero([row.image in kept for row in split.rows]))


def measured(zip_path: Path, recipe: Recipe) -> dict[str, float]:
    """Seconds and validation accuracies, fractions."""
    values = study()
    device = inference.prepare_device(1)
    params = values["train"].model_copy(
        update={"image_size": recipe.pixels, "batch_size": recipe.batch, "threads": 1}
    )
    dtype = inference.resolve_precision(params.precision, device)
    accelerator = distributed.start(device, dtype)
    classes = compound_classes(values["data.classes"])

    def load(names: tuple[str, ...], role: str, split: str) -> dataset.Split:
        return dataset.load_split(zip_path, names, role, split=split, params=params, decoded=DECODED)

    def fit(
        model: resnet.ResNet, train: dataset.Split, val: dataset.Split, run: RunParams, epochs: int
    ) -> Any:
        begun = time.process_time()
        fitted = loop.fit(
            model,
            train,
            val,
            params=params,
            run=run,
            seed=recipe.seed,
            accelerator=accelerator,
            epochs=epochs,
            on_epoch=lambda e: None,
        )
        return fitted, time.process_time() - begun

    start = RunParams(
        title="start",
        trainable_parts=list(resnet.PARTS),
        lr=LearningRates(body=recipe.lr, head=recipe.lr),
        mixup_alpha=0,
        dropout=0,
        augmentation=recipe.augmentation,  # type: ignore[arg-type]
        schedule=recipe.schedule,  # type: ignore[arg-type]
        warmup_epochs=recipe.warmup,
    )
    basic = {s: load(BASIC, "basic", s) for s in ("train", "val")}
    compound = {s: load(classes, "compound", s) for s in ("train", "val")}
    model = resnet.build(len(BASIC), 0.0, recipe.seed, zero_init_residual=bool(recipe.zero_init))
    faces = first(basic["train"], recipe.faces, recipe.seed)
    fitted, seconds = fit(model, faces, basic["val"], start, recipe.epochs)

    model = resnet.build(len(classes), 0.0, recipe.seed)
    weight_files.load_body(model, fitted.selected_state, "start")
    model.eval()
    features = {
        s: probing.outputs(model, split, 64, device=device, dtype=dtype).features[probing.PENULTIMATE]
        for s, split in compound.items()
    }
    labels = {s: split.labels.numpy() for s, split in compound.items()}
    probe = probing.linear_probe(
        (features["train"], labels["train"]),
        (features["val"], labels["val"]),
        features["val"],
        classes=len(classes),
        regularisation=values["probe"].regularisation,
    )
    few = first(compound["train"], recipe.tune_faces, recipe.seed)
    tuned, tuning = fit(model, few, compound["val"], values["runs.run1"], recipe.tune_epochs)
    return {
        "seconds": seconds,
        "basic": fitted.selected.val_accuracy,
        "probe": probe.val_accuracy,
        "tuning": tuning,
        "run1": tuned.selected.val_accuracy,
        "run1_f1": tuned.selected.val_macro_f1,
    }


def main() -> None:
    usage = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks.start"
    )
    usage.add_argument("dataset", type=Path)
    usage.add_argument("recipes", nargs="+", metavar="RECIPE")
    usage.add_argument("--jobs", type=int, default=2)
    arguments = usage.parse_args()
    recipes = [parsed(text) for text in arguments.recipes]
    columns = [f.name for f in fields(Recipe)]
    print("| " + " | ".join(columns) + " | start, s | basic, % | probe, % | run 1, s | run 1, % | macro-F1 |")
    print("|" + "--:|" * (len(columns) + 6), flush=True)
    work = functools.partial(measured, arguments.dataset)
    with multiprocessing.get_context("spawn").Pool(arguments.jobs, maxtasksperchild=1) as pool:
        for recipe, found in zip(recipes, pool.imap(work, recipes, chunksize=1), strict=True):
            cells = [
                *(str(value) for value in asdict(recipe).values()),
                f"{found['seconds']:.0f}",
                *(f"{100 * found[k]:.1f}" for k in ("basic", "probe")),
                f"{found['tuning']:.0f}",
                f"{100 * found['run1']:.1f}",
                f"{found['run1_f1']:.3f}",
            ]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
