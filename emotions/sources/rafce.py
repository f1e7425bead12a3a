"""RAF-CE as its authors ship it: label files beside aligned (or original) faces; compound classes only."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from emotions.data.manifest import shares_text
from emotions.sources.archive import Archive
from emotions.sources.knobs import ArchiveLimits, RafceParams
from emotions.sources.reading import (
    Value,
    first_ten,
    label_rows,
    lazily,
    only_file,
    open_archive,
    required_file,
    with_image,
)
from emotions.sources.sample import Sample, SourceError
from emotions.taxonomy import COMPOUND, ClassSet, parse_units

log = logging.getLogger(__name__)

EMOTIONS: Final = "RAFCE_emolabel.txt"
PARTITION: Final = "RAFCE_partition.txt"
UNITS: Final = "RAFCE_AUlabel.txt"
SHARES: Final = "distribution.txt"

SPLIT_OF_PARTITION: Final = {"0": "train", "1": "test", "2": "val"}
"""RAF-CE's partition numbers; 1 is the test split."""

_ROW = re.compile(r"(\d{4,})\.jpg[ \t]+(\S.*)")
_ALIGNED = re.compile(r"(\d{4,})_aligned\.jpg", re.IGNORECASE)
_ORIGINAL = re.compile(r"(\d{4,})\.jpg", re.IGNORECASE)


def read(
    folder: Path, classes: ClassSet, params: RafceParams, limits: ArchiveLimits | None = None
) -> tuple[int, Iterator[Sample]]:
    """Number of RAF-CE's faces, and the samples in the order of their ids, read one at a time.

    All 14 classes are yielded whatever `classes` says. Aligned faces are used if there are any, else
    original ones; a listed face without an image is a sample with a fault.

    Raises:
        SourceError: a label file is missing, has a row that does not parse or contradicts another, or lists
            an image that another lacks; or there are no images.
    """
    with open_archive(folder, limits) as archive:
        kind, members = _images(archive)
        listed = _listed(archive)
        _warn_unlisted(archive, kind, members, listed=listed)

    def filled(sample: Sample) -> Sample:
        member = members.get(sample.source_id)
        if member is None:
            place = (
                f"{kind}/{sample.source_id}.jpg"
                if kind == "original"
                else f"{kind}/{sample.source_id}_aligned.jpg"
            )
            return replace(sample, place=archive.where(place), fault="missing")
        return with_image(sample, archive, member)

    return len(listed), lazily(archive, map(filled, listed))


def recognises(archive: Archive) -> bool:
    """Whether one of the two label files lies there that RAF-CE needs."""
    return any(map(archive.named, (EMOTIONS, PARTITION)))


def parse_emotion(token: str) -> str:
    """Class of an id in `RAFCE_emolabel.txt`: `5` -> `Sadly_Disgusted`.

    Raises:
        ValueError: not an id from 0 to 13.
    """
    if not re.fullmatch(r"\d{1,2}", token, re.ASCII) or int(token) >= len(COMPOUND):
        raise ValueError(f"emotion {token!r} is not an id from 0 to {len(COMPOUND) - 1}")
    return COMPOUND[int(token)]


def parse_split(token: str) -> str:
    """Split of a number in `RAFCE_partition.txt`: 0 train, 1 test, 2 val.

    Raises:
        ValueError: any other number.
    """
    if token not in SPLIT_OF_PARTITION:
        raise ValueError(f"partition {token!r} is not one of 0 (train), 1 (test), 2 (validation)")
    return SPLIT_OF_PARTITION[token]


def parse_shares(token: str) -> str:
    """Soft label in the manifest's form: six numbers, scaled to a sum of 1.

    Raises:
        ValueError: not six numbers from 0 up, or all of them 0.
    """
    return shares_text(float(number) for number in token.split())


def parse_rows(lines: Iterable[str], name: str, parse: Callable[[str], Value]) -> dict[str, Value]:
    """A label file of lines `0001.jpg <token>` as `{"0001": value}`; a row may repeat with the same value.

    Raises:
        SourceError: a line does not parse, or gives an image a second value; it names `name` and the line.
    """
    return label_rows(lines, name, parse, row=_ROW, example="0001.jpg")


def _listed(archive: Archive) -> list[Sample]:
    """Every image's labels, without its content, in the order of the ids."""
    emotions = _label_file(archive, required_file(archive, EMOTIONS), parse_emotion)
    splits = _label_file(archive, required_file(archive, PARTITION), parse_split)
    _same_images(archive, EMOTIONS, emotions, other=PARTITION, others=splits)
    optional: list[dict[str, str]] = []
    for name, parse in ((UNITS, parse_units), (SHARES, parse_shares)):
        file = only_file(archive, name)
        optional.append({} if file is None else _label_file(archive, file, parse))
        if file is not None:
            _same_images(archive, EMOTIONS, emotions, other=name, others=optional[-1])
    units, shares = optional
    return [
        Sample(
            i,
            emotions[i],
            "compound",
            splits[i],
            b"",
            action_units=units.get(i, ""),
            shares=shares.get(i, ""),
        )
        for i in sorted(emotions)
    ]


def _label_file(archive: Archive, name: str, parse: Callable[[str], Value]) -> dict[str, Value]:
    return parse_rows(archive.lines(name), archive.where(name), parse)


def _same_images(
    archive: Archive, one: str, rows: Mapping[str, object], *, other: str, others: Mapping[str, object]
) -> None:
    """Raises SourceError where one label file lists an image that the other lacks."""
    for has, lacks, images in ((one, other, rows.keys() - others), (other, one, others.keys() - rows)):
        if images:
            file = required_file(archive, has)
            lines = enumerate(archive.lines(file), start=1)
            number, text = next((n, line) for n, line in lines if line.strip().split(".jpg")[0] in images)
            names = first_ten([f"{i}.jpg" for i in sorted(images)])
            raise SourceError(
                f"{archive.where(file)}, line {number}: {text!r}: {lacks} lacks this image; {has} lists "
                f"images that {lacks} lacks: {names}; take both from one copy of RAF-CE"
            )


def _images(archive: Archive) -> tuple[str, dict[str, str]]:
    """Kind of the images, `aligned` or `original`, and their members by id.

    Raises:
        SourceError: there are none, or one lies there twice.
    """
    kind, found = "aligned", _by_id(archive, _ALIGNED, archive.names)
    if not found:
        kind, found = "original", _by_id(archive, _ORIGINAL, filter(_in_original, archive.names))
    if not found:
        raise SourceError(
            f"{archive.folder}: no images; put aligned/0001_aligned.jpg ... (or aligned.zip), "
            "or else original/0001.jpg ..., beside the label files"
        )
    return kind, found


def _warn_unlisted(
    archive: Archive, kind: str, members: Mapping[str, str], *, listed: Sequence[Sample]
) -> None:
    unlisted = members.keys() - {sample.source_id for sample in listed}
    if unlisted:
        log.warning("%s: %d %s images have no label and are left out", archive.folder, len(unlisted), kind)


def _in_original(name: str) -> bool:
    return bool({"original", "original.zip"} & set(PurePosixPath(name.casefold()).parts[:-1]))


def _by_id(archive: Archive, pattern: re.Pattern[str], names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        match = pattern.fullmatch(PurePosixPath(name).name)
        if match and found.setdefault(match[1], name) != name:
            raise SourceError(f"{archive.folder}: {found[match[1]]} and {name} are one image; keep one copy")
    return found
