"""Finds images that leak between splits: identical pixels, near-copies, or the same person.

A near-copy is the same photograph after another crop, compression, brightness, lettering or mirroring: its
perceptual hash (pHash, Zauner 2010, as the ImageHash library computes it) is close, and its pixels agree once
the two are laid over each other. Or it is turned, zoomed or shifted, as augmented sets have it: then the hash
of its middle is close to that of a held-out image so placed.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import faiss
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from emotions.data.manifest import Row

HASH_DISTANCE: Final = 10
"""Most bits, of 64, in which the hashes of near-copies differ."""
CORRELATION: Final = 0.92
"""Minimum correlation of the pixels of overlaid near-copies; `docs/results.md` explains the choice."""
SIDE: Final = 48
"""Side in pixels of the images that are compared."""
SCALES: Final = (1.0, 0.93, 1.07, 0.87, 1.15)
WINDOW: Final = 36
"""Side of the middle part of one image, searched for in the other, so crops may differ by some pixels."""

ANGLES: Final = (*range(-20, 21, 5), 90, 180, 270)
ZOOMS: Final = (0.83, 0.91, 1.0, 1.1, 1.2)
SHIFTS: Final = (-5.0, -2.5, 0.0, 2.5, 5.0)
"""Places tried of each held-out image: every angle with every zoom, and shifts, in pixels of SIDE."""
PLACED_DISTANCE: Final = 8
PLACED_CORRELATION: Final = 0.95
"""As HASH_DISTANCE and CORRELATION, for images so placed: of many tries the best agrees more by chance."""
_CENTRE: Final = ((SIDE - 1) / 2, (SIDE - 1) / 2)
_PLACES: Final = (
    *(cv2.getRotationMatrix2D(_CENTRE, a, z) for a, z in itertools.product(ANGLES, ZOOMS)),
    *(np.array([[1, 0, x], [0, 1, y]]) for x, y in itertools.product(SHIFTS, SHIFTS) if x or y),
)
_EDGE: Final = (SIDE - WINDOW) // 2
_COSINES: Final = np.cos(np.pi * np.outer(np.arange(8), np.arange(WINDOW) + 0.5) / WINDOW)

Kind = Literal["pixel copy", "near copy", "same person"]
KINDS: Final[tuple[Kind, ...]] = ("pixel copy", "near copy", "same person")
_KEPT_FIRST: Final = {"test": 0, "val": 1, "train": 2}


@dataclass(frozen=True, slots=True)
class Pair:
    """`kept` stays if one of the two must go; `other` lies in another split, unless they are pixel copies.

    `correlation`: correlation of the pixels, 1 for pixel copies, 0 if the pixels were not compared.
    """

    kept: Row
    other: Row
    kind: Kind
    correlation: float
    mirrored: bool = False


def rank(row: Row) -> tuple[bool, int, str]:
    """Sort key, the lower row stays: compound before basic, then test, val, train, then by name."""
    return (row.role != "compound", _KEPT_FIRST[row.split], row.image)


def perceptual_hash(image: Image.Image) -> tuple[int, int, int]:
    """64-bit perceptual hashes of the image, of its mirror image, and of its middle (`middle_hashes`)."""
    one, other = (int(str(imagehash.phash(i)), 16) for i in (image, ImageOps.mirror(image)))
    return one, other, int.from_bytes(middle_hashes(grey(image)[None])[0, 0].tobytes())


def middle_hashes(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Perceptual hashes of the middle of WINDOW pixels, which has no corners that turning left empty.

    Args:
        images: uint8 [N, SIDE, SIDE].

    Returns:
        uint8 [N, 2, 8]: bits of the middle, and of its mirror image.
    """
    middle = images[:, _EDGE : _EDGE + WINDOW, _EDGE : _EDGE + WINDOW].astype(float)
    straight = _COSINES @ middle @ _COSINES.T
    mirrored = straight * np.where(np.arange(8) % 2, -1, 1)
    waves = np.stack([straight, mirrored], 1).reshape(len(images), 2, 64)
    return np.packbits(waves > np.median(waves, axis=2, keepdims=True), axis=2)


def grey(image: Image.Image) -> NDArray[np.uint8]:
    """The image as `near_copies` compares it: uint8 [SIDE, SIDE]."""
    pixels = np.asarray(image.convert("L"))
    return cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def pixel_copies(rows: Iterable[Row]) -> list[Pair]:
    """Pair each image with the lowest-ranked image that has the same decoded pixels."""
    first: dict[str, Row] = {}
    pairs = []
    for row in sorted(rows, key=rank):
        kept = first.setdefault(row.pixels, row)
        if kept is not row:
            pairs.append(Pair(kept, row, "pixel copy", 1.0))
    return pairs


def near_copies(
    rows: Sequence[Row], hashes: Sequence[tuple[int, int, int]], read: Callable[[Row], NDArray[np.uint8]]
) -> list[Pair]:
    """All pairs of near-copies in different splits; in each, the row of lower rank is `kept`.

    Every pair of hashes is compared: at 50,000 images still faster than an index that misses some
    (`benchmarks/leakage.py`).

    Args:
        hashes: `perceptual_hash` of each row. read: a row's image, as `grey` gives it.
    """
    found: dict[tuple[int, int], tuple[float, bool]] = {}
    images: dict[int, NDArray[np.uint8]] = {}

    def image(i: int) -> NDArray[np.uint8]:
        if i not in images:
            images[i] = read(rows[i])
        return images[i]

    for (i, j), mirrored in sorted(_close(rows, hashes).items()):
        second = image(j)[:, ::-1] if mirrored else image(j)
        correlation = overlaid_correlation(image(i), np.ascontiguousarray(second))
        if correlation >= CORRELATION:
            found[i, j] = correlation, mirrored
    for i, j, mirrored, placed in _close_placed(rows, hashes, image):
        correlation = overlaid_correlation(placed, image(j))
        pair = min(i, j), max(i, j)
        if correlation >= max(PLACED_CORRELATION, found.get(pair, (0.0, False))[0]):
            found[pair] = correlation, mirrored
    pairs = []
    for (i, j), (correlation, mirrored) in found.items():
        kept, other = sorted((rows[i], rows[j]), key=rank)
        pairs.append(Pair(kept, other, "near copy", correlation, mirrored))
    return sorted(pairs, key=lambda p: (rank(p.other), rank(p.kept)))


