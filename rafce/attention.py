"""Class-activation maps, and how much of their heat falls on which part of the picture."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
import torch
from pydantic import Field
from pytorch_grad_cam import GradCAM, LayerCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchvision.models import ResNet

from rafce.augment import normalise, to_float
from rafce.console import progress
from rafce.params import Group
from rafce.regions import REGIONS

METHODS: Final = {"gradcam": GradCAM, "layercam": LayerCAM}

AREAS: Final[dict[str, tuple[str, ...]]] = {
    "eyes_brows": ("eyes", "brows"),
    "nose": ("nose",),
    "mouth": ("mouth",),
    "other_face": ("other_face", "cheeks"),
    "hair": ("hair",),
    "background": ("background",),
}
"""What is reported for images with exact region maps: area -> regions."""

CENTRE: Final = 0.6
"""Side of the central square, as a share of the image's side, where no region map is known."""


class AttentionError(ValueError):
    """A map that cannot be made; the message names the knob."""


class GradcamParams(Group):
    """`min_grid`: cells a side that the map must have; `images`: how many validation images are measured;
    `examples`: right and wrong examples a class in the gallery."""

    method: Literal["gradcam", "layercam"]
    min_grid: int = Field(ge=1)
    images: int = Field(ge=1)
    examples: int = Field(ge=1, le=4)


def choose_layer(image_size: int, min_grid: int) -> tuple[str, int]:
    """The deepest layer of ResNet-50 whose grid has at least `min_grid` cells a side, and that number of
    cells.

    Raises:
        AttentionError: no layer has so many.
    """
    for layer, stride in (("layer4", 32), ("layer3", 16), ("layer2", 8), ("layer1", 4)):
        grid = -(-image_size // stride)
        if grid >= min_grid:
            return layer, grid
    raise AttentionError(
        f"gradcam.min_grid is {min_grid}, at {image_size} px the finest grid is {-(-image_size // 4)}; "
        f"lower it"
    )


def heat_maps(
    model: ResNet,
    images: torch.Tensor,
    targets: Sequence[int],
    method: str,
    layer: str,
    batch_size: int,
    device: torch.device,
    title: str = "",
) -> np.ndarray:
    """Class-activation maps, float32 [N, H, W] in [0, 1], of the class `targets[i]` for uint8 images [N, 3,
    H, W].

    Computed in float32: the library's gradients do not work under bfloat16 autocast.
    """
    model.eval().requires_grad_(False)
    maps = []
    with (
        METHODS[method](model, [getattr(model, layer)[-1]]) as cam,
        progress(title, len(images)) as bar,
    ):
        for start in range(0, len(images), batch_size):
            batch = normalise(to_float(images[start : start + batch_size].to(device))).requires_grad_(True)
            chosen = [ClassifierOutputTarget(t) for t in targets[start : start + batch_size]]
            maps.append(cam(batch, chosen))
            bar.update(len(batch))
    return np.concatenate(maps).astype(np.float32)


def area_shares(heat: np.ndarray, regions: np.ndarray) -> dict[str, dict[str, float]]:
    """Share of heat and of area by AREAS, averaged over the images whose map is not empty.

    Args:
        heat: float [N, H, W], not negative. regions: uint8 [N, H, W], values index REGIONS.

    Returns:
        area -> `heat` (share of the map's heat), `area` (share of the picture), `ratio` (heat / area: 1 = no
        preference).
    """
    masks = {
        name: np.isin(regions, [REGIONS.index(r) for r in members]).astype(np.float32)
        for name, members in AREAS.items()
    }
    return _shares(heat, masks)


def centre_shares(heat: np.ndarray) -> dict[str, dict[str, float]]:
    """The same for the central square against the border, where nothing is known about the picture."""
    side = heat.shape[1]
    edge = round(side * (1 - CENTRE) / 2)
    centre = np.zeros_like(heat)
    centre[:, edge : side - edge, edge : side - edge] = 1
    return _shares(heat, {"centre": centre, "border": 1 - centre})


def _shares(heat: np.ndarray, masks: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    total = heat.sum((1, 2))
    usable = total > 0
    if not usable.any():
        return {}
    result = {}
    for name, mask in masks.items():
        share = float(((heat * mask).sum((1, 2))[usable] / total[usable]).mean())
        area = float(mask[usable].mean())
        result[name] = {"heat": share, "area": area, "ratio": share / area if area else 0.0}
    return result


def gallery_rows(
    labels: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, classes: int, examples: int
) -> list[dict[str, Any]]:
    """The images a gallery shows: for each class the `examples` most confident right and wrong predictions.

    Args:
        labels, predicted: int [N]. confidence: float [N], probability of the predicted class.

    Returns dicts with `index`, `label`, `predicted`, `probability`, `right`; most confident first.
    """
    rows = []
    for label in range(classes):
        for right in (True, False):
            found = np.flatnonzero((labels == label) & ((predicted == labels) == right))
            for index in found[np.argsort(-confidence[found], kind="stable")][:examples]:
                rows.append(
                    {
                        "index": int(index),
                        "label": label,
                        "predicted": int(predicted[index]),
                        "probability": float(confidence[index]),
                        "right": right,
                    }
                )
    return rows
