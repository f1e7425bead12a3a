"""Claims about `ferplus`: the rule on votes, both layouts, and the counts of the real files."""

import csv
import io
import os
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from pydantic import ValidationError

from emotions.data.knobs import ImageLimits
from emotions.data.manifest import fingerprint
from emotions.random_streams import numpy_stream
from emotions.sources import audit
from emotions.sources.ferplus import COLUMNS, FOLDER_OF_USAGE, basic_label, compound_label, read
from emotions.sources.knobs import FerplusParams
from emotions.sources.sample import Sample, SourceError
from tests.rafce_lookalike import zipped

REAL = Path(os.environ.get("FERPLUS_DIR", ROOT.parent / "shared/ferplus"))
needs_real_faces = pytest.mark.skipif(
    not (REAL / "fer2013new.csv").is_file(), reason="needs FER2013.zip and fer2013new.csv in FERPLUS_DIR"
)

Row = tuple[str, str, dict[str, int]]
"""Usage, image name, votes."""

ROWS: list[Row] = [
    ("Training", "fer0000000.png", {"happiness": 5, "surprise": 4}),
    ("Training", "", {"NF": 10}),
    ("PublicTest", "fer0000007.png", {"sadness": 4, "anger": 3, "neutral": 2}),
    ("PrivateTest", "fer0000003.png", {"neutral": 8, "happiness": 1}),
    ("PrivateTest", "fer0000004.png", {"disgust": 6, "anger": 4}),
    ("Training", "fer0000005.png", {"fear": 3, "neutral": 3}),
]
"""Three compounds, one neutral face, one without a face, one that nobody agrees on."""


def votes(**given: int) -> dict[str, int]:
    return dict.fromkeys(COLUMNS[2:], 0) | given


def pixels(row: int) -> np.ndarray:
    return numpy_stream(0, "face", row).integers(0, 256, (48, 48), dtype=np.uint8)


def png(row: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels(row)).save(out, "PNG")
    return out.getvalue()


def votes_file(rows: list[Row]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([usage, name, *votes(**given).values()] for usage, name, given in rows)
    return out.getvalue()


def pixels_file(rows: list[Row]) -> str:
    lines = [f"0,{' '.join(map(str, pixels(i).ravel()))},{row[0]}" for i, row in enumerate(rows)]
    return "\n".join(["emotion,pixels,Usage", *lines]) + "\n"


def faces(rows: list[Row]) -> dict[str, bytes]:
    return {f"{FOLDER_OF_USAGE[use]}/{name}": png(i) for i, (use, name, _) in enumerate(rows) if name}


def put(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def found(folder: Path, min_votes: int = 2) -> list[Sample]:
    count, samples = read(folder, "rafdb11", FerplusParams(min_votes=min_votes))
    listed = list(samples)
    assert len(listed) == count
    return listed


def decoded(sample: Sample) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(sample.content)))


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({"happiness": 5, "surprise": 4}, "Happily_Surprised"),
        ({"happiness": 2, "surprise": 2}, "Happily_Surprised"),
        ({"surprise": 7, "happiness": 2, "neutral": 1}, "Happily_Surprised"),
        ({"happiness": 8, "surprise": 1}, None),
        ({"happiness": 4, "surprise": 2, "fear": 2}, None),
        ({"happiness": 5, "anger": 4}, None),
        ({"happiness": 4, "surprise": 3, "neutral": 3}, None),
        ({"happiness": 4, "surprise": 3, "contempt": 3}, None),
        ({"happiness": 4, "surprise": 3, "unknown": 2, "NF": 1}, None),
        ({"happiness": 4, "surprise": 3, "unknown": 1, "NF": 1}, "Happily_Surprised"),
        ({"sadness": 5, "anger": 3, "neutral": 2}, "Sadly_Angry"),
    ],
)
def test_the_compound_rule_clause_by_clause(given: dict[str, int], label: str | None) -> None:
    assert compound_label(votes(**given), min_votes=2) == label


def test_min_votes_counts_for_the_second_emotion() -> None:
    split = votes(happiness=6, surprise=2)
    assert [compound_label(split, n) is not None for n in (1, 2, 3)] == [True, True, False]


def test_a_single_emotion_needs_more_than_five_votes() -> None:
    assert basic_label(votes(sadness=6, neutral=4)) == "sadness"
    assert basic_label(votes(sadness=5, neutral=4)) is None
    assert basic_label(votes(contempt=9)) is None


def test_zero_votes_make_no_params() -> None:
    with pytest.raises(ValidationError):
        FerplusParams(min_votes=0)


@pytest.mark.parametrize("zipped_faces", [False, True])
def test_faces_are_joined_by_name_and_not_by_row(tmp_path: Path, zipped_faces: bool) -> None:
    images = {"FER2013.zip": zipped(faces(ROWS))} if zipped_faces else faces(ROWS)
    samples = found(put(tmp_path, {"fer2013new.csv": votes_file(ROWS), **images}))
    assert [(s.source_id, s.label, s.role, s.split) for s in samples] == [
        ("fer0000000", "Happily_Surprised", "compound", "train"),
        ("fer0000007", "Sadly_Angry", "compound", "val"),
        ("fer0000003", "neutral", "basic", "test"),
        ("fer0000004", "Angrily_Disgusted", "compound", "test"),
    ]
    assert [s.content for s in samples] == [png(0), png(2), png(3), png(4)]


