"""How long the search for near-copies takes as the data grow, against other searches, and what it finds.

Usage: python -m benchmarks.leakage [FOLDER]

The hashes are drawn so that unrelated faces are about as far apart as those of FER+ (30 bits of 64 on
average, with a long tail towards 0), with planted pairs 0 to 10 bits apart. The images are drawn, too;
decoding is not measured. The search measured beside `leakage`'s, which is faiss's exhaustive one, is
its multi-index hashing (Norouzi et al. 2012; three parts of 21 bits, two flips). FOLDER: an extracted data
set (`data/extracted`), whose images are hashed and described, and 200 of whose held-out images are
changed as augmentation changes them and searched for; without it, noise is hashed.
"""

import functools
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import faiss
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from emotions.data import manifest
from emotions.data.images import decode
from emotions.data.manifest import Row
from emotions.random_streams import numpy_stream
from emotions.sources import leakage
from emotions.sources.leakage import HASH_DISTANCE, SIDE, perceptual_hash

SIZES = (5_000, 10_000, 20_000, 50_000)
PLANTED = 20
"""Pairs at each distance."""
FACTORS, STRENGTH = 16, 0.85
"""What faces have in common: the bits are signs of as many shared factors, weighted so, and noise."""
MIRROR = np.array([column % 2 for _ in range(8) for column in range(8)], np.uint8)
"""Mirroring turns the sign of every other column of the cosine transform that the hash is made of."""


def draw_hashes(number: int) -> NDArray[np.uint8]:
    """Bits [number, 64] of unrelated faces."""
    rng = numpy_stream(0, "benchmark", "hashes", number)
    weights = numpy_stream(0, "benchmark", "weights").normal(size=(FACTORS, 64)) / np.sqrt(FACTORS)
    shared = rng.normal(size=(number, FACTORS)) @ weights
    common = numpy_stream(0, "benchmark", "common").normal(0, 0.35, 64)
    values = common + STRENGTH * shared + np.sqrt(1 - STRENGTH**2) * rng.normal(size=(number, 64))
    return (values > 0).astype(np.uint8)


def as_numbers(bits: NDArray[np.uint8]) -> list[int]:
    return [int(n) for n in np.packbits(bits, axis=1).view(">u8")[:, 0]]


def row(number: int, split: str) -> Row:
    name = f"images/basic/{split}/Neutral/{number:06d}.jpg"
    return Row(name, "Neutral", "basic", split, "", "", "", f"{number}", f"{number}")


def plant(bits: NDArray[np.uint8], splits: Sequence[str]) -> dict[int, int]:
    """Make some rows outside train near-copies of rows in train: copy -> original."""
    rng = numpy_stream(0, "benchmark", "plant", len(bits))
    train, held_out = (
        rng.permutation([i for i, s in enumerate(splits) if (s == "train") is wanted])
        for wanted in (True, False)
    )
    copies = {}
    for at, (distance, _) in enumerate(itertools.product(range(HASH_DISTANCE + 1), range(PLANTED))):
        copy, original = int(held_out[at]), int(train[at])
        bits[copy] = bits[original]
        bits[copy, rng.permutation(64)[:distance]] ^= 1
        copies[copy] = original
    return copies


