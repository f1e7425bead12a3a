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

from emotions import inference
from emotions.attention import cam, faithfulness, heat_shares, landmarks, reliance
from emotions.attention.knobs import FaithfulnessParams, MapParams, choose_cam_layer
from emotions.attention.landmarks import Located
from emotions.command import command
from emotions.data import dataset
from emotions.data.dataset import Split
from emotions.model import weight_files
from emotions.model.knobs import TrainedParams
from emotions.random_streams import numpy_stream
from emotions.runtime import outs
from emotions.taxonomy import ClassSet, compound_classes

PARAMS = {
    "seed": int,
    "data.classes": ClassSet,
    "train": TrainedParams,
    "runs.{run}.title": str,
    "gradcam": MapParams,
    "faithfulness": FaithfulnessParams,
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
    device = inference.prepare_device(train.threads)
    dtype = inference.resolve_precision(train.precision, device)
    path = Path(f"models/runs/{name}.pth")
    val = dataset.load_split(DATASET, classes, "compound", split="val", params=train, decoded=DECODED)
    model, _ = weight_files.load_run(path, classes, val.data, device=device)
    trained = dataset.load_split(
        DATASET,
        classes,
        "compound",
        split="train",
        params=train,
        decoded=DECODED,
        fraction=train.fraction,
        seed=seed,
    )
    rests_on = reliance_by_split(
        model, {"train": trained, "val": val}, train, seed=seed, device=device, dtype=dtype
    )

    images = val.take(torch.arange(len(val)))
    scored = pd.read_csv(f"data/predictions/{name}.csv").query("split == 'val'").set_index("image")
    answers = scored.loc[[row.image for row in val.rows], "predicted"].map(classes.index).tolist()
    layer, grid = choose_cam_layer(train.image_size, values["gradcam"].min_grid)
    method = values["gradcam"].method
    heat = cam.heat_maps(
        model,
        images,
        answers,
        method=method,
        layer=layer,
        batch_size=BATCH,
        device=device,
        title=f"{name} {method}",
    )
    some = spread(len(val), options.images)
    targets = [answers[i] for i in some]
    road = faithfulness.road(
        model,
        images[some],
        targets,
        heat=heat[some],
        grid=grid,
        batch_size=BATCH,
        device=device,
        seed=seed,
        title=f"{name} ROAD",
    )
    correlation, at_random = faithfulness.randomisation(
        model,
        images,
        heat,
        method=method,
        layer=layer,
        grid=grid,
        batch_size=BATCH,
        device=device,
        seed=seed,
        title=f"{name} randomised",
    )
    located = landmarks.locate(DATASET, val, train, decoded=DECODED, title=f"{name} landmarks")
    known = located.known
    masks = {area: mask[known] for area, mask in located.masks.items()}
    reported = heat_shares.resolvable(heat_shares.resolution(masks, grid))
    of_areas = {area: masks[area] for area in reported}
    random_weights = heat_shares.against(heat[known], at_random[known], of_areas)
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
    *,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, dict[str, Any] | None]:
    """`reliance_of` of the two splits `train` and `val`; of training no more images than of validation."""
    found = {}
    for name, split in splits.items():
        chosen = split.subset(spread(len(split), len(splits["val"])))
        areas = landmarks.locate(DATASET, chosen, train, decoded=DECODED, title=f"{name} landmarks")
        generator = numpy_stream(seed, "reliance", name)
        found[name] = reliance_of(model, chosen, areas, generator=generator, device=device, dtype=dtype)
    return found


def reliance_of(
    model: ResNet,
    split: Split,
    located: Located,
    *,
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
    versions = {"unchanged": pixels, **reliance.changed(pixels, donor, masks, generator=generator)}
    answers = {}
    for version, some in versions.items():
        changed = dataclasses.replace(split, images=torch.from_numpy(some).permute(0, 3, 1, 2).contiguous())
        order = torch.arange(len(split))
        logits = inference.predict_logits(
            model, changed, order, batch_size=SCORING_BATCH, device=device, dtype=dtype, title=version
        )
        answers[version] = logits.argmax(1).numpy()
    return {
        "images": len(split),
        "majority": float(np.bincount(labels).max() / len(labels)),
        **reliance.accuracy_changes({version: some == labels for version, some in answers.items()}),
        "follows": (
            None
            if donor is None
            else reliance.follows(
                answers["unchanged"], answers["background swapped"], donor, generator=generator
            )
        ),
    }


def spread(total: int, most: int) -> np.ndarray:
    """Numbers of `most` evenly spaced images: rows are sorted by class, so that keeps the class shares."""
    return np.unique(np.linspace(0, total - 1, min(most, total)).round().astype(int))


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
