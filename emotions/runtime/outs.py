"""Writes a stage's outs whole or not at all, with bytes that depend on their content alone."""

import contextlib
import errno
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class OutsError(Exception):
    """An out cannot be written; the message names it."""


@contextlib.contextmanager
def _room_for(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OutsError(
            f"no space left for {path}: free some and run this again; nothing half-written is left"
        ) from error


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends without an error, else removed."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with _room_for(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Like `new_file` for a folder: the one at `path` is replaced only when the block ends without an error.

    Both are renamed, so a process killed at any moment leaves at `path` the old folder, the new one or none.
    """
    temporary, old = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.old.part")
    for left_over in (temporary, old):
        shutil.rmtree(left_over, ignore_errors=True)
    try:
        with _room_for(path):
            temporary.mkdir(parents=True)
            yield temporary
            if path.exists():
                path.replace(old)
            temporary.replace(path)
    finally:
        if old.exists() and not path.exists():
            old.replace(path)
        for left_over in (temporary, old):
            shutil.rmtree(left_over, ignore_errors=True)


def add_to_folder(folder: Path, name: str, content: bytes) -> None:
    """Write a file into a folder that `new_folder` is making."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`."""
    with new_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 with LF line ends."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and diffs: indented, floats to six decimals; NaN raises ValueError."""
    write_text(path, json.dumps(_rounded(content), indent=2, allow_nan=False) + "\n")


def write_torch(path: Path, content: Any) -> None:
    """`torch.save` through a buffer: saving to a path would embed the file's name in the bytes."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getvalue())


class _Watched(io.BufferedWriter):
    """A file that keeps the error of a failed write: torch.save hides it behind a RuntimeError."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            raise


def stream_torch(path: Path, content: Any) -> None:
    """`torch.save` straight into the file, for what is too large to stand in memory twice.

    Raises:
        OutsError: no space left; what lay at `path` before is still there.
    """
    with new_file(path) as temporary, io.FileIO(temporary, "w") as raw, _Watched(raw) as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            raise file.failure or error from error


def add_to_zip(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add a member without time stamp or compression (images are compressed already)."""
    info = zipfile.ZipInfo(name, ZIP_TIME)
    info.external_attr = 0o644 << 16
    archive.writestr(info, content, zipfile.ZIP_STORED)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