def base_picture(number: int) -> NDArray[np.uint8]:
    coarse = numpy_stream(0, "benchmark", "picture", number).integers(0, 256, (8, 8), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def multi_index() -> faiss.IndexBinary:
    index = faiss.IndexBinaryMultiHash(64, 3, 21)
    index.nflip = 2
    return index


def search(
    index: faiss.IndexBinary, bits: NDArray[np.uint8], splits: Sequence[str]
) -> dict[tuple[int, int], int]:
    """The pairs of rows in different splits that a search finds, either way -> bits apart."""
    straight, mirrored = np.packbits(bits, axis=1), np.packbits(bits ^ MIRROR, axis=1)
    index.add(straight)
    held_out = np.array([i for i, split in enumerate(splits) if split != "train"])
    found: dict[tuple[int, int], int] = {}
    for side in (mirrored, straight):
        limits, distances, neighbours = index.range_search(side[held_out], HASH_DISTANCE + 1)
        for at, i in enumerate(held_out):
            for k in range(limits[at], limits[at + 1]):
                j = int(neighbours[k])
                if splits[i] != splits[j]:
                    pair = (min(int(i), j), max(int(i), j))
                    found[pair] = min(int(distances[k]), found.get(pair, 64))
    return found


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def describe(title: str, bits: NDArray[np.uint8]) -> None:
    some = bits[:5000].astype(np.float32)
    ones = some.sum(1)
    apart = (ones[:, None] + ones - 2 * some @ some.T)[np.triu_indices(len(some), 1)]
    print(
        f"{title}: {len(some):,} hashes, {apart.mean():.1f} bits apart on average (deviation "
        f"{apart.std():.1f}), "
        f"{(apart <= HASH_DISTANCE).mean() * 1e6:.1f} of a million pairs at most {HASH_DISTANCE}, "
        f"{(apart <= 16).mean() * 1e6:,.0f} at most 16"
    )


def measure(number: int) -> float:
    splits = (*("train",) * 8, "val", "test") * (number // 10)
    bits = draw_hashes(number)
    if number == SIZES[0]:
        describe("drawn", bits)
    copies = plant(bits, splits)
    hashes = list(zip(as_numbers(bits), as_numbers(bits ^ MIRROR), as_numbers(bits), strict=True))
    rows = [row(n, split) for n, split in enumerate(splits)]
    pictures = {r.image: copies.get(n, n) for n, r in enumerate(rows)}
    pictures_drawn = {n: base_picture(n) for n in set(pictures.values())}

    whole, pairs = timed(
        lambda: leakage.near_copies(rows, hashes, lambda of: pictures_drawn[pictures[of.image]])
    )
    own, found = timed(lambda: leakage._close(rows, hashes))
    print(
        f"{number:6,} images: near_copies {whole:.3f} s, of which the search {own:.3f} s, "
        f"{len(found):,} pairs to compare"
    )
    every = search(faiss.IndexBinaryFlat(64), bits, splits)
    taken, pairs_found = timed(functools.partial(search, multi_index(), bits, splits))
    print(f"  multi-index  {taken:.3f} s, {taken / own:.2f} x leakage; {shares(pairs_found, every)}")
    print(f"  {'this':12} {own:.3f} s; {shares(found, every)}")
    named = {frozenset((p.kept.source_id, p.other.source_id)) for p in pairs}
    reported = sum(frozenset((str(copy), str(original))) in named for copy, original in copies.items())
    print(f"  planted pairs reported: {reported} of {len(copies)}", flush=True)
    return whole


def shares(found: Iterable[tuple[int, int]], every: Mapping[tuple[int, int], int]) -> str:
    """What share of all pairs at each distance was found, where it is not all of them."""
    of_all, of_found = Counter(every.values()), Counter(every[pair] for pair in found)
    missed = [
        f"{of_found[d] / of_all[d]:.0%} of those {d} apart" for d in sorted(of_all) if of_found[d] < of_all[d]
    ]
    return f"finds {', '.join(missed) + ', all nearer' if missed else 'all pairs'}"


def hash_speed(folder: Path | None) -> None:
    if folder is None:
        pixels = numpy_stream(0, "benchmark", "faces").integers(0, 256, (500, 100, 100, 3), dtype=np.uint8)
        pictures = [Image.fromarray(p) for p in pixels]
    else:
        rows = manifest.read((folder / "manifest.csv").read_text(encoding="utf-8"))
        order = numpy_stream(0, "benchmark", "sample").permutation(len(rows))[:5000]
        chosen = [rows[i].image for i in order]
        pictures = [decode((folder / name).read_bytes(), name).image for name in chosen]
    perceptual_hash(pictures[0])
    seconds, hashes = timed(lambda: [perceptual_hash(picture) for picture in pictures])
    each = seconds / len(pictures)
    print(f"perceptual_hash of {pictures[0].size} px, both ways: {each * 1e3:.2f} ms an image")
    if folder is not None:
        packed = np.array([h[0] for h in hashes], dtype=">u8").view(np.uint8).reshape(-1, 8)
        describe(str(folder), np.unpackbits(packed, axis=1))


def changed(
    image: Image.Image, angle: float = 0, zoom: float = 1, shift: tuple[float, float] = (0, 0)
) -> Image.Image:
    """The image turned by degrees, zoomed and shifted by shares of its side, what is left empty black."""
    width, height = image.size
    place = np.asarray(cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, zoom), float)
    place[:, 2] += np.array(shift) * (width, height)
    return Image.fromarray(np.asarray(cv2.warpAffine(np.asarray(image), place, image.size), np.uint8))


def either_way(rng: np.random.Generator, least: float, most: float) -> float:
    return float(rng.choice([-1, 1]) * rng.uniform(least, most))


AUGMENTATIONS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "darker": lambda i, _: i.point(lambda value: value * 0.6),
    "mirrored": lambda i, _: ImageOps.mirror(i),
    "upside down": lambda i, _: ImageOps.flip(i),
    "quarter turn": lambda i, _: i.transpose(Image.Transpose.ROTATE_90),
    "turned by 5 to 20 degrees": lambda i, rng: changed(i, either_way(rng, 5, 20)),
    "zoomed by 0.83 to 1.2": lambda i, rng: changed(i, zoom=rng.uniform(0.83, 1.2)),
    "shifted by up to 10 %, both ways": lambda i, rng: changed(
        i, shift=(either_way(rng, 0, 0.1), either_way(rng, 0, 0.1))
    ),
    "turned and zoomed": lambda i, rng: changed(i, either_way(rng, 5, 20), rng.uniform(0.83, 1.2)),
    "turned, zoomed and shifted": lambda i, rng: changed(
        i,
        either_way(rng, 5, 20),
        rng.uniform(0.83, 1.2),
        (either_way(rng, 0, 0.1), either_way(rng, 0, 0.1)),
    ),
}


