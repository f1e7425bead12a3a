"""Decodes the dataset zip once to uint8 tensors, in memory or in a mapped file that the runs share."""

import hashlib
import io
import mmap
import os
import warnings
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import PIL
import torch
from filelock import FileLock
from PIL import Image, ImageOps

from emotions.data import images, manifest
from emotions.data.images import ImageError
from emotions.data.knobs import LoadParams
from emotions.random_streams import stream_seed
from emotions.runtime import outs
from emotions.runtime.console import log, progress


@dataclass(frozen=True)
class Split:
    """Images of one split. `images`: uint8 [N, 3, H, W]; `labels`: int64 [N], index into `classes`.

    `data`: fingerprint of the whole dataset. `identity`: hash of what decides the images' bytes.
    `mapping`: the map, if `images` are a mapped file.
    """

    rows: list[manifest.Row]
    classes: tuple[str, ...]
    images: torch.Tensor
    labels: torch.Tensor
    data: str
    identity: str = ""
    mapping: mmap.mmap | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, rows: np.ndarray) -> "Split":
        """Some of the images, int [n], in memory."""
        order = torch.from_numpy(rows)
        return replace(
            self,
            rows=[self.rows[i] for i in rows],
            images=self.take(order),
            labels=self.labels[order],
            mapping=None,
        )

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """Images by their numbers: int64 [n] -> uint8 [n, 3, H, W], a copy.

        Pages read from a mapped file stay in the system's cache and leave this process.
        """
        taken = self.images[rows]
        if self.mapping is not None:
            self.mapping.madvise(mmap.MADV_DONTNEED)
        return taken


def read_manifest(dataset: Path) -> list[manifest.Row]:
    """The manifest inside a dataset zip."""
    with zipfile.ZipFile(dataset) as archive:
        return manifest.read(archive.read(manifest.FILE_NAME).decode(), f"{dataset}:{manifest.FILE_NAME}")


def stratified(rows: Sequence[manifest.Row], fraction: float, seed: int) -> list[manifest.Row]:
    """`fraction` of the rows of each class, rounded, at least one, in their order.

    With the same seed, a smaller fraction is a subset of a larger one. New images do not change the order of
    the others: each image has a rank of its own.
    """
    by_class: dict[str, list[manifest.Row]] = {}
    for row in rows:
        by_class.setdefault(row.label, []).append(row)
    chosen: set[str] = set()
    for members in by_class.values():
        members.sort(key=lambda row: stream_seed(seed, "fraction", row.image))
        chosen.update(row.image for row in members[: max(1, round(fraction * len(members)))])
    return [row for row in rows if row.image in chosen]


def load_split(
    dataset: Path,
    classes: Sequence[str],
    role: str,
    *,
    split: str,
    params: LoadParams,
    decoded: Path,
    fraction: float = 1.0,
    seed: int = 0,
) -> Split:
    """One split of the dataset zip at `params.image_size`.

    Rows whose label is not among `classes` are left out: the class set is a choice of the study, not of the
    data. `decoded`: folder of the mapped files; another dataset, class set, size or decoder gets a new file.
    `fraction`, `seed`: the part of the split that `stratified` chooses.

    Raises:
        ImageError: the split holds no image of these classes, or one cannot be decoded.
        OutsError: no space left for the mapped file.
    """
    everything = read_manifest(dataset)
    of_role = [r for r in everything if r.role == role and r.label in classes]
    rows = stratified([r for r in of_role if r.split == split], fraction, seed)
    if not rows:
        raise ImageError(f"{dataset}: no {role} image in split {split}; check data.source and data.classes")
    size = params.image_size
    shape = (len(rows), 3, size, size)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    identity, mapping = _identity(dataset, rows, size), None
    if len(of_role) * 3 * size * size * processes <= params.store_gb * 1e9:
        pixels = np.empty(shape, np.uint8)

        def keep(index: int, image: np.ndarray) -> None:
            pixels[index] = image

        _decode(dataset, rows, size, threads=params.threads, title=f"decode {role} {split}", keep=keep)
    else:
        path = decoded / f"{role}-{split}-{size}-{identity}.uint8"
        mapping = _mapped(path, dataset, rows, size=size, threads=params.threads)
        pixels = np.frombuffer(mapping, np.uint8).reshape(shape)
    index = {label: i for i, label in enumerate(classes)}
    labels = torch.tensor([index[r.label] for r in rows])
    with warnings.catch_warnings():  # a private map: nothing could write through it to the file
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensor = torch.from_numpy(pixels)
    return Split(rows, tuple(classes), tensor, labels, manifest.fingerprint(everything), identity, mapping)


