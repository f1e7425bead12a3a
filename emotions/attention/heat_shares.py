"""Share of a class-activation map's heat on each part of the picture, relative to the part's area.

Every statistic is a ratio of sums over images, heat on a part over the part's area: 1.0 is no preference. Its
standard error is linearised (Cochran 1977, Sampling Techniques, 6.4). Each image has an influence on the
ratio; a statistic made of several ratios combines their influences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F

from emotions.data.regions import REGIONS
from emotions.evidence.intervals import Z
from emotions.taxonomy import unit_numbers

AREAS: Final[dict[str, tuple[str, ...]]] = {
    "eyes_brows": ("eyes", "brows"),
    "nose": ("nose",),
    "mouth": ("mouth",),
    "other_face": ("other_face", "cheeks"),
    "hair": ("hair",),
    "background": ("background",),
}
"""Areas reported for images with region maps: area -> regions."""

CENTRE: Final = 0.6
"""Side of the central square used without region maps, as a fraction of the image's side."""

CONTRAST: Final = 1.5
"""Least ratio of an ideal map's heat on its area to its heat on any other area, each relative to area size.

`python -m benchmarks.resolution` shows what trained networks reach at the grids where this holds.
"""

FEWEST: Final = 5
"""Fewest images for which a class or an action unit is reported: four give too wide an interval."""

UNITS: Final[dict[str, tuple[int, ...]]] = {
    "eyes_brows": (1, 2, 4, 5, 6, 7, 43, 45),
    "nose": (9, 38, 39),
    "mouth": (8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 27, 28),
}
"""Action units that show in each area: area -> FACS numbers (Ekman, Friesen & Hager 2002)."""

Masks = Mapping[str, np.ndarray]
"""Area -> bool [N, H, W]."""


@dataclass(frozen=True)
class HeatShares:
    """Heat and area of each image, as shares of its map and of its picture.

    `areas`: R names. `heat`, `area`: float [N, R], without images whose map is empty. `kept`: bool over all
    images, N of them True.
    """

    areas: tuple[str, ...]
    heat: np.ndarray
    area: np.ndarray
    kept: np.ndarray

    def of(self, area: str) -> tuple[np.ndarray, np.ndarray]:
        """Heat and area, float [N] each."""
        at = self.areas.index(area)
        return self.heat[:, at], self.area[:, at]


def area_masks(regions: np.ndarray) -> dict[str, np.ndarray]:
    """Masks of AREAS, bool [N, H, W] each, from region maps uint8 [N, H, W] whose values index REGIONS."""
    return {name: np.isin(regions, [REGIONS.index(r) for r in members]) for name, members in AREAS.items()}


def centre_masks(images: int, side: int) -> dict[str, np.ndarray]:
    """Masks of the central square and the border, for pictures of unknown layout."""
    edge = round(side * (1 - CENTRE) / 2)
    centre = np.zeros((images, side, side), bool)
    centre[:, edge : side - edge, edge : side - edge] = True
    return {"centre": centre, "border": ~centre}


def by_image(heat: np.ndarray, masks: Masks) -> HeatShares:
    """Shares of heat and of area of every part, for each image whose map is not empty.

    Args:
        heat: float [N, H, W], not negative.
    """
    kept = heat.sum((1, 2)) > 0
    total = heat[kept].sum((1, 2), dtype=np.float64)
    on = [(heat[kept] * mask[kept]).sum((1, 2), dtype=np.float64) / total for mask in masks.values()]
    area = [mask[kept].mean((1, 2)) for mask in masks.values()]
    none = np.zeros((int(kept.sum()), 0))  # no parts were given
    return HeatShares(tuple(masks), np.stack(on, 1) if on else none, np.stack(area, 1) if on else none, kept)


