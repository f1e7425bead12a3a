"""Stops a computation unless the libraries that decide numbers have the versions in versions.txt."""

import importlib.metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

FILE: Final = Path("versions.txt")


class VersionsError(RuntimeError):
    """Installed versions differ from those of the study; the message names them and the remedy."""


def check(file: Path = FILE) -> None:
    """Compare installed versions with `file`, a part of requirements.txt, without suffixes such as `+cu132`.

    Raises:
        VersionsError: a library has another version or is not installed, or `file` is missing.
    """
    if not file.exists():
        raise VersionsError(f"{file}, which lists the versions that decide numbers, is missing: `make lock`")
    others = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        try:
            installed = importlib.metadata.version(wanted.name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            installed = "not installed"
        if installed == "not installed" or not wanted.specifier.contains(installed, prereleases=True):
            others.append(f"{wanted.name} {wanted.specifier} (here: {installed})")
    if others:
        raise VersionsError(
            f"{file} wants {', '.join(others)}: install requirements.txt, or write the versions that you "
            f"have into {file}; every stage that computes then runs again"
        )
