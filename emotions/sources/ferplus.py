"""FER+ compound: FER2013's faces (48 x 48 grey) with labels made from the votes of FER+'s ten taggers.

Votes: Barsoum et al. 2016, arXiv 1608.01041. A face is compound where the taggers split over two emotions.
"""

import csv
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path, PurePosixPath
from typing import Final

from PIL import Image

from emotions.data.images import encoded
from emotions.data.manifest import shares_text
from emotions.sources.archive import Archive
from emotions.sources.knobs import ArchiveLimits, FerplusParams
from emotions.sources.reading import first_ten, lazily, only_file, open_archive, required_file, with_image
from emotions.sources.sample import Sample, SourceError
from emotions.taxonomy import BASIC, SIX, ClassSet, compound_of

log = logging.getLogger(__name__)

VOTES: Final = "fer2013new.csv"
PIXELS: Final = "fer2013.csv"
PIXEL_FILES: Final = (PIXELS, "icml_face_data.csv", "fer2013", "fer2013.csv.csv")
"""Names under which sites give the table of pixels, or computers store it."""
SIDE: Final = 48
"""Pixels on each side of a face."""

SPLIT_OF_USAGE: Final = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
FOLDER_OF_USAGE: Final = {
    "Training": "FER2013Train",
    "PublicTest": "FER2013Valid",
    "PrivateTest": "FER2013Test",
}

BASIC_MAJORITY: Final = 5
"""Votes, of ten, that a single emotion must exceed."""
RESTORE: Final = "restore the line from the authors' file"
COLUMNS: Final = ("Usage", "Image name", *BASIC, "contempt", "unknown", "NF")


@dataclass(frozen=True, slots=True)
class Ballot:
    """One row of `fer2013new.csv`; `row` counts from 0 and is the row of the same face in `fer2013.csv`."""

    row: int
    usage: str
    name: str
    votes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Face:
    ballot: Ballot
    label: str
    role: str

    @property
    def source_id(self) -> str:
        return PurePosixPath(self.ballot.name).stem

    @property
    def path(self) -> str:
        return f"{FOLDER_OF_USAGE[self.ballot.usage]}/{self.ballot.name}"


def read(
    folder: Path, classes: ClassSet, params: FerplusParams, limits: ArchiveLimits | None = None
) -> tuple[int, Iterator[Sample]]:
    """Number of compound and single-emotion faces, and the samples in the votes' order, read lazily.

    All 14 classes are yielded whatever `classes` says. Rows without an image name, which FER+ found unusable,
    are left out. A face without an image is a sample with a fault: `missing` if it is compound, `absent` if
    it is a single emotion, since many copies of FER2013 are partial. A warning also counts the absent faces.

    Raises:
        SourceError: the votes or faces are missing, a row does not parse or contradicts another, or both
            layouts of the faces lie there.
    """
    with open_archive(folder, limits) as archive:
        ballots = _ballots(archive)
        faces = _labelled(ballots, params.min_votes)
        pixels = _pixel_file(archive)
        images = _image_members(archive)
        if pixels and images:
            raise SourceError(
                f"{folder}: both {PIXELS} and FER2013Train/... images lie there; keep one of the two"
            )
        if pixels:
            _check_pixel_rows(archive, pixels, ballots)
            return len(faces), lazily(archive, _from_rows(archive, pixels, faces))
        if not images:
            there = [name for name in archive.names if name not in archive.named(VOTES)]
            raise SourceError(
                f"{folder}: no faces; put FER2013Train/fer0000000.png ... (or a zip) or {PIXELS} there"
                + (f". What lies there: {first_ten(there)}" if there else "")
            )
        _warn_absent(archive, faces, images)

    def filled(face: _Face) -> Sample:
        if face.path in images:
            return with_image(_sample(face), archive, images[face.path])
        fault: Final = "missing" if face.role == "compound" else "absent"
        return replace(_sample(face), place=archive.where(face.path), fault=fault)

    return len(faces), lazily(archive, map(filled, faces))


def recognises(archive: Archive) -> bool:
    """Whether the votes, a table of pixels or FER2013's folders lie there."""
    return any(map(archive.named, (VOTES, *PIXEL_FILES))) or bool(_image_members(archive))


