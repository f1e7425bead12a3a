"""All tests of one run: whether its maps depend on its network, and what its answers rest on."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from torchvision.models import ResNet

from emotions import inference
from emotions.attention import cam, faithfulness, heat_shares, landmarks, reliance
from emotions.attention.knobs import FaithfulnessParams, MapParams, choose_cam_layer
from emotions.attention.landmarks import Located
from emotions.data.dataset import Split
from emotions.random_streams import numpy_stream

BATCH: Final = 16
SCORING_BATCH: Final = 64

Locate = Callable[[Split, str], Located]
"""Function that locates eyes, mouth and the rest in a split's images; the text titles its progress bar."""


def examine(
    model: ResNet,
    splits: dict[str, Split],
    answers: Sequence[int],
    *,
    locate: Locate,
    maps: MapParams,
    options: FaithfulnessParams,
    image_size: int,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
    name: str,
) -> dict[str, Any]:
    """Measure what the answers to `train` and `val` rest on, and whether the maps of `val` depend on the
    network. The weights of `model` are lost.

    Args:
        splits: `train` and `val`. answers: classes that `model` gives the images of `val`. name: the run, for
        the progress bars.

    Returns:
        `images`: their number in ROAD. `road`, `correlation`, `random_weights`, `passed`: as in
        `emotions.attention.faithfulness`. `rests_on`: by split.
    """
    rests_on = by_split(model, splits, locate, seed=seed, device=device, dtype=dtype)
    val = splits["val"]
    images = val.take(torch.arange(len(val)))
    layer, grid = choose_cam_layer(image_size, maps.min_grid)
    heat = cam.heat_maps(
        model,
        images,
        answers,
        method=maps.method,
        layer=layer,
        batch_size=BATCH,
        device=device,
        title=f"{name} {maps.method}",
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
        method=maps.method,
        layer=layer,
        grid=grid,
        batch_size=BATCH,
        device=device,
        seed=seed,
        title=f"{name} randomised",
    )
    located = locate(val, f"{name} landmarks")
    known = located.known
    masks = {area: mask[known] for area, mask in located.masks.items()}
    reported = heat_shares.resolvable(heat_shares.resolution(masks, grid))
    of_areas = {area: masks[area] for area in reported}
    random_weights = heat_shares.against(heat[known], at_random[known], of_areas)
    return {
        "images": len(some),
        "road": road,
        "correlation": correlation,
        "random_weights": random_weights,
        "passed": faithfulness.passed(road, random_weights),
        "rests_on": rests_on,
    }


def by_split(
    model: ResNet,
    splits: dict[str, Split],
    locate: Locate,
    *,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, dict[str, Any] | None]:
    """`of_split` for `train` and `val`; no more training images than validation images are used."""
    found = {}
    for name, split in splits.items():
        chosen = split.subset(spread(len(split), len(splits["val"])))
        areas = locate(chosen, f"{name} landmarks")
        generator = numpy_stream(seed, "reliance", name)
        found[name] = of_split(model, chosen, areas, generator=generator, device=device, dtype=dtype)
    return found


def of_split(
    model: ResNet,
    split: Split,
    located: Located,
    *,
    generator: np.random.Generator,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, Any] | None:
    """What the answers to these images rest on; None where the areas are not located. Images without
    landmarks are left out."""
    if located.how == landmarks.UNLOCATED:
        return None
    rows = np.flatnonzero(located.known)
    split = split.subset(rows)
    masks = {area: mask[rows] for area, mask in located.masks.items()}
    labels = split.labels.numpy()
    pixels = split.images.permute(0, 2, 3, 1).numpy()
    exact = reliance.BACKGROUND in masks  # landmarks do not separate it from hair and forehead
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
    """Indices of up to `most` evenly spaced images. Rows are sorted by class, so class shares are kept."""
    return np.unique(np.linspace(0, total - 1, min(most, total)).round().astype(int))
