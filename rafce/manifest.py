"""The one table that every source produces and every later step reads: a row an image."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import PurePosixPath

from rafce.taxonomy import BASIC, COMPOUND, SPLITS


class ManifestError(ValueError):
    """A manifest that does not follow its format; the message names the line and the column."""


@dataclass(frozen=True, slots=True)
class Row:
    """One image.

    `image`: posix path inside the store. `label`: a compound class or, for `role="basic"`, a basic emotion.
    `action_units`: coded units (`1+4+L12`), `none` = coded and none active, empty = unknown.
    `group`: identity of the person where known, else empty. `sha256`: hash of the original bytes.
    `pixels`: hash of the decoded image. `source_id`: the name that the source gives the image.
    `regions`: path of the region map where the source knows it, else empty.
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


COLUMNS = tuple(field.name for field in fields(Row))
LABELS = {"compound": COMPOUND, "basic": BASIC}


def write(rows: Sequence[Row]) -> str:
    """The manifest as CSV text (LF line ends), in the order given."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return out.getvalue()


def read(text: str, name: str = "manifest.csv") -> list[Row]:
    """Parse and validate a manifest.

    Raises:
        ManifestError: a missing column, an unknown role, split or label, a path that leaves the store, or an
        image
            listed twice. The message names `name`, the line and the remedy.
    """
    reader = csv.DictReader(io.StringIO(text))
    missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
    if missing:
        raise ManifestError(f"{name}: column(s) {', '.join(missing)} missing; it needs {', '.join(COLUMNS)}")
    rows: list[Row] = []
    seen: set[str] = set()
    try:
        records = [(reader.line_num, record) for record in reader]
    except csv.Error as error:
        raise ManifestError(f"{name}, line {reader.line_num}: not a CSV row ({error})") from error
    for line, record in records:
        where = f"{name}, line {line}"
        if None in record or None in record.values():
            raise ManifestError(f"{where}: more or fewer cells than columns; each row needs {len(COLUMNS)}")
        row = Row(**{c: record[c] for c in COLUMNS})
        if row.role not in LABELS:
            raise ManifestError(f"{where}: role {row.role!r} is none of {', '.join(LABELS)}")
        if row.split not in SPLITS:
            raise ManifestError(f"{where}: split {row.split!r} is none of {', '.join(SPLITS)}")
        if row.label not in LABELS[row.role]:
            raise ManifestError(f"{where}: label {row.label!r} is no {row.role} emotion")
        for path in (row.image, row.regions):
            if path.startswith("/") or "\\" in path or ".." in PurePosixPath(path).parts:
                raise ManifestError(f"{where}: path {path!r} leaves the store; use a relative posix path")
        if not row.image or row.image in seen:
            raise ManifestError(f"{where}: image {row.image!r} is empty or listed twice")
        seen.add(row.image)
        rows.append(row)
    return rows
