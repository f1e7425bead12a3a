"""Class-activation maps of one layer and class each, and the examples that a gallery shows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from pytorch_grad_cam import GradCAM, LayerCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torchvision.models import ResNet

from emotions.model.preprocessing import normalise, to_float
from emotions.runtime.console import progress

METHODS: Final = {"gradcam": GradCAM, "layercam": LayerCAM}


@contextmanager
def _graph_begins_at(layer: nn.Module) -> Iterator[None]:
    """Stop gradients at the output of `layer`, which saves the rest of the backward pass. Only for a network
    whose parameters and input require no gradient.

    The library hooks `layer` too, and must do so after this: hooks run in the order of registration.
    """
    handle = layer.register_forward_hook(lambda _module, _inputs, out: out.detach().requires_grad_(True))
    try:
        yield
    finally:
        handle.remove()


def heat_maps(
    model: ResNet,
    images: torch.Tensor,
    targets: Sequence[int],
    *,
    method: str,
    layer: str,
    batch_size: int,
    device: torch.device,
    title: str = "",
) -> np.ndarray:
    """Class-activation maps, float32 [N, H, W] in [0, 1], of the class `targets[i]` for uint8 images [N, 3,
    H, W]: LayerCAM (Jiang et al. 2021, IEEE TIP 30:5875) or Grad-CAM (Selvaraju et al. 2017, ICCV).

    Each map is scaled to minimum 0 and maximum 1; a map without positive evidence is 0 everywhere. Computed
    in float32: the library's gradients do not work under bfloat16 autocast.
    """
    model.eval().requires_grad_(False)
    block = getattr(model, layer)[-1]
    maps = []
    with (
        _graph_begins_at(block),
        METHODS[method](model, [block]) as cam,
        progress(title, len(images)) as bar,
    ):
        for start in range(0, len(images), batch_size):
            batch = normalise(to_float(images[start : start + batch_size].to(device)))
            chosen = [ClassifierOutputTarget(t) for t in targets[start : start + batch_size]]
            maps.append(cam(batch, chosen))
            bar.update(len(batch))
    return np.concatenate(maps).astype(np.float32)


def gallery_rows(
    labels: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, *, classes: int, examples: int
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
            rows += _most_confident(found, labels, predicted, confidence=confidence, examples=examples)
    return rows


def confusion_rows(
    labels: np.ndarray,
    predicted: np.ndarray,
    confidence: np.ndarray,
    *,
    classes: int,
    most: int,
    examples: int,
) -> list[list[dict[str, Any]]]:
    """The `most` most frequent confusions, each with its `examples` most confident errors in the form of
    `gallery_rows`. Equally frequent ones come in the order of the classes."""
    counts = np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
    pairs = sorted((-int(counts[i, j]), int(i), int(j)) for i, j in np.argwhere(counts) if i != j)
    return [
        _most_confident(
            np.flatnonzero((labels == i) & (predicted == j)),
            labels,
            predicted,
            confidence=confidence,
            examples=examples,
        )
        for _, i, j in pairs[:most]
    ]


def _most_confident(
    found: np.ndarray, labels: np.ndarray, predicted: np.ndarray, *, confidence: np.ndarray, examples: int
) -> list[dict[str, Any]]:
    return [
        {
            "index": int(index),
            "label": int(labels[index]),
            "predicted": int(predicted[index]),
            "probability": float(confidence[index]),
            "right": bool(predicted[index] == labels[index]),
        }
        for index in found[np.argsort(-confidence[found], kind="stable")][:examples]
    ]
