"""Whether the maps of one run are about its network, and what its answers rest on. Only if asked for:

    dvc exp run -S faithfulness.measure=true

Usage: python -m stages.faithfulness run1
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torchvision.models import ResNet

from rafce import attention, dataset, faithfulness, landmarks, network, outs, reliance, shares, training
from rafce.dataset import Split
from rafce.landmarks import Located
from rafce.streams import numpy_stream
from rafce.taxonomy import ClassSet, compound_classes
from rafce.training import TrainedParams
from stages import command

PARAMS = {
    "seed": int,
    "data.classes": ClassSet,
    "train": TrainedParams,
    "runs.{run}.title": str,
    "gradcam": attention.MapParams,
    "faithfulness": faithfulness.FaithfulnessParams,
}
DATASET = Path("data/dataset_resnet_224.zip")
DECODED = Path(".decoded")
BATCH = 16
SCORING_BATCH = 64


def main(values: dict[str, Any], name: str) -> None:
    options, train, seed = values["faithfulness"], values["train"], values["seed"]
    out = Path(f"metrics/faithfulness/{name}.json")
    if not options.measure:
        outs.write_json(out, {"run": name, "title": values["runs.{run}.title"], "measured": False})
        return
    classes = compound_classes(values["data.classes"])
    device = training.prepare_device(train.threads)
    dtype = training.resolve_precision(train.precision, device)
    path = Path(f"models/runs/{name}.pth")
    weights = network.read_checkpoint(path)
    network.check_classes(weights, classes, str(path))
    model = network.build(len(classes), 0.0, seed=0).to(device)
    network.load_whole(model, weights["state_dict"], str(path))
    val = dataset.load_split(DATASET, classes, "compound", "val", train, DECODED)
    trained = dataset.load_split(DATASET, classes, "compound", "train", train, DECODED, train.fraction, seed)
    rests_on = reliance_by_split(model, {"train": trained, "val": val}, train, seed, device, dtype)

    images = val.take(torch.arange(len(val)))
    scored = pd.read_csv(f"data/predictions/{name}.csv").query("split == 'val'").set_index("image")
    answers = scored.loc[[row.image for row in val.rows], "predicted"].map(classes.index).tolist()
    layer, grid = attention.choose_layer(train.image_size, values["gradcam"].min_grid)
    method = values["gradcam"].method
    heat = attention.heat_maps(model, images, answers, method, layer, BATCH, device, f"{name} {method}")
    some = spread(len(val), options.images)
    targets = [answers[i] for i in some]
    road = faithfulness.road(
        model, images[some], targets, heat[some], grid, BATCH, device, seed, f"{name} ROAD"
    )
    correlation, at_random = faithfulness.randomisation(
        model, images, heat, method, layer, grid, BATCH, device, seed, f"{name} randomised"
    )
    located = landmarks.locate(DATASET, val, train, DECODED, f"{name} landmarks")
    known = located.known
    masks = {area: mask[known] for area, mask in located.masks.items()}
    reported = shares.told_apart(shares.resolution(masks, grid))
    of_areas = {area: masks[area] for area in reported}
    random_weights = shares.against(heat[known], at_random[known], of_areas)
    outs.write_json(
        out,
        {
            "run": name,
            "title": values["runs.{run}.title"],
            "measured": True,
            "images": len(some),
            "road": road,
            "correlation": correlation,
            "random_weights": random_weights,
            "passed": faithfulness.passed(road, random_weights),
            "rests_on": rests_on,
        },
    )


def reliance_by_split(
    model: ResNet,
    splits: dict[str, Split],
    train: TrainedParams,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, dict[str, Any] | None]:
    """`reliance_of` of the two splits `train` and `val`; of training no more images than of validation."""
    found = {}
    for name, split in splits.items():
        chosen = split.subset(spread(len(split), len(splits["val"])))
        areas = landmarks.locate(DATASET, chosen, train, DECODED, f"{name} landmarks")
        generator = numpy_stream(seed, "reliance", name)
        found[name] = reliance_of(model, chosen, areas, generator, device, dtype)
    return found


def reliance_of(
    model: ResNet,
    split: Split,
    located: Located,
    generator: np.random.Generator,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, Any] | None:
    """What the answers to these images rest on; None where it is not known what lies where. Images without
    landmarks are left out."""
    if located.how == landmarks.UNLOCATED:
        return None
    rows = np.flatnonzero(located.known)
    split = split.subset(rows)
    masks = {area: mask[rows] for area, mask in located.masks.items()}
    labels = split.labels.numpy()
    pixels = split.images.permute(0, 2, 3, 1).numpy()
    exact = reliance.BACKGROUND in masks  # landmarks do not tell it from hair and forehead
    donor = reliance.donors(labels, generator) if exact else None
    versions = {"unchanged": pixels, **reliance.changed(pixels, donor, masks, generator)}
    answers = {}
    for version, some in versions.items():
        changed = dataclasses.replace(split, images=torch.from_numpy(some).permute(0, 3, 1, 2).contiguous())
        order = torch.arange(len(split))
        logits = training.predict_logits(model, changed, order, SCORING_BATCH, device, dtype, version)
        answers[version] = logits.argmax(1).numpy()
    return {
        "images": len(split),
        "majority": float(np.bincount(labels).max() / len(labels)),
        **reliance.losses({version: some == labels for version, some in answers.items()}),
        "follows": (
            None
            if donor is None
            else reliance.follows(answers["unchanged"], answers["background swapped"], donor, generator)
        ),
    }


def spread(total: int, most: int) -> np.ndarray:
    """Numbers of `most` evenly spaced images: rows are sorted by class, so that keeps the class shares."""
    return np.unique(np.linspace(0, total - 1, min(most, total)).round().astype(int))


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