def compound_label(votes: Mapping[str, int], min_votes: int) -> str | None:
    """The compound emotion that ten votes name, or None.

    Compound: the two most-voted of the six emotions have at least `min_votes` votes each, the second more
    than the third, the pair is a class of RAF-CE, and neutral, contempt and unknown + no-face each have fewer
    votes than the second.
    """
    first, second, third = sorted(SIX, key=lambda emotion: -votes[emotion])[:3]
    bar = votes[second]
    others = max(votes["neutral"], votes["contempt"], votes["unknown"] + votes["NF"])
    if bar < min_votes or bar <= votes[third] or others >= bar:
        return None
    return compound_of(first, second)


def basic_label(votes: Mapping[str, int]) -> str | None:
    """The one emotion (neutral included) with more than five votes, or None, whatever the second one is."""
    winners = [emotion for emotion in BASIC if votes[emotion] > BASIC_MAJORITY]
    return winners[0] if len(winners) == 1 else None


def _pixel_file(archive: Archive) -> str | None:
    """The table of pixels, by one of its names; None where there is none.

    Raises:
        SourceError: there are several.
    """
    found = [name for name in map(partial(only_file, archive), PIXEL_FILES) if name]
    if len(found) > 1:
        raise SourceError(f"{archive.folder}: {' and '.join(found)} are tables of the same faces; keep one")
    return found[0] if found else None


def _table(
    archive: Archive, name: str, columns: Sequence[str], restval: str | None = None
) -> "csv.DictReader[str]":
    """A CSV file with at least these columns, in any case and with blanks around their names.

    Its cells are divided by commas, or by semicolons or tabs, as spreadsheets write them.

    Raises:
        SourceError: columns are missing.
    """
    lines = archive.lines(name)
    first = next(lines, "")
    reader = csv.DictReader(chain([first], lines), restval=restval, delimiter=max(",;\t", key=first.count))
    spelt = {column.casefold(): column for column in columns}
    found = [field.strip() for field in reader.fieldnames or ()]
    reader.fieldnames = [spelt.get(field.casefold(), field) for field in found]
    missing = [column for column in columns if column not in reader.fieldnames]
    if missing:
        raise SourceError(
            f"{archive.where(name)}: column(s) {', '.join(missing)} missing; "
            f"it has {', '.join(reader.fieldnames) or 'none'}"
        )
    return reader


def _ballots(archive: Archive) -> list[Ballot]:
    """All rows of the votes file.

    Raises:
        SourceError: a row does not parse; the message names file and line.
    """
    name = required_file(archive, VOTES)
    where, reader = archive.where(name), _table(archive, name, COLUMNS)
    return [_ballot(row, record, f"{where}, line {reader.line_num}") for row, record in enumerate(reader)]


def _ballot(row: int, record: dict[str, str], where: str) -> Ballot:
    if any(record[column] is None for column in COLUMNS):
        raise SourceError(f"{where}: fewer cells than columns; fetch the file again")
    usage, name = record["Usage"], record["Image name"]
    if usage not in SPLIT_OF_USAGE:
        raise SourceError(f"{where}: Usage {usage!r} is not one of {', '.join(SPLIT_OF_USAGE)}; {RESTORE}")
    if name and not re.fullmatch(r"fer\d+\.png", name, re.ASCII):
        raise SourceError(f"{where}: image name {name!r} is not like fer0000000.png; {RESTORE}")
    wrong = next((c for c in COLUMNS[2:] if not re.fullmatch(r"\d{1,3}", record[c], re.ASCII)), None)
    if wrong:
        raise SourceError(f"{where}: {wrong} {record[wrong]!r} is not a count of votes; {RESTORE}")
    return Ballot(row, usage, name, {column: int(record[column]) for column in COLUMNS[2:]})


def _labelled(ballots: list[Ballot], min_votes: int) -> list[_Face]:
    """Faces that the votes label, in the order of their rows, each image name once."""
    faces = []
    for ballot in _once(ballots):
        if label := compound_label(ballot.votes, min_votes):
            faces.append(_Face(ballot, label, "compound"))
        elif label := basic_label(ballot.votes):
            faces.append(_Face(ballot, label, "basic"))
    return faces


