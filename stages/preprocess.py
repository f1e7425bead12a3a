"""Bring every image to one square RGB size and pack them, with the manifest, into one zip.

Usage: python -m stages.preprocess
"""

import functools
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from emotions.command import command
from emotions.data import images, manifest
from emotions.data.knobs import PreprocessParams
from emotions.data.manifest import Row
from emotions.runtime import console, outs
from emotions.runtime.parallel import cores, in_order

PARAMS = {"preprocess": PreprocessParams}
EXTRACTED = Path("data/extracted")
OUT = Path("data/dataset_resnet_224.zip")


def squared(row: Row, size: int) -> tuple[Row, dict[str, bytes]]:
    """A row as the zip lists it, and its files, resized."""
    content = images.to_square((EXTRACTED / row.image).read_bytes(), row.image, size)
    suffix = ".jpg" if content.startswith(b"\xff\xd8") else ".png"
    row = replace(row, image=str(PurePosixPath(row.image).with_suffix(suffix)))
    files = {row.image: content}
    if row.regions:
        files[row.regions] = images.resize_regions((EXTRACTED / row.regions).read_bytes(), row.regions, size)
    return row, files


def main(values: dict[str, Any]) -> None:
    size = values["preprocess"].image_size
    rows = manifest.read((EXTRACTED / manifest.FILE_NAME).read_text(encoding="utf-8"))

    with (
        outs.new_file(OUT) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
        ThreadPoolExecutor(cores()) as pool,
    ):
        listed = []
        work = in_order(pool, functools.partial(squared, size=size), rows, ahead=8 * cores())
        for row, files in console.progress(f"preprocess to {size} px", len(rows), work):
            for name, content in files.items():
                outs.add_to_zip(archive, name, content)
            listed.append(row)
        outs.add_to_zip(archive, manifest.FILE_NAME, manifest.write(listed).encode())


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