def augmented(folder: Path) -> None:
    """Print how many changed copies, put into train, are found, and how many pairs of others."""
    rows = manifest.read((folder / "manifest.csv").read_text(encoding="utf-8"))
    order = numpy_stream(0, "benchmark", "held out").permutation(len(rows))
    held_out = [rows[i] for i in order if rows[i].split != "train"][:200]
    originals = [decode((folder / r.image).read_bytes(), r.image).image for r in held_out]
    print(f"| {folder}: {len(held_out)} copies in train | found | pairs of different images |\n|---|--:|--:|")
    for kind, change in AUGMENTATIONS.items():
        rng = numpy_stream(0, "benchmark", kind)
        copies = [change(image, rng) for image in originals]
        copied = [
            replace(r, image=f"{r.image}-copy", split="train", pixels=f"{r.pixels}-copy") for r in held_out
        ]
        images = dict(zip([r.image for r in held_out + copied], originals + copies, strict=True))
        pairs = leakage.near_copies(
            held_out + copied,
            [perceptual_hash(image) for image in images.values()],
            lambda r, images=images: leakage.grey(images[r.image]),  # type: ignore[misc]
        )
        across = [p for p in pairs if "train" in (p.kept.split, p.other.split)]
        right = sum(p.kept.source_id == p.other.source_id for p in across)
        print(f"| {kind} | {right / len(held_out):.0%} | {len(pairs) - right} |", flush=True)


def main() -> None:
    if len(sys.argv) > 2 or any(a.startswith("-") for a in sys.argv[1:]):
        sys.exit(__doc__)
    folder = Path(sys.argv[1]) if sys.argv[1:] else None
    hash_speed(folder)
    if folder:
        augmented(folder)
    seconds = [measure(number) for number in SIZES]
    print(
        f"from {SIZES[0]:,} to {SIZES[-1]:,} images, {SIZES[-1] / SIZES[0]:.0f} times as many: "
        f"{seconds[-1] / seconds[0]:.0f} times as long"
    )


if __name__ == "__main__":
    main()