@pytest.mark.parametrize("zipped_table", [False, True])
def test_fer2013_csv_is_joined_by_row_and_gives_the_same_samples(tmp_path: Path, zipped_table: bool) -> None:
    table = {"fer2013.csv": pixels_file(ROWS).encode()}
    tables = {"archive.zip": zipped({"fer2013/fer2013.csv": table["fer2013.csv"]})} if zipped_table else table
    from_rows = found(put(tmp_path / "rows", {"fer2013new.csv": votes_file(ROWS), **tables}))
    from_images = found(put(tmp_path / "images", {"fer2013new.csv": votes_file(ROWS), **faces(ROWS)}))
    assert [(s.source_id, s.label, s.split) for s in from_rows] == [
        (s.source_id, s.label, s.split) for s in from_images
    ]
    for one, other in zip(from_rows, from_images, strict=True):
        assert np.array_equal(decoded(one), decoded(other))


def test_rows_in_another_order_are_noticed_by_their_usage(tmp_path: Path) -> None:
    shuffled = [ROWS[2], *ROWS[:2], *ROWS[3:]]
    put(tmp_path, {"fer2013new.csv": votes_file(ROWS), "fer2013.csv": pixels_file(shuffled)})
    with pytest.raises(SourceError, match=r"fer2013\.csv, line 2: Usage 'PublicTest'.*'Training'"):
        read(tmp_path, "rafce14", FerplusParams())


@pytest.mark.parametrize("rows", [ROWS[:-1], [*ROWS, ROWS[-1]]])
def test_a_row_too_few_or_too_many_is_an_error(tmp_path: Path, rows: list[Row]) -> None:
    put(tmp_path, {"fer2013new.csv": votes_file(ROWS), "fer2013.csv": pixels_file(rows)})
    with pytest.raises(SourceError, match="not as many rows"):
        read(tmp_path, "rafce14", FerplusParams())


@pytest.mark.parametrize(("old", "new"), [(",", ",256 "), (",", ",1 "), (",", ",x ")])
def test_wrong_pixels_are_named_by_their_line(tmp_path: Path, old: str, new: str) -> None:
    lines = pixels_file(ROWS).split("\n")
    lines[3] = lines[3].replace(old, new, 1)
    put(tmp_path, {"fer2013new.csv": votes_file(ROWS), "fer2013.csv": "\n".join(lines)})
    with pytest.raises(SourceError, match=r"fer2013\.csv, line 4"):
        found(tmp_path)


def as_kaggle_has_it(text: str) -> str:
    """`icml_face_data.csv`: the same columns in another order, blanks before their names."""
    rows = [line.split(",") for line in text.splitlines()]
    emotion, pixels, usage = (rows[0].index(name) for name in ("emotion", "pixels", "Usage"))
    body = [f"{row[emotion]},{row[usage]},{row[pixels]}" for row in rows[1:]]
    return "\n".join(["emotion, Usage, pixels", *body]) + "\n"


@pytest.mark.parametrize("name", ["icml_face_data.csv", "fer2013", "fer2013.csv.csv", "fer2013.tar.gz"])
def test_the_table_of_pixels_is_read_as_sites_give_it_now(tmp_path: Path, name: str) -> None:
    text = pixels_file(ROWS)
    put(tmp_path / "plain", {"fer2013new.csv": votes_file(ROWS), "fer2013.csv": text})
    put(tmp_path / "other", {"fer2013new.csv": votes_file(ROWS)})
    if name.endswith(".tar.gz"):
        with tarfile.open(tmp_path / "other" / name, "w:gz") as tar:
            for member, content in (("fer2013/README", b"words"), ("fer2013/fer2013.csv", text.encode())):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    else:
        put(tmp_path / "other", {name: as_kaggle_has_it(text) if "icml" in name else text})
    assert fingerprint_of(tmp_path / "other") == fingerprint_of(tmp_path / "plain")


def test_two_tables_of_pixels_are_refused_and_what_is_not_expected_is_named(tmp_path: Path) -> None:
    put(tmp_path, {"fer2013new.csv": votes_file(ROWS), "fer2013.csv": pixels_file(ROWS)})
    put(tmp_path, {"icml_face_data.csv": as_kaggle_has_it(pixels_file(ROWS))})
    with pytest.raises(
        SourceError, match=r"fer2013\.csv and icml_face_data\.csv are tables of the same faces"
    ):
        read(tmp_path, "rafce14", FerplusParams())
    for name in ("fer2013.csv", "icml_face_data.csv"):
        (tmp_path / name).unlink()
    put(tmp_path, {"train.csv": "emotion,pixels\n", "notes.txt": "words"})
    with pytest.raises(SourceError, match=r"no faces; .*What lies there: notes\.txt, train\.csv"):
        read(tmp_path, "rafce14", FerplusParams())