def ratio(heat: np.ndarray, area: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean share of heat over mean share of area, and each image's influence on this ratio, float [N].

    Args:
        heat, area: float [N] each, of one part; `area` not 0 everywhere.
    """
    value = float(heat.sum() / area.sum())
    return value, (heat - value * area) / area.sum()


def standard_error(influence: np.ndarray) -> float:
    """Of a statistic, from the influences of N images on it."""
    images = len(influence)
    return float(np.sqrt((influence**2).sum() * images / (images - 1))) if images > 1 else float("nan")


def interval(value: float, influence: np.ndarray) -> list[float] | None:
    """95 % limits of a ratio, on the log scale, which keeps them above 0; None where one image or a ratio of
    0 tells nothing about its spread."""
    error = standard_error(influence)
    if not value or not np.isfinite(error):
        return None
    reach = float(np.exp(Z * error / value))
    return [value / reach, value * reach]


def summary(found: HeatShares, rows: np.ndarray | None = None) -> dict[str, dict[str, Any]]:
    """By area, over all images or `rows` (bool [N]): `heat` and `area` (mean shares), `ratio`, `interval`.

    Parts that none of the images has are left out.
    """
    chosen = np.ones(len(found.heat), bool) if rows is None else rows
    result = {}
    for name in found.areas:
        heat, area = (values[chosen] for values in found.of(name))
        if area.sum() == 0:
            continue
        value, influence = ratio(heat, area)
        result[name] = {
            "heat": float(heat.mean()),
            "area": float(area.mean()),
            "ratio": value,
            "interval": interval(value, influence),
        }
    return result


def difference(
    found: HeatShares, area: str, *, first: np.ndarray, second: np.ndarray
) -> dict[str, Any] | None:
    """Ratio of an area over the images `first` less its ratio over `second` (bool [N], no image in both).

    Returns `difference`, its 95 % `interval` and `images` of each group. None where a group has fewer than
    FEWEST images, or none that has the area.
    """
    one = _difference(found, area, first=first, second=second)
    if one is None:
        return None
    value, influence = one
    return {
        "images": [int(first.sum()), int(second.sum())],
        "difference": value,
        "interval": _around(value, influence),
    }


def _difference(
    found: HeatShares, area: str, *, first: np.ndarray, second: np.ndarray
) -> tuple[float, np.ndarray] | None:
    """The difference and the influence of each image, float [N]."""
    heat, size = found.of(area)
    influence = np.zeros(len(heat))
    values = []
    for rows, sign in ((first, 1), (second, -1)):
        if rows.sum() < FEWEST or size[rows].sum() == 0:
            return None
        value, of_rows = ratio(heat[rows], size[rows])
        values.append(value)
        influence[rows] = sign * of_rows
    return values[0] - values[1], influence


def against(heat: np.ndarray, other: np.ndarray, masks: Masks) -> dict[str, dict[str, Any]]:
    """Compare two sets of maps of the same images, by area: `ratio` of `other`, and the `difference`, the
    ratio of `heat` less that, with its 95 % `interval`. Images with an empty map in either set are left out;
    `images` counts the rest.

    Args:
        heat, other: float [N, H, W] each.
    """
    kept = (heat.sum((1, 2)) > 0) & (other.sum((1, 2)) > 0)
    of_both = {name: mask[kept] for name, mask in masks.items()}
    first, second = by_image(heat[kept], of_both), by_image(other[kept], of_both)
    found = {}
    for area in masks:
        if not kept.any() or second.of(area)[1].sum() == 0:
            continue
        (one, influence), (two, of_other) = ratio(*first.of(area)), ratio(*second.of(area))
        found[area] = {
            "images": int(kept.sum()),
            "ratio": two,
            "difference": one - two,
            "interval": _around(one - two, influence - of_other),
        }
    return found


def _around(value: float, influence: np.ndarray) -> list[float]:
    reach = Z * standard_error(influence)
    return [value - reach, value + reach]


def unit_agreement(found: HeatShares, action_units: Sequence[str]) -> dict[str, Any] | None:
    """Whether an area has more heat in images whose coded action units show there than in other images.

    For each unit: the ratio of its area over images with the unit less its ratio over images without. `all`:
    the mean over units.

    Args:
        action_units: those of the kept images, as in the manifest; an empty text is not coded and left out.

    Returns:
        `units`: FACS number -> `area` and what `difference` gives; `all`: `difference`, `interval`. None
        where no unit has FEWEST images with and without it.
    """
    coded = [unit_numbers(units) for units in action_units]
    known = np.array([one is not None for one in coded])
    units, influences = {}, []
    for area, numbers in UNITS.items():
        if area not in found.areas:
            continue
        for number in numbers:
            active = np.array([one is not None and number in one for one in coded])
            one = _difference(found, area, first=known & active, second=known & ~active)
            if one is None:
                continue
            value, influence = one
            influences.append(influence)
            units[str(number)] = {
                "area": area,
                "images": [int((known & active).sum()), int((known & ~active).sum())],
                "difference": value,
                "interval": _around(value, influence),
            }
    if not units:
        return None
    mean = float(np.mean([unit["difference"] for unit in units.values()]))
    return {"units": units, "all": {"difference": mean, "interval": _around(mean, np.mean(influences, 0))}}


def ideal_maps(mask: np.ndarray, grid: int) -> np.ndarray:
    """Ideal maps, `grid` x `grid` cells, of a part that alone matters: bool [N, H, W] -> float32 [N, H, W].
    A cell is the part's share of it and its eight neighbours, which it sees too. Enlarged to H x W."""
    exact = torch.from_numpy(mask.astype(np.float32))[:, None]
    cells = F.avg_pool2d(F.adaptive_avg_pool2d(exact, grid), 3, 1, 1, count_include_pad=False)
    size = (mask.shape[1], mask.shape[2])
    return F.interpolate(cells, size, mode="bilinear", align_corners=False)[:, 0].numpy()


def resolution(masks: Masks, grid: int) -> dict[str, dict[str, float]]:
    """How well a map of `grid` x `grid` cells can tell areas apart, from their shapes alone.

    For each area that some image has: `itself`, the ratio of its ideal map (`ideal_maps`) on the area, and
    `elsewhere`, its greatest ratio on another area.
    """
    found = {}
    for name, mask in masks.items():
        has = mask.any((1, 2))
        if not has.any():
            continue
        ideal = by_image(ideal_maps(mask[has], grid), {other: m[has] for other, m in masks.items()})
        ratios = {other: one["ratio"] for other, one in summary(ideal).items()}
        itself = ratios.pop(name)
        found[name] = {"itself": itself, "elsewhere": max(ratios.values(), default=0.0)}
    return found


def resolvable(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Areas of a `resolution` where `itself` is at least CONTRAST times `elsewhere`."""
    return [name for name, one in found.items() if one["itself"] >= CONTRAST * one["elsewhere"]]


def mean_map(heat: np.ndarray, grid: int) -> np.ndarray:
    """Mean of the maps, each scaled to sum 1, in the cells of the layer: float [grid, grid], 1 = even heat.

    Args:
        heat: float [N, H, W]; empty maps are left out.
    """
    total = heat.sum((1, 2), keepdims=True)
    kept = heat[total[:, 0, 0] > 0] / total[total[:, 0, 0] > 0]
    if not len(kept):
        return np.zeros((grid, grid))
    mean = torch.from_numpy(kept.mean(0, dtype=np.float64) * heat.shape[1] * heat.shape[2])
    return F.adaptive_avg_pool2d(mean[None], grid)[0].numpy()
