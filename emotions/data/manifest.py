"""The one table that every source produces and every later step reads: one row per image."""

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import PurePosixPath
from typing import Final

from emotions.taxonomy import BASIC, COMPOUND, SIX, SPLITS, parse_units

FILE_NAME: Final = "manifest.csv"
"""File name of the manifest, among the images it lists."""


class ManifestError(ValueError):
    """A manifest that does not follow its format; the message names the line and the column."""


@dataclass(frozen=True, slots=True)
class Row:
    """One image.

    `image`: posix path inside the store. `label`: a compound class or, for `role="basic"`, a basic emotion.
    `action_units`: coded units (`1+4+L12`), `none` = coded and none active, empty = unknown.
    `group`: identity of the person where known, else empty. `sha256`: hash of the original bytes.
    `pixels`: hash of the decoded image. `source_id`: the name that the source gives the image.
    `regions`: path of the region map where the source knows it, else empty. `shares`: soft label, six shares
    that sum to 1 in the order of `emotions.taxonomy.SIX` (`0.6 0 0 0.4 0 0`), empty = unknown.
    """

    image: str
    label: str
    role: str
    split: str
    action_units: str
    group: str
    sha256: str
    pixels: str
    source_id: str
    regions: str = ""
    shares: str = ""


COLUMNS = tuple(field.name for field in fields(Row))
LABELS = {"compound": COMPOUND, "basic": BASIC}


def write(rows: Sequence[Row]) -> str:
    """The manifest as CSV text (LF line ends), in the order given."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return out.getvalue()


def fingerprint(rows: Iterable[Row]) -> str:
    """One SHA-256 that identifies a set of data, whatever the order, names and packaging of its files.

    It covers each image's role, split, label and decoded pixels; for a JPEG, which decoders decode
    differently, it covers the bytes instead of the pixels.
    """
    lines = sorted(
        f"{row.sha256 if row.image.endswith('.jpg') else row.pixels} {row.role} {row.split} {row.label}\n"
        for row in rows
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def shares_text(numbers: Iterable[float]) -> str:
    """Votes or shares of the six emotions in the manifest's form: scaled to a sum of 1, six decimals.

    Raises:
        ValueError: not six finite numbers from 0 up, or all of them 0.
    """
    six = tuple(numbers)
    if len(six) != len(SIX) or not all(x >= 0 for x in six) or not 0 < sum(six) < math.inf:
        raise ValueError(
            f"a soft label is six numbers from 0 up and not all 0, in the order {', '.join(SIX)}"
        )
    return " ".join(f"{x / sum(six):.6g}" for x in six)


def shares_of(row: Row) -> tuple[float, ...] | None:
    """The soft label of a row, in the order of `emotions.taxonomy.SIX`; None where it has none."""
    return tuple(float(x) for x in row.shares.split()) if row.shares else None


def read(text: str, name: str = FILE_NAME) -> list[Row]:
    """Parse and validate a manifest.

    Raises:
        ManifestError: a missing column, an unknown role, split or label, action units or shares that do not
            parse, a path that leaves the store, or an image listed twice. The message names `name`, the line
            and the remedy.
    """
    reader = csv.DictReader(io.StringIO(text))
    try:
        missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
        records = [(reader.line_num, record) for record in reader]
    except csv.Error as error:
        raise ManifestError(f"{name}, line {reader.reader.line_num}: not a CSV row ({error})") from error
    if missing:
        raise ManifestError(f"{name}: column(s) {', '.join(missing)} missing; it needs {', '.join(COLUMNS)}")
    rows: list[Row] = []
    seen: set[str] = set()
    for line, record in records:
        where = f"{name}, line {line}"
        if None in record or None in record.values():
            raise ManifestError(f"{where}: more or fewer cells than columns; each row needs {len(COLUMNS)}")
        row = Row(**{c: record[c] for c in COLUMNS})
        if row.role not in LABELS:
            raise ManifestError(f"{where}: role {row.role!r} is not one of {', '.join(LABELS)}")
        if row.split not in SPLITS:
            raise ManifestError(f"{where}: split {row.split!r} is not one of {', '.join(SPLITS)}")
        if row.label not in LABELS[row.role]:
            raise ManifestError(f"{where}: label {row.label!r} is not a {row.role} emotion")
        for path in (row.image, row.regions):
            if path.startswith("/") or "\\" in path or ".." in PurePosixPath(path).parts:
                raise ManifestError(f"{where}: path {path!r} leaves the store; use a relative posix path")
        try:
            units = row.action_units
            if units not in ("", "none") and parse_units(units) != units:
                raise ValueError(f"action units {units!r} must be written {parse_units(units)!r}")
            if row.shares:
                shares_text(float(x) for x in row.shares.split())
        except ValueError as error:
            raise ManifestError(f"{where}: {error}; correct the row") from error
        if not row.image or row.image in seen:
            raise ManifestError(f"{where}: image {row.image!r} is empty or listed twice")
        seen.add(row.image)
        rows.append(row)
    return rows