def test_both_layouts_at_once_are_an_error(tmp_path: Path) -> None:
    put(tmp_path, {"fer2013new.csv": votes_file(ROWS), "fer2013.csv": pixels_file(ROWS), **faces(ROWS)})
    with pytest.raises(SourceError, match="keep one of the two"):
        read(tmp_path, "rafce14", FerplusParams())


def test_a_missing_compound_face_is_a_fault_and_a_missing_basic_one_is_allowed_and_announced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, {"fer2013new.csv": votes_file(ROWS), **faces(ROWS)})
    (tmp_path / "FER2013Test" / "fer0000003.png").unlink()
    assert [(s.source_id, s.fault) for s in found(tmp_path) if s.fault] == [("fer0000003", "absent")]
    assert "1 of the single-emotion faces" in caplog.text
    assert "neutral 1" in caplog.text
    (tmp_path / "FER2013Test" / "fer0000004.png").unlink()
    missing = next(s for s in found(tmp_path) if s.fault == "missing")
    assert missing.place.endswith("FER2013Test/fer0000004.png")
    assert missing.content == b""


def test_both_layouts_of_the_faces_have_one_fingerprint(tmp_path: Path) -> None:
    votes = votes_file(ROWS)
    put(tmp_path / "images", {"fer2013new.csv": votes, **faces(ROWS)})
    put(tmp_path / "zip", {"FER2013.zip": zipped({"fer2013new.csv": votes.encode(), **faces(ROWS)})})
    put(tmp_path / "table", {"fer2013new.csv": votes, "fer2013.csv": pixels_file(ROWS)})
    assert len({fingerprint_of(tmp_path / layout) for layout in ("images", "zip", "table")}) == 1
    brighter = pixels_file(ROWS).replace("\n0,1", "\n0,2", 1)
    assert brighter != pixels_file(ROWS)
    put(tmp_path / "table", {"fer2013.csv": brighter})
    assert fingerprint_of(tmp_path / "table") != fingerprint_of(tmp_path / "zip")


def fingerprint_of(folder: Path) -> str:
    pictures = [audit.identify(sample, ImageLimits()) for sample in found(folder)]
    return fingerprint([p.row for p in pictures if isinstance(p, audit.Picture)])


def test_votes_become_shares_of_the_six_emotions(tmp_path: Path) -> None:
    put(tmp_path, {"fer2013new.csv": votes_file(ROWS), **faces(ROWS)})
    shares = {s.source_id: s.shares for s in found(tmp_path)}
    assert shares["fer0000000"] == "0.444444 0 0 0.555556 0 0"
    assert shares["fer0000004"] == "0 0 0.6 0 0 0.4"


def test_a_name_listed_twice_counts_once_and_not_at_all_where_votes_differ(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, {"fer2013new.csv": votes_file([*ROWS, ROWS[0]]), **faces(ROWS)})
    assert [s.source_id for s in found(tmp_path)].count("fer0000000") == 1
    assert not caplog.records
    other = ("Training", "fer0000000.png", {"happiness": 10})
    put(tmp_path, {"fer2013new.csv": votes_file([*ROWS, other])})
    assert "fer0000000" not in [s.source_id for s in found(tmp_path)]
    assert "fer0000000.png left out" in caplog.text


@pytest.mark.parametrize(
    ("old", "new"),
    [("Training,fer0000005.png", "Train,fer0000005.png"), ("fer0000005.png", "../5.png"), (",3,", ",-3,")],
)
def test_a_bad_votes_row_is_named(tmp_path: Path, old: str, new: str) -> None:
    lines = votes_file(ROWS).split("\n")
    assert old in lines[6]
    lines[6] = lines[6].replace(old, new, 1)
    put(tmp_path, {"fer2013new.csv": "\n".join(lines), **faces(ROWS)})
    with pytest.raises(SourceError, match=r"fer2013new\.csv, line 7"):
        read(tmp_path, "rafce14", FerplusParams())


def test_absent_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"fer2013new\.csv is missing"):
        read(tmp_path, "rafce14", FerplusParams())
    put(tmp_path, {"fer2013new.csv": votes_file(ROWS)})
    with pytest.raises(SourceError, match="no faces; put FER2013Train"):
        read(tmp_path, "rafce14", FerplusParams())


@needs_real_faces
def test_the_real_votes_make_the_published_counts() -> None:
    samples = [s for s in found(REAL) if not s.fault]
    assert Counter(s.split for s in samples if s.role == "compound") == {
        "train": 3145,
        "val": 382,
        "test": 432,
    }
    assert len(samples) == len({s.source_id for s in samples})
    assert {s.content[:4] for s in samples} == {b"\x89PNG"}


@needs_real_faces
def test_three_votes_leave_fewer_real_compounds() -> None:
    assert sum(s.role == "compound" for s in found(REAL, min_votes=3)) == 2284
