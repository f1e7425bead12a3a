"""From image bytes to square RGB, and from the dataset zip to uint8 tensors."""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field

from rafce import manifest
from rafce.console import progress
from rafce.params import Group

MANIFEST = "manifest.csv"


class ImageError(ValueError):
    """An image that cannot be decoded; the message names it."""


_UNREADABLE = (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError)
"""What Pillow raises on files that are no image, damaged or too large."""


class PreprocessParams(Group):
    """`image_size`: side of the square images in the dataset zip, pixels."""

    image_size: int = Field(ge=32, le=1024)


@dataclass(frozen=True)
class Split:
    """Images of one split in memory. `images`: uint8 [N, 3, H, W]; `labels`: int64 [N], index into
    `classes`."""

    rows: list[manifest.Row]
    classes: tuple[str, ...]
    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.rows)


def decode(content: bytes, name: str) -> Image.Image:
    """An upright RGB image.

    Raises:
        ImageError: not an image, truncated, or larger than Pillow's decompression-bomb limit.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except _UNREADABLE as error:
        raise ImageError(
            f"{name}: cannot be read as an image ({error}); replace or remove the file"
        ) from error


def pixel_hash(image: Image.Image) -> str:
    """Hash of the decoded image: equal for the same pixels in another container."""
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()


def to_square(content: bytes, name: str, size: int) -> bytes:
    """Image bytes at `size` x `size` RGB: centre crop to a square, then bicubic resize.

    JPEG stays JPEG (quality 95, no chroma subsampling), all else becomes PNG. An upright RGB image that has
    the size already is returned as it is, so that a finished dataset passes through unchanged.
    """
    upright = decode(content, name)
    with Image.open(io.BytesIO(content)) as original:
        kind, as_is = original.format, original.mode == "RGB" and original.getexif().get(0x0112, 1) == 1
    if kind in ("JPEG", "PNG") and as_is and upright.size == (size, size):
        return content
    square = ImageOps.fit(upright, (size, size), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    if kind == "JPEG":
        square.save(out, "JPEG", quality=95, subsampling=0)
    else:
        square.save(out, "PNG", compress_level=1)
    return out.getvalue()


def resize_regions(content: bytes, name: str, size: int) -> bytes:
    """A region map (PNG, mode L) at `size` x `size`, cropped like its image, nearest neighbour: no new
    values."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            square = ImageOps.fit(image, (size, size), Image.Resampling.NEAREST)
    except _UNREADABLE as error:
        raise ImageError(f"{name}: cannot be read as a region map ({error})") from error
    if square.mode != "L":
        raise ImageError(f"{name}: a region map is a grey PNG (mode L), this one has mode {square.mode}")
    out = io.BytesIO()
    square.save(out, "PNG")
    return out.getvalue()


def read_manifest(dataset: Path) -> list[manifest.Row]:
    """The manifest inside a dataset zip."""
    with zipfile.ZipFile(dataset) as archive:
        return manifest.read(archive.read(MANIFEST).decode(), f"{dataset}:{MANIFEST}")


def load_split(
    dataset: Path, classes: Sequence[str], role: str, split: str, image_size: int, threads: int
) -> Split:
    """Decode one split of the dataset zip at `image_size`.

    Rows whose label is not among `classes` are left out: the class set is a choice of the study, not of the
    data.

    Raises:
        ImageError: the split holds no image of these classes, or one cannot be decoded.
    """
    rows = [r for r in read_manifest(dataset) if r.role == role and r.split == split and r.label in classes]
    if not rows:
        raise ImageError(f"{dataset}: no {role} image in split {split}; check data.source and data.classes")
    images = torch.empty(len(rows), 3, image_size, image_size, dtype=torch.uint8)
    with zipfile.ZipFile(dataset) as archive, ThreadPoolExecutor(threads) as pool:

        def fill(index: int) -> None:
            name = rows[index].image
            image = decode(archive.read(name), f"{dataset}:{name}")
            if image.size != (image_size, image_size):
                image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BICUBIC)
            images[index] = torch.from_numpy(np.array(image)).permute(2, 0, 1)

        for _ in progress(f"decode {role} {split}", len(rows), pool.map(fill, range(len(rows)))):
            pass
    index = {label: i for i, label in enumerate(classes)}
    return Split(rows, tuple(classes), images, torch.tensor([index[r.label] for r in rows]))


def load_regions(dataset: Path, rows: Sequence[manifest.Row], size: int) -> np.ndarray:
    """Region maps of `rows`, uint8 [N, size, size], values index `rafce.regions.REGIONS`."""
    maps = np.empty((len(rows), size, size), np.uint8)
    with zipfile.ZipFile(dataset) as archive:
        for index, row in enumerate(rows):
            content = resize_regions(archive.read(row.regions), row.regions, size)
            maps[index] = np.array(Image.open(io.BytesIO(content)))
    return maps