def _decode(
    dataset: Path,
    rows: Sequence[manifest.Row],
    size: int,
    *,
    threads: int,
    title: str,
    keep: Callable[[int, np.ndarray], None],
) -> None:
    """Decode `rows` and hand each to `keep` with its number: uint8 [3, size, size]."""
    with zipfile.ZipFile(dataset) as archive, ThreadPoolExecutor(threads) as pool:

        def fill(index: int) -> None:
            name = rows[index].image
            image = images.decode(archive.read(name), f"{dataset}:{name}").image
            if image.size != (size, size):
                image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
            keep(index, np.asarray(image).transpose(2, 0, 1))

        for _ in progress(title, len(rows), pool.map(fill, range(len(rows)))):
            pass


def _mapped(path: Path, dataset: Path, rows: Sequence[manifest.Row], *, size: int, threads: int) -> mmap.mmap:
    """The decoded images as a private map of the file at `path`, which is made where it is missing."""
    bytes_each = 3 * size * size
    path.parent.mkdir(parents=True, exist_ok=True)
    of_one_kind = path.name.rpartition("-")[0]  # role, split and size: the file of another size stays
    with FileLock(path.parent / f".{of_one_kind}.lock"):  # only one of several processes decodes
        if not path.exists() or path.stat().st_size != len(rows) * bytes_each:
            for other in path.parent.glob(f"{of_one_kind}-*.uint8"):
                other.unlink()
            log.info(f"decoding {len(rows)} images into {path}, {len(rows) * bytes_each / 1e9:.1f} GB")
            with outs.new_file(path) as temporary, temporary.open("wb") as file:

                def keep(index: int, image: np.ndarray) -> None:
                    os.pwrite(file.fileno(), image.tobytes(), index * bytes_each)

                _decode(dataset, rows, size, threads=threads, title=f"decode {of_one_kind}", keep=keep)
        with path.open("rb") as whole:
            mapping = mmap.mmap(whole.fileno(), 0, access=mmap.ACCESS_COPY)
    mapping.madvise(mmap.MADV_RANDOM)
    return mapping


def _identity(dataset: Path, rows: Sequence[manifest.Row], size: int) -> str:
    """Hash of what decides the decoded bytes: the members of the zip, their order, the size, the decoder."""
    digest = hashlib.sha256(f"{size} {PIL.__version__}\n".encode())
    for code in (__file__, images.__file__):
        digest.update(Path(code).read_bytes())
    with zipfile.ZipFile(dataset) as archive:
        for row in rows:
            member = archive.getinfo(row.image)
            digest.update(f"{row.image} {member.file_size} {member.CRC}\n".encode())
    return digest.hexdigest()[:16]


def load_regions(dataset: Path, rows: Sequence[manifest.Row], size: int) -> np.ndarray:
    """Region maps of `rows`, uint8 [N, size, size], values index `emotions.data.regions.REGIONS`."""
    maps = np.empty((len(rows), size, size), np.uint8)
    with zipfile.ZipFile(dataset) as archive:
        for index, row in enumerate(rows):
            content = images.resize_regions(archive.read(row.regions), row.regions, size)
            maps[index] = np.array(Image.open(io.BytesIO(content)))
    return maps
