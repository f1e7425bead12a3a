"""Every row of docs/data/bad_input.md, read as `extract` reads it; and arbitrary input to every parser."""

import io
import logging
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from emotions.data import manifest
from emotions.data.images import ImageError, decode, inspect
from emotions.data.knobs import ImageLimits
from emotions.data.manifest import LABELS, ManifestError
from emotions.sources import SOURCES, audit
from emotions.sources.archive import MAX_NAME, Archive, ArchiveError
from emotions.sources.audit import Dropped, Picture
from emotions.sources.ferplus import SIDE, png_of
from emotions.sources.knobs import ArchiveLimits
from emotions.sources.rafce import parse_emotion, parse_rows, parse_shares, parse_split
from emotions.sources.sample import Sample, SourceError
from emotions.taxonomy import SIX, SPLITS, parse_units
from tests.bad_input import CASES, FACE, PLAIN, TABLE, Source, corners, jpeg, zip_as_named

PAGE = ROOT / "docs/data/bad_input.md"
BROKEN_OFF = {
    "zip that breaks off",
    "zip whose beginning is missing",
    "zip64 with a member beyond its end",
    "damaged member, stored",
    "damaged member, deflated",
    "size field that says too little",
    "directory and member disagree about the name",
    "tar.gz that breaks off",
    "empty file",
    "FER+: row that breaks off",
    "FER+: a pixel too few",
}
"""Cases in which fetching a file again may help; elsewhere no message advises it."""
COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "white": (255,) * 3,
    "black": (0,) * 3,
}


class Line(NamedTuple):
    """A row of the page. `facts`: what its last column has in backticks."""

    case: str
    outcome: str
    facts: tuple[str, ...]


