"""The task that the starting network was trained on: its held-out images and its linear head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import ImageOps
from PIL.Image import Resampling
from torchvision.models import ResNet50_Weights
from torchvision.transforms.functional import center_crop

from emotions.data import dataset, images
from emotions.data.dataset import Split
from emotions.data.images import ImageError
from emotions.data.knobs import LoadParams
from emotions.data.leftovers import is_leftover
from emotions.taxonomy import BASIC

IMAGENET_CLASSES: Final[tuple[str, ...]] = tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])
HELD_OUT: Final = ("val", "test")
CENTRE: Final = 224 / 256
"""Share of the shorter side that ImageNet's networks are scored on."""


@dataclass(frozen=True)
class SourceTask:
    """Held-out images of the source task, one Split or several, and the linear head that was trained on it.

    `name`: `basic emotions` or `ImageNet`. `majority`: accuracy of always giving the most frequent answer.
    """

    name: str
    splits: tuple[Split, ...]
    weight: torch.Tensor
    bias: torch.Tensor
    majority: float

    @property
    def labels(self) -> np.ndarray:
        """Labels of all images, int [N]."""
        return torch.cat([split.labels for split in self.splits]).numpy()


def find(
    pretrained: Mapping[str, Any], zip_file: Path, sample: Path, *, params: LoadParams, decoded: Path
) -> SourceTask | None:
    """The source task of these starting weights, or None if it has no head or no held-out image.

    `pretrained`: as stage `pretrain` writes it. If it was trained on the basic emotions, they are the task,
    with the images of val (which chose its epoch) and test. Else it is ImageNet, if `sample` holds the
    user's labelled images (`<class name or number>/*`, see data/raw/imagenet_sample/README.md).

    Raises:
        ImageError: an image of the sample cannot be read, or its folder is not a class of ImageNet.
    """
    state = pretrained["state_dict"]
    if pretrained["classes"] == list(BASIC):
        rows = dataset.read_manifest(zip_file)
        present = [s for s in HELD_OUT if any(r.role == "basic" and r.split == s for r in rows)]
        splits = tuple(
            dataset.load_split(zip_file, BASIC, "basic", split=s, params=params, decoded=decoded)
            for s in present
        )
        name, head = "basic emotions", (state["fc.weight"], state["fc.bias"])
    elif "imagenet_head" in pretrained:
        found = imagenet_sample(sample, params.image_size)
        splits = (found,) if found else ()
        name, head = "ImageNet", tuple(pretrained["imagenet_head"])
    else:
        return None
    if not splits:
        return None
    labels = torch.cat([split.labels for split in splits])
    return SourceTask(name, splits, *head, majority=labels.bincount().max().item() / len(labels))


def imagenet_sample(folder: Path, size: int) -> Split | None:
    """Images under `folder`, cropped to the centre; None if there are none.

    Each class has one folder, named by ImageNet's class name (as torchvision lists it, spaces or underscores)
    or its number.
    """
    names = {name.lower().replace(" ", "_"): i for i, name in enumerate(IMAGENET_CLASSES)}
    names |= {str(i): i for i in range(len(IMAGENET_CLASSES))}
    pixels, labels = [], []
    for path in sorted(folder.glob("*/*")):
        if is_leftover(path.name) or is_leftover(path.parent.name):
            continue
        label = names.get(path.parent.name.lower().replace(" ", "_"))
        if label is None:
            raise ImageError(
                f"{path.parent}: not a class of ImageNet; name the folder by its number (0 to 999) or by the "
                f"name that torchvision gives it, such as {IMAGENET_CLASSES[0]!r}"
            )
        image = images.decode(path.read_bytes(), str(path)).image
        square = ImageOps.fit(image, (round(size / CENTRE),) * 2, Resampling.BICUBIC)
        image = center_crop(square, [size, size])
        pixels.append(np.asarray(image).transpose(2, 0, 1))
        labels.append(label)
    return _split(pixels, labels) if pixels else None


def _split(pixels: Sequence[np.ndarray], labels: Sequence[int]) -> Split:
    rows = [
        dataset.manifest.Row(f"{i}", IMAGENET_CLASSES[label], "source", "test", "", "", "", "", f"{i}")
        for i, label in enumerate(labels)
    ]
    return Split(
        rows,
        IMAGENET_CLASSES,
        torch.from_numpy(np.stack(pixels)),
        torch.tensor(labels),
        data="imagenet_sample",
    )
