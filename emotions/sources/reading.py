"""What the file-based sources share: one open archive, lazy samples, label files found by name."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from emotions.sources.archive import Archive, ArchiveError
from emotions.sources.knobs import ArchiveLimits
from emotions.sources.sample import Sample, SourceError

Value = TypeVar("Value")


@contextmanager
def open_archive(folder: Path, limits: ArchiveLimits | None) -> Iterator[Archive]:
    """Open a source's folder to parse its label files; it stays open for `lazily` unless parsing fails.

    Raises:
        SourceError: for every `ArchiveError`, and for CSV that does not parse.
    """
    try:
        archive = Archive(folder, limits)
        try:
            yield archive
        except BaseException:
            archive.close()
            raise
    except ArchiveError as error:
        raise SourceError(str(error)) from error
    except csv.Error as error:
        raise _not_csv(archive, error) from error


def lazily(archive: Archive, samples: Iterable[Sample]) -> Iterator[Sample]:
    """Yield the samples, read from the archive one at a time; close it after the last.

    Raises:
        SourceError: as `open_archive`.
    """
    with archive:
        try:
            yield from samples
        except ArchiveError as error:
            raise SourceError(str(error)) from error
        except csv.Error as error:
            raise _not_csv(archive, error) from error


def _not_csv(archive: Archive, error: csv.Error) -> SourceError:
    return SourceError(f"{archive.at}: not a CSV row ({error}); save the table as CSV with LF line ends")


def with_image(sample: Sample, archive: Archive, member: str) -> Sample:
    """The sample with its image; missing if there is no such member, damaged if it cannot be read."""
    if member not in archive:
        return replace(sample, place=archive.where(member), fault="missing")
    try:
        return replace(sample, content=archive.read(member), place=archive.where(member))
    except ArchiveError as error:
        return replace(sample, place=str(error), fault="damaged")


def only_file(archive: Archive, basename: str) -> str | None:
    """The member with this file name, or None where there is none.

    Raises:
        SourceError: there are several.
    """
    found = archive.named(basename)
    if len(found) > 1:
        places = ", ".join(found)
        raise SourceError(f"{archive.folder}: {basename} found {len(found)} times ({places}); keep one")
    return found[0] if found else None


def required_file(archive: Archive, basename: str) -> str:
    """The one member with this file name.

    Raises:
        SourceError: there is none, or several.
    """
    found = only_file(archive, basename)
    if found is None:
        raise SourceError(f"{archive.folder}: {basename} is missing; put it there, as a file or in a zip")
    return found


def label_rows(
    lines: Iterable[str], name: str, parse: Callable[[str], Value], *, row: re.Pattern[str], example: str
) -> dict[str, Value]:
    """A label file of lines `<image> <token>` as `{image: value}`; a row may repeat with the same value.

    Args:
        row: matches a line; its two groups are the image and the token. example: an image, for messages.

    Raises:
        SourceError: a line does not parse, or gives an image a second value; it names `name` and the line.
    """
    rows: dict[str, Value] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{name}, line {number}: {line!r}"
        match = row.fullmatch(line.strip())
        if match is None:
            raise SourceError(
                f"{where}: expected '{example} <value>'; restore the line from the authors' file"
            )
        try:
            value = parse(match[2])
        except ValueError as error:
            raise SourceError(f"{where}: {error}; restore the line from the authors' file") from error
        if rows.setdefault(match[1], value) != value:
            raise SourceError(
                f"{where}: an earlier line gives this image {rows[match[1]]!r}; keep one of the two"
            )
    if not rows:
        raise SourceError(f"{name}: has no rows; fetch it again")
    return rows


def first_ten(names: Sequence[str]) -> str:
    """The first ten names and how many there are: `a, b (2 in all)`."""
    dots = ", ..." if len(names) > 10 else ""
    return f"{', '.join(names[:10])}{dots} ({len(names):,} in all)"
