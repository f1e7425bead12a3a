"""What a network's answers rest on: its accuracy when a part of the picture is taken away.

A class-activation map says where a network found evidence, not whether it needs it. Here the part is changed
and the accuracy on the same images compared (exact McNemar test). A part is replaced by what surrounds it,
smoothly, so that no hole shows. Covering a part is compared with covering as many pixels elsewhere on the
head, because any cover costs something.

Accuracy does not show a reliance that misleads already: where the background points to a wrong class, another
wrong one costs nothing. So images with a borrowed background are tested, too: a cue conflict, as in Geirhos
et al. 2019 (ICLR). The background wins where the answer becomes the network's answer to the lender.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import cv2
import numpy as np

from emotions.evidence.intervals import mcnemar

COVERED: Final = ("eyes_brows", "mouth", "hair")
"""Areas that are covered, each against an equal cover elsewhere."""

BACKGROUND: Final = "background"
OUTSIDE: Final = "outside"
"""Stand-in for the background where only landmarks are known: all but the face."""
SMOOTH: Final = 1 / 12
"""Standard deviation of the smoothing that fills a part, as a fraction of the image's side."""
MARGIN: Final = 1 / 48
"""Margin of a cover around its area, as a fraction of the image's side: a mouth's edge shows its shape."""
GREY: Final = 127
PLACES: Final = 200
"""Random places tried for an equal cover; the best is taken."""

Images = np.ndarray
"""uint8 [N, H, W, 3]."""