def _once(ballots: list[Ballot]) -> list[Ballot]:
    """The first row of every image name; a name whose rows disagree is left out with a warning."""
    first: dict[str, Ballot] = {}
    disagreeing: set[str] = set()
    for ballot in ballots:
        earlier = first.setdefault(ballot.name, ballot)
        if ballot.name and (earlier.usage, earlier.votes) != (ballot.usage, ballot.votes):
            disagreeing.add(ballot.name)
    if disagreeing:
        names = ", ".join(sorted(disagreeing))
        log.warning("%s: %s left out: listed twice with different votes", VOTES, names)
    return [ballot for name, ballot in first.items() if name and name not in disagreeing]


def _image_members(archive: Archive) -> dict[str, str]:
    """Members by folder and file name, `FER2013Train/fer0000000.png`, which they have in any capitals."""
    folders = {folder.casefold(): folder for folder in FOLDER_OF_USAGE.values()}
    found: dict[str, str] = {}
    for name in archive.names:
        *_, folder, file = ("", *PurePosixPath(name.casefold()).parts)
        if folder not in folders or not file.endswith(".png"):
            continue
        key = f"{folders[folder]}/{file}"
        if found.setdefault(key, name) != name:
            raise SourceError(f"{archive.folder}: {found[key]} and {name} are one image; keep one copy")
    return found


def _warn_absent(archive: Archive, faces: list[_Face], images: Mapping[str, str]) -> None:
    absent = Counter(face.label for face in faces if face.role == "basic" and face.path not in images)
    if absent:
        kinds = ", ".join(f"{label} {absent[label]:,}" for label in BASIC if absent[label])
        log.warning(
            "%s: %d of the single-emotion faces that the votes name are not there and left out (%s)",
            archive.folder,
            absent.total(),
            kinds,
        )


def _sample(face: _Face) -> Sample:
    """A face without its image."""
    votes = [face.ballot.votes[emotion] for emotion in SIX]
    return Sample(
        source_id=face.source_id,
        label=face.label,
        role=face.role,
        split=SPLIT_OF_USAGE[face.ballot.usage],
        content=b"",
        shares=shares_text(votes) if any(votes) else "",
    )


def _pixel_rows(archive: Archive, name: str) -> "csv.DictReader[str]":
    return _table(archive, name, ("pixels", "Usage"), restval="")


def _check_pixel_rows(archive: Archive, name: str, ballots: list[Ballot]) -> None:
    """Raises SourceError unless `fer2013.csv` and the votes have equally many rows, with the same `Usage`."""
    where = archive.where(name)
    reader = _pixel_rows(archive, name)
    for ballot, record in zip_longest(ballots, reader):
        if ballot is None or record is None:
            raise SourceError(
                f"{where}: not as many rows as {VOTES} ({len(ballots):,}); the two are joined by position"
            )
        if record["Usage"].strip() != ballot.usage:
            raise SourceError(
                f"{where}, line {reader.line_num}: Usage {record['Usage']!r}, but {VOTES} has "
                f"{ballot.usage!r} there; the two are joined by position, so both need their original order"
            )


def _from_rows(archive: Archive, name: str, faces: list[_Face]) -> Iterator[Sample]:
    by_row = {face.ballot.row: face for face in faces}
    reader = _pixel_rows(archive, name)
    for row, record in enumerate(reader):
        if face := by_row.get(row):
            where = f"{archive.where(name)}, line {reader.line_num}"
            yield replace(_sample(face), content=png_of(record["pixels"], where), place=where)


def png_of(pixels: str, where: str) -> bytes:
    """A face from `fer2013.csv`, 2,304 numbers of 0 to 255 row by row, as a grey PNG.

    Raises:
        SourceError: a number is outside this range, or their count differs.
    """
    try:
        grey = bytes(int(number) for number in pixels.split())
    except ValueError as error:
        raise SourceError(
            f"{where}: pixels are not whole numbers of 0 to 255 ({str(error)[:80]}); {RESTORE}"
        ) from error
    if len(grey) != SIDE * SIDE:
        raise SourceError(f"{where}: {len(grey):,} pixels instead of {SIDE * SIDE:,}; fetch the file again")
    return encoded(Image.frombytes("L", (SIDE, SIDE), grey), "PNG")
