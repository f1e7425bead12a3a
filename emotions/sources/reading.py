"""What the file-based sources share: one open archive, lazy samples, label files found by name."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from emotions.sources.archive import Archive, ArchiveError
from emotions.sources.knobs import ArchiveLimits
from emotions.sources.sample import Sample, SourceError


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
        raise SourceError(f"{folder}: a CSV file there is damaged ({error}); fetch it again") from error


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
            raise SourceError(
                f"{archive.folder}: a CSV file there is damaged ({error}); fetch it again"
            ) from error


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


def first_ten(names: Sequence[str]) -> str:
    """The first ten names and how many there are: `a, b (2 in all)`."""
    dots = ", ..." if len(names) > 10 else ""
    return f"{', '.join(names[:10])}{dots} ({len(names):,} in all)"