def fill(image: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Replace the pixels in `hidden` by a Gaussian-weighted mean of the others near them, or by the mean of
    all others where none is near.

    Args:
        image: uint8 [H, W, 3]. hidden: bool [H, W], not True everywhere.
    """
    seen = (~hidden).astype(np.float32)
    sigma = SMOOTH * image.shape[0]
    light = cv2.GaussianBlur(image * seen[..., None], (0, 0), sigma)
    weight = cv2.GaussianBlur(seen, (0, 0), sigma)[..., None]
    everywhere = image[~hidden].mean(0)
    smooth = np.where(weight > 1e-3, light / np.maximum(weight, 1e-3), everywhere)
    return np.where(hidden[..., None], np.round(smooth), image).astype(np.uint8)


def widened(mask: np.ndarray) -> np.ndarray:
    """`mask` (bool [H, W]) grown by MARGIN."""
    reach = max(1, round(MARGIN * mask.shape[0]))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(mask.astype(np.uint8), disc) > 0


def elsewhere(cover: np.ndarray, head: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A cover of the same shape at another random place, wholly inside the picture. The best of PLACES random
    places lies most on the head and least on `cover`.

    Args:
        cover, head: bool [H, W]; `cover` not empty.
    """
    height, width = cover.shape
    rows, columns = np.flatnonzero(cover.any(1)), np.flatnonzero(cover.any(0))
    best, place = -np.inf, cover
    for _ in range(PLACES):
        down = int(generator.integers(-rows[0], height - rows[-1]))
        right = int(generator.integers(-columns[0], width - columns[-1]))
        moved = np.roll(cover, (down, right), (0, 1))
        merit = (moved & head).sum() - 2 * (moved & cover).sum()
        if merit == moved.sum():  # wholly on the head, nowhere on the area
            return moved
        if merit > best:
            best, place = merit, moved
    return place


def donors(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw for each image a donor of another class, which lends its background: int [N]. Where all are of one
    class, any other image is the donor.

    Args:
        labels: int [N], N at least 2.
    """
    chosen = np.empty(len(labels), int)
    for i, label in enumerate(labels):
        others = np.flatnonzero(labels != label)
        if not len(others):
            others = np.delete(np.arange(len(labels)), i)
        chosen[i] = generator.choice(others)
    return chosen


def changed(
    images: Images,
    donor: np.ndarray | None,
    masks: Mapping[str, np.ndarray],
    *,
    generator: np.random.Generator,
) -> dict[str, Images]:
    """The images with parts taken away, by name.

    `background swapped`: the donor's background, its head filled. `background blurred`, `background grey`.
    `only background`: the head is filled. `<area> covered` and `<area> elsewhere`, for the areas of COVERED.

    Args:
        donor: int [N], as from `donors`; None for covers alone.
        masks: area -> bool [N, H, W], with BACKGROUND or OUTSIDE.
    """
    behind = masks.get(BACKGROUND, masks.get(OUTSIDE))
    if behind is None:
        raise ValueError(f"the masks have neither {BACKGROUND} nor {OUTSIDE}")
    result = {} if donor is None else _backgrounds(images, donor, behind)
    for area in COVERED:
        if area not in masks:
            continue
        covers = [widened(mask) for mask in masks[area]]
        moved = [
            elsewhere(cover, ~room, generator) if cover.any() else cover
            for cover, room in zip(covers, behind, strict=True)
        ]
        for name, hidden in ((f"{area} covered", covers), (f"{area} elsewhere", moved)):
            result[name] = np.stack(
                [fill(i, h) if h.any() else i for i, h in zip(images, hidden, strict=True)]
            )
    return result


def _backgrounds(images: Images, donor: np.ndarray, behind: np.ndarray) -> dict[str, Images]:
    """The changes of the background. behind: bool [N, H, W]."""
    rooms = np.stack(
        [fill(image, ~room) if room.any() else image for image, room in zip(images, behind, strict=True)]
    )

    def where(at: np.ndarray, new: Any) -> Images:
        return np.where(at[..., None], new, images).astype(np.uint8)

    blurred = [cv2.GaussianBlur(room, (0, 0), SMOOTH * images.shape[1]) for room in rooms]
    return {
        "background swapped": where(behind, rooms[donor]),
        "background blurred": where(behind, np.stack(blurred)),
        "background grey": where(behind, GREY),
        "only background": rooms,
    }


def follows(
    before: np.ndarray, swapped: np.ndarray, donor: np.ndarray, *, generator: np.random.Generator
) -> dict[str, Any] | None:
    """How often the answer follows a borrowed background: it becomes the lender's answer rather than that
    of a random image, which has lent nothing.

    Args:
        before: int [N], answers to the unchanged images. swapped: int [N], answers with a borrowed
        background. donor: int [N], the lender of each background.

    Returns:
        `images`: number of images whose answer is not their lender's. Among these, `changed`: share whose
        answer changed; `to_lender`: share whose answer is now the lender's; and the result of `mcnemar`, the
        lender's answer less the random image's (which is not the image's, either). None where no answer
        differs from its lender's.
    """
    (differ,) = np.nonzero(before != before[donor])
    if not len(differ):
        return None
    stranger = donors(before, generator)
    now = swapped[differ]
    lender, random = now == before[donor][differ], now == before[stranger][differ]
    return {
        "images": len(differ),
        "changed": float((now != before[differ]).mean()),
        "to_lender": float(lender.mean()),
        **mcnemar(lender, random),
    }


def accuracy_changes(right: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Effect of each change of the picture on the accuracy.

    Args:
        right: name of the change, or `unchanged` -> whether each image is recognised, bool [N].

    Returns:
        `accuracy` by name. `background`: for each change named `background ...`, the result of `mcnemar`,
        accuracy changed less unchanged. `covers`: for each area, accuracy with the area covered less that
        with as many pixels covered elsewhere. A loss is below 0.
    """
    names: Sequence[str] = [name for name in right if name.startswith("background ")]
    return {
        "accuracy": {name: float(r.mean()) for name, r in right.items()},
        "background": {
            name.removeprefix("background "): mcnemar(right[name], right["unchanged"]) for name in names
        },
        "covers": {
            area: mcnemar(right[f"{area} covered"], right[f"{area} elsewhere"])
            for area in COVERED
            if f"{area} covered" in right
        },
    }
