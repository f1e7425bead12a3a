"""Builds a folder in RAF-CE's official format, quirks included, with any faces; none of theirs."""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from emotions.random_streams import numpy_stream
from emotions.taxonomy import BASIC, COMPOUND, RAFCE_COUNTS, components

Layout = Literal["folders", "nested", "aligned_zip", "zip", "original"]
"""`folders`: EmoLabel/ and aligned/. `nested`: label files on top, aligned/aligned/. `aligned_zip`: label
files on top, aligned.zip. `zip`: RAF-CE.zip of EmoLabel/ and aligned.zip. `original`: EmoLabel/, original/"""

Face = Callable[[int, str], Image.Image]
"""Draws face `index` (0, 1, ...) of class `label`; any size, 100 x 100 in RAF-CE's aligned set."""

UNITS = ("1+4+25", "L12+24", "null", "RB18", "t23")
"""Action units as the authors' file writes them, in turn."""
PARTITION = {"train": 0, "test": 1, "val": 2}


@dataclass(frozen=True)
class Listed:
    """One image of the look-alike: `number` is its id, as in `0001.jpg`."""

    number: int
    label: str
    split: str
    units: str

    @property
    def source_id(self) -> str:
        return f"{self.number:04d}"


def noise(index: int, label: str) -> Image.Image:
    """A unique 16 x 16 noise image: small, for tests that do not look at it."""
    return Image.fromarray(numpy_stream(0, "noise", index).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def build(
    folder: Path,
    counts: Mapping[str, tuple[int, int, int]] = RAFCE_COUNTS,
    layout: Layout = "folders",
    face: Face = noise,
    newline: str = "\n",
    bom: bool = False,
    first: int = 1,
) -> list[Listed]:
    """Write the look-alike under `folder` and list its images by id, from `first` on.

    `counts`: (train, val, test) a class.
    """
    listed = _listed(counts, first)
    files = {name: _encoded(text, newline, bom) for name, text in label_files(listed).items()}
    labels_in = "" if layout in ("nested", "aligned_zip") else "EmoLabel/"
    files = {labels_in + name: content for name, content in files.items()}
    images = {_image_name(one, layout): _jpeg(face(one.number - first, one.label)) for one in listed}
    if layout in ("aligned_zip", "zip"):
        images = {"aligned.zip": zipped(images)}
    files |= images
    if layout == "zip":
        files = {"RAF-CE.zip": zipped(files)}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return listed


def label_files(listed: Sequence[Listed]) -> dict[str, str]:
    """The four label files by name, LF, without a newline after the last row."""
    tables = {
        "RAFCE_emolabel.txt": [str(COMPOUND.index(one.label)) for one in listed],
        "RAFCE_partition.txt": [str(PARTITION[one.split]) for one in listed],
        "RAFCE_AUlabel.txt": [one.units for one in listed],
        "distribution.txt": [_shares(one.label) for one in listed],
    }
    ids = [one.source_id for one in listed]
    return {
        name: "\n".join(f"{i}.jpg {token}" for i, token in zip(ids, column, strict=True))
        for name, column in tables.items()
    }


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip of these files, as bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in files.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def _listed(counts: Mapping[str, tuple[int, int, int]], first: int) -> list[Listed]:
    """Images in an order that follows neither class nor split, as in RAF-CE."""
    wanted = [
        (label, split)
        for label, numbers in counts.items()
        for split, number in zip(("train", "val", "test"), numbers, strict=True)
        for _ in range(number)
    ]
    order = numpy_stream(0, "lookalike").permutation(len(wanted))
    return [Listed(n, *wanted[i], UNITS[n % len(UNITS)]) for n, i in enumerate(order, start=first)]


def _shares(label: str) -> str:
    """Soft label over surprise, fear, disgust, happiness, sadness, anger."""
    first, second = components(label)
    shares = {first: 0.6, second: 0.4}
    return " ".join(f"{shares.get(emotion, 0.0):.1f}" for emotion in BASIC[:6])


def _image_name(one: Listed, layout: Layout) -> str:
    if layout == "original":
        return f"original/{one.source_id}.jpg"
    folder = "aligned/aligned" if layout == "nested" else "aligned"
    return f"{folder}/{one.source_id}_aligned.jpg"


def _encoded(text: str, newline: str, bom: bool) -> bytes:
    return text.replace("\n", newline).encode("utf-8-sig" if bom else "utf-8")


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=90)
    return out.getvalue()