def page_rows() -> list[Line]:
    """The rows of the page's table that are no headings."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("|")
    ]
    return [
        Line(case, outcome, tuple(re.findall(r"`([^`]+)`", text)))
        for case, outcome, text in cells[2:]
        if outcome
    ]


@dataclass
class Reading:
    """What became of a folder: `error` of the source, else its samples as `extract` sees them."""

    error: str = ""
    dropped: list[Dropped] = field(default_factory=list)
    pictures: list[tuple[Sample, Picture]] = field(default_factory=list)

    def labels(self) -> set[tuple[str, ...]]:
        rows = [picture.row for _, picture in self.pictures]
        return {(r.source_id, r.role, r.split, r.label, r.action_units, r.shares) for r in rows}


def read(folder: Path, source: Source, archive_limits: ArchiveLimits, image_limits: ImageLimits) -> Reading:
    reading, kind = Reading(), SOURCES[source]
    try:
        total, samples = kind.read(folder, "rafce14", kind.params(), archive_limits)
        for sample in samples:
            found = audit.identify(sample, image_limits)
            if isinstance(found, Dropped):
                reading.dropped.append(found)
            else:
                reading.pictures.append((sample, found))
    except SourceError as error:
        return Reading(str(error))
    assert len(reading.dropped) + len(reading.pictures) == total
    return reading


def shown(image: Image.Image) -> str:
    """The corners, clockwise from the upper left, by name where they are nearly a named colour."""
    width, height = image.size
    places = ((0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1))
    names = []
    for pixel in map(np.array, map(image.getpixel, places)):
        near = (name for name, colour in COLOURS.items() if np.abs(pixel - colour).max() < 9)
        names.append(next(near, f"#{bytes(pixel.tolist()).hex()}"))
    return " ".join(names)


def facts_of(sample: Sample, picture: Picture, folder: Path) -> set[str]:
    image = decode(picture.files[picture.row.image], sample.place).image
    return {
        picture.format,
        picture.mode,
        f"{image.width} x {image.height} px",
        shown(image),
        sample.place.removeprefix(f"{folder.as_posix()}/"),
    }


@pytest.fixture(scope="module")
def plain_labels(tmp_path_factory: pytest.TempPathFactory) -> dict[Source, set[tuple[str, ...]]]:
    found = {}
    for source, build in PLAIN.items():
        folder = tmp_path_factory.mktemp("plain")
        build(folder)
        found[source] = read(folder, source, ArchiveLimits(), ImageLimits()).labels()
    return found


@pytest.mark.filterwarnings("ignore:Duplicate name", "ignore:Corrupt EXIF", "ignore:Image size")
@pytest.mark.parametrize("line", page_rows(), ids=lambda line: line.case)
def test_what_the_page_says_of_bad_input_is_what_happens(
    line: Line,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    plain_labels: dict[Source, set[tuple[str, ...]]],
) -> None:
    case = CASES[line.case]
    named = case.build(tmp_path)
    with caplog.at_level(logging.WARNING):
        reading = read(tmp_path, case.source, case.archive_limits, case.image_limits)
    assert line.facts, "the page says nothing that can fail"
    if line.outcome == "refused":
        said = reading.error or "\n".join(f"{d.reason}: {d.detail}" for d in reading.dropped)
        said = said.replace(tmp_path.as_posix(), "")
        assert named in said
        assert [fact for fact in line.facts if fact not in said] == []
        assert line.case in BROKEN_OFF if re.search(r"fetch (it|the file) again", said) else True
        assert reading.error or {d.reason for d in reading.dropped} == {line.facts[0]}
        return
    assert line.outcome == "accepted"
    assert (reading.error, reading.dropped) == ("", [])
    known = {"the same labels"} if reading.labels() == plain_labels[case.source] else set[str]()
    known = known.union(*(facts_of(sample, picture, tmp_path) for sample, picture in reading.pictures))
    assert [fact for fact in line.facts if fact not in known and fact not in caplog.text] == []


def test_each_case_is_in_the_page_once() -> None:
    assert sorted(line.case for line in page_rows()) == sorted(CASES)


@pytest.mark.parametrize("whole", [FACE, jpeg(corners())], ids=["PNG", "JPEG"])
def test_an_image_that_breaks_off_anywhere_is_refused(whole: bytes) -> None:
    for length in range(len(whole)):
        with pytest.raises(ImageError, match=r"^a\.jpg: "):
            inspect(whole[:length], "a.jpg", ImageLimits())


lines = st.text() | st.from_regex(r"\d{4}\.jpg[ \t].*")
tokens = (
    st.sampled_from(["0", "13", "null", "1+4", "L12", "nan", "-1", "1e999", "0.5 0.5 0 0 0 0"]) | st.text()
)


@settings(max_examples=60)
@pytest.mark.parametrize("parse", [parse_emotion, parse_split, parse_units, parse_shares])
@given(table=st.lists(lines | tokens.map("0001.jpg {}".format), max_size=4))
def test_lines_of_a_label_file_become_rows_or_an_error_that_names_file_and_line(
    parse: Callable[[str], str], table: list[str]
) -> None:
    try:
        rows = parse_rows(table, "labels.txt", parse)
    except SourceError as error:
        assert re.match(r"labels\.txt(, line \d+: |: has no rows)", str(error))
    else:
        assert rows
        assert all(re.fullmatch(r"\d{4,}", name) for name in rows)


numbers = st.floats(0, 1e6).map(repr) | st.sampled_from(["0", "1", "nan", "inf", "1e999", "-1", "x"])


@given(st.text() | st.lists(numbers, min_size=5, max_size=7).map(" ".join))
def test_a_soft_label_is_six_shares_that_sum_to_one_or_a_value_error(token: str) -> None:
    try:
        shares = [float(share) for share in parse_shares(token).split()]
    except ValueError:
        return
    assert len(shares) == len(SIX)
    assert sum(shares) == pytest.approx(1, abs=1e-5)


@settings(max_examples=200)
@given(st.integers(0, len(TABLE)), st.integers(0, 9), st.text(max_size=9))
def test_a_manifest_with_anything_in_any_place_is_read_or_a_manifest_error(
    at: int, gone: int, new: str
) -> None:
    text = TABLE.decode()
    try:
        rows = manifest.read(text[:at] + new + text[at + gone :], "some.csv")
    except ManifestError as error:
        assert str(error).startswith("some.csv")
        return
    assert all(r.label in LABELS[r.role] and r.split in SPLITS for r in rows)


faces = st.binary(min_size=SIDE**2, max_size=SIDE**2).map(lambda face: " ".join(map(str, face)))


@given(
    st.text()
    | st.builds(lambda face, end: f"{face}{end}", faces, st.sampled_from(["", " ", "\t0", "6", "x"]))
)
def test_pixels_become_the_face_that_they_are_or_an_error_that_names_the_line(pixels: str) -> None:
    try:
        content = png_of(pixels, "fer2013.csv, line 7")
    except SourceError as error:
        assert str(error).startswith("fer2013.csv, line 7: ")
        return
    face = np.asarray(Image.open(io.BytesIO(content)))
    assert face.shape == (SIDE, SIDE)
    assert face.ravel().tolist() == [int(number) for number in pixels.split()]


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=9) | st.lists(
    st.sampled_from(
        ["", ".", "..", "/", "\\", "a", "A", "é", "e\u0301", "C:", "\0", "\u202e", "x" * 201, ".zip"]
    ),
    max_size=5,
).map("".join)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=200)
@given(st.lists(names, min_size=1, max_size=4))
def test_every_name_in_a_zip_is_safe_or_the_zip_is_refused(members: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.zip").write_bytes(zip_as_named(*members))
        try:
            with Archive(Path(folder)) as opened:
                found = opened.names
        except ArchiveError as error:
            assert "a.zip" in str(error)
            return
    for name in found:
        assert name.isprintable()
        assert name.startswith("a.zip/")
        parts = PurePosixPath(name).parts
        assert not {"..", "/"} & set(parts)
        assert max(len(part.encode()) for part in parts) <= MAX_NAME
    assert len({name.casefold() for name in found}) == len(found)