def _close(rows: Sequence[Row], hashes: Sequence[tuple[int, int, int]]) -> dict[tuple[int, int], bool]:
    """Pairs of rows in different splits with close hashes -> whether only with one of them mirrored."""
    if not rows:
        return {}
    straight, mirrored = (
        np.array([h[side] for h in hashes], dtype=">u8").view(np.uint8).reshape(-1, 8) for side in (0, 1)
    )
    index = faiss.IndexBinaryFlat(64)
    index.add(straight)
    held_out = np.array([i for i, row in enumerate(rows) if row.split != "train"])
    found: dict[tuple[int, int], bool] = {}
    for turned, side in ((True, mirrored), (False, straight)):
        if not len(held_out):
            break
        limits, _, neighbours = index.range_search(np.ascontiguousarray(side[held_out]), HASH_DISTANCE + 1)
        for at, i in enumerate(held_out):
            for j in neighbours[limits[at] : limits[at + 1]]:
                if rows[i].split != rows[j].split and rows[i].pixels != rows[j].pixels:
                    found[int(min(i, j)), int(max(i, j))] = turned
    return found


def _close_placed(
    rows: Sequence[Row],
    hashes: Sequence[tuple[int, int, int]],
    image: Callable[[int], NDArray[np.uint8]],
) -> Iterator[tuple[int, int, bool, NDArray[np.uint8]]]:
    """Each held-out row i, row j of another split and a place: whether mirrored, and image i so placed, where
    the hashes of their middles are close."""
    held_out = [i for i, row in enumerate(rows) if row.split != "train"]
    if not held_out:
        return
    index = faiss.IndexBinaryFlat(64)
    index.add(np.array([h[2] for h in hashes], dtype=">u8").view(np.uint8).reshape(-1, 8))
    asked = [middle_hashes(np.stack([_placed(image(i), place) for place in _PLACES])) for i in held_out]
    limits, _, neighbours = index.range_search(np.concatenate(asked).reshape(-1, 8), PLACED_DISTANCE + 1)
    for at in np.flatnonzero(np.diff(limits)):
        number, place, mirrored = np.unravel_index(at, (len(held_out), len(_PLACES), 2))
        i = held_out[number]
        placed = np.ascontiguousarray(_placed(image(i), _PLACES[place])[:, :: -1 if mirrored else 1])
        for j in neighbours[limits[at] : limits[at + 1]]:
            if rows[i].split != rows[j].split and rows[i].pixels != rows[j].pixels:
                yield i, int(j), bool(mirrored), placed


def _placed(image: NDArray[np.uint8], place: NDArray[np.float64]) -> NDArray[np.uint8]:
    placed = cv2.warpAffine(image, place, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(placed, np.uint8)


def with_several_copies(pairs: Iterable[Pair]) -> int:
    """Number of held-out images that have two near-copies or more in train."""
    ends = (
        sorted((p.kept, p.other), key=lambda row: row.split == "train")
        for p in pairs
        if p.kind == "near copy"
    )
    copies = Counter(one.image for one, other in ends if one.split != other.split == "train")
    return sum(number > 1 for number in copies.values())


def overlaid_correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Highest correlation of the middle of `one`, over SCALES, with a place in `other`; grey [SIDE, SIDE]."""
    best = -1.0
    for scale in SCALES:
        side = round(SIDE * scale)
        resized = cv2.resize(
            one, (side, side), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        )
        edge = (side - WINDOW) // 2
        middle = resized[edge : edge + WINDOW, edge : edge + WINDOW]
        best = max(best, float(cv2.matchTemplate(other, middle, cv2.TM_CCOEFF_NORMED).max()))
    return best


def same_persons(rows: Sequence[Row]) -> list[Pair]:
    """Pair each image of a person (`group`) with one of the same person in a split of lower rank."""
    by_person = defaultdict(list)
    for row in rows:
        if row.group:
            by_person[row.group].append(row)
    pairs = []
    for person in by_person.values():
        first = min(person, key=rank)
        pairs += [Pair(first, row, "same person", 0.0) for row in person if row.split != first.split]
    return sorted(pairs, key=lambda p: rank(p.other))


def drop(rows: Sequence[Row], pairs: Sequence[Pair]) -> tuple[list[Row], list[Pair]]:
    """Leave out as few rows as necessary, by higher rank; return the kept rows, and a pair per dropped row.

    A row stays if no partner of lower rank stays.
    """
    partners = defaultdict(list)
    for pair in pairs:
        partners[pair.other.image].append(pair)
    gone: set[str] = set()
    used = []
    for row in sorted(rows, key=rank):
        reason = next((p for p in partners[row.image] if p.kept.image not in gone), None)
        if reason is not None:
            gone.add(row.image)
            used.append(reason)
    return [row for row in rows if row.image not in gone], used
