"""RAF-CE as its authors ship it: label files beside aligned (or original) faces; compound classes only."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict

from rafce.archive import Archive
from rafce.sources.base import Sample, SourceError
from rafce.sources.files import first_ten, lazily, only_file, open_archive, required_file
from rafce.taxonomy import COMPOUND, ClassSet

log = logging.getLogger(__name__)

EMOTIONS: Final = "RAFCE_emolabel.txt"
PARTITION: Final = "RAFCE_partition.txt"
UNITS: Final = "RAFCE_AUlabel.txt"

SPLIT_OF_PARTITION: Final = {"0": "train", "1": "test", "2": "val"}
"""RAF-CE's partition numbers; 1 is the test split."""

_ROW = re.compile(r"(\d{4,})\.jpg[ \t]+(\S.*)")
_UNIT = re.compile(r"[LRTB]*[1-9]\d?")
_ALIGNED = re.compile(r"(\d{4,})_aligned\.jpg")
_ORIGINAL = re.compile(r"(\d{4,})\.jpg")

Value = TypeVar("Value")


class RafceParams(BaseModel):
    """RAF-CE has no knobs."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class _Face:
    source_id: str
    label: str
    split: str
    action_units: str
    member: str


def read(folder: Path, classes: ClassSet, params: RafceParams) -> tuple[int, Iterator[Sample]]:
    """All faces of RAF-CE in the order of their ids: how many, and the samples, read one at a time.

    All 14 classes are yielded whatever `classes` says. Aligned faces are used where there is any, else
    original ones.

    Raises:
        SourceError: a label file is missing, has a row that does not parse or contradicts another, or lists
            an image that another file or the image folder lacks.
    """
    with open_archive(folder) as archive:
        faces = _faces(archive)

    return len(faces), lazily(archive, (_sample(archive, face) for face in faces))


def _sample(archive: Archive, face: _Face) -> Sample:
    content = archive.read(face.member)
    return Sample(face.source_id, face.label, "compound", face.split, content, ".jpg", face.action_units)


def parse_emotion(token: str) -> str:
    """Class of an id in `RAFCE_emolabel.txt`: `5` -> `Sadly_Disgusted`.

    Raises:
        ValueError: not an id of 0 to 13.
    """
    if not re.fullmatch(r"\d{1,2}", token, re.ASCII) or int(token) >= len(COMPOUND):
        raise ValueError(f"emotion {token!r} is no id of 0 to {len(COMPOUND) - 1}")
    return COMPOUND[int(token)]


def parse_split(token: str) -> str:
    """Split of a number in `RAFCE_partition.txt`: 0 train, 1 test, 2 val.

    Raises:
        ValueError: any other.
    """
    if token not in SPLIT_OF_PARTITION:
        raise ValueError(f"partition {token!r} is none of 0 (train), 1 (test), 2 (validation)")
    return SPLIT_OF_PARTITION[token]


def parse_units(token: str) -> str:
    """Action units as the manifest has them: `L12+t23` -> `L12+T23`, `null` -> `none`.

    Raises:
        ValueError: a part is no unit of 1 to 99 with optional prefixes L, R, T, B.
    """
    if token == "null":  # noqa: S105
        return "none"
    units = token.upper().split("+")
    wrong = next((unit for unit in units if not _UNIT.fullmatch(unit)), None)
    if wrong is not None:
        raise ValueError(f"{wrong!r} in {token!r} is no action unit such as 12, L12, RB18, and no 'null'")
    return "+".join(units)


def parse_rows(lines: Iterable[str], name: str, parse: Callable[[str], Value]) -> dict[str, Value]:
    """A label file of lines `0001.jpg <token>` as `{"0001": value}`; a row may repeat with the same value.

    Raises:
        SourceError: a line does not parse, or gives an image a second value; it names `name` and the line.
    """
    rows: dict[str, Value] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{name}, line {number}: {line!r}"
        match = _ROW.fullmatch(line.strip())
        if match is None:
            raise SourceError(
                f"{where}: expected '0001.jpg <value>'; restore the line from the authors' file"
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


def _faces(archive: Archive) -> list[_Face]:
    emotions = _label_file(archive, required_file(archive, EMOTIONS), parse_emotion)
    splits = _label_file(archive, required_file(archive, PARTITION), parse_split)
    _same_images(archive, EMOTIONS, emotions, PARTITION, splits)
    units_file = only_file(archive, UNITS)
    units = {} if units_file is None else _label_file(archive, units_file, parse_units)
    if units_file is not None:
        _same_images(archive, EMOTIONS, emotions, UNITS, units)
    members = _images(archive, emotions)
    return [_Face(i, emotions[i], splits[i], units.get(i, ""), members[i]) for i in sorted(emotions)]


def _label_file(archive: Archive, name: str, parse: Callable[[str], Value]) -> dict[str, Value]:
    return parse_rows(archive.lines(name), archive.where(name), parse)


def _same_images(
    archive: Archive, one: str, rows: Mapping[str, object], other: str, others: Mapping[str, object]
) -> None:
    """Raises SourceError where one label file lists an image that the other lacks."""
    for has, lacks, images in ((one, other, rows.keys() - others), (other, one, others.keys() - rows)):
        if images:
            names = first_ten([f"{i}.jpg" for i in sorted(images)])
            raise SourceError(
                f"{archive.folder}: {has} lists images that {lacks} lacks: {names}; fetch both again"
            )


def _images(archive: Archive, listed: Mapping[str, object]) -> dict[str, str]:
    """Member of each listed image, all aligned or all original.

    Raises:
        SourceError: some listed image is missing, or one lies there twice.
    """
    aligned = _by_id(archive, _ALIGNED, archive.names)
    kind, found = "aligned", aligned
    if not aligned:
        kind, found = "original", _by_id(archive, _ORIGINAL, filter(_in_original, archive.names))
    if not found:
        raise SourceError(
            f"{archive.folder}: no images; put aligned/0001_aligned.jpg ... (or aligned.zip), "
            "or else original/0001.jpg ..., beside the label files"
        )
    missing = sorted(listed.keys() - found)
    if missing:
        raise SourceError(
            f"{archive.folder}: listed images missing from {kind}: {first_ten(missing)}; complete that folder"
        )
    unlisted = found.keys() - listed
    if unlisted:
        log.warning("%s: %d %s images have no label and are left out", archive.folder, len(unlisted), kind)
    return found


def _in_original(name: str) -> bool:
    return bool({"original", "original.zip"} & set(PurePosixPath(name).parts[:-1]))


def _by_id(archive: Archive, pattern: re.Pattern[str], names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        match = pattern.fullmatch(PurePosixPath(name).name)
        if match and found.setdefault(match[1], name) != name:
            raise SourceError(f"{archive.folder}: {found[match[1]]} and {name} are one image; keep one copy")
    return found
