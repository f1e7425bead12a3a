"""Draws images side by side, so that a person sees at a glance the data and the images taken for copies."""

from collections.abc import Callable, Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageFont, ImageOps

from emotions.data.images import encoded
from emotions.data.manifest import Row
from emotions.sources.leakage import Pair
from emotions.taxonomy import BASIC, COMPOUND, display

COLUMNS: Final = 10
SIDE: Final = 72
LABEL: Final = 170
"""Pixels of the column with the class names."""
PAIR_COLUMNS: Final = 8
MOST_PAIRS: Final = 800


def draw(rows: Sequence[Row], read: Callable[[Row], Image.Image]) -> bytes:
    """One line per class, compound then basic, with up to ten images each, as JPEG.

    The images' pixel hashes decide the choice: as good as random, and the same in any order of the rows.
    """
    classes = [label for label in (*COMPOUND, *BASIC) if any(row.label == label for row in rows)]
    sheet = Image.new("RGB", (LABEL + COLUMNS * (SIDE + 2), len(classes) * (SIDE + 2)), "white")
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for line, label in enumerate(classes):
        top = line * (SIDE + 2)
        canvas.text((6, top + SIDE // 2), display(label), "black", font, anchor="lm")
        chosen = sorted((row for row in rows if row.label == label), key=lambda row: (row.pixels, row.image))
        for column, row in enumerate(chosen[:COLUMNS]):
            sheet.paste(ImageOps.fit(read(row), (SIDE, SIDE)), (LABEL + column * (SIDE + 2), top))
    return encoded(sheet, "JPEG", quality=85)


def draw_pairs(pairs: Sequence[Pair], read: Callable[[Row], Image.Image]) -> bytes:
    """Pairs of images with their splits and correlation, the most doubtful first, as JPEG; 800 at most."""
    chosen = sorted(pairs, key=lambda pair: pair.correlation)[:MOST_PAIRS]
    width, height = 2 * SIDE + 8, SIDE + 16
    sheet = Image.new("RGB", (PAIR_COLUMNS * width, -(-len(chosen) // PAIR_COLUMNS) * height), "white")
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, pair in enumerate(chosen):
        left, top = number % PAIR_COLUMNS * width, number // PAIR_COLUMNS * height
        mirrored = ", mirrored" if pair.mirrored else ""
        title = f"{pair.kept.split}, {pair.other.split}: {pair.correlation:.3f}{mirrored}"
        canvas.text((left, top), title, "black", font)
        for place, row in enumerate((pair.kept, pair.other)):
            sheet.paste(ImageOps.fit(read(row), (SIDE, SIDE)), (left + place * (SIDE + 1), top + 14))
    return encoded(sheet, "JPEG", quality=85)
