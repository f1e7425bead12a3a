"""Claims about `emotions.sources.rafce`, on look-alikes of the official files."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotions.sources.knobs import RafceParams
from emotions.sources.rafce import (
    EMOTIONS,
    PARTITION,
    SHARES,
    UNITS,
    parse_emotion,
    parse_rows,
    parse_split,
    read,
)
from emotions.sources.sample import Sample, SourceError
from emotions.taxonomy import COMPOUND, parse_units
from tests.rafce_lookalike import Layout, build, label_files, noise, zipped

SMALL = {"Happily_Surprised": (3, 2, 1), "Angrily_Disgusted": (4, 1, 2), "Happily_Sad": (1, 1, 1)}


def _read(folder: Path) -> list[Sample]:
    count, samples = read(folder, "rafdb11", RafceParams())
    found = list(samples)
    assert len(found) == count
    return found


def _placeless(folder: Path) -> list[Sample]:
    return [replace(sample, place="") for sample in _read(folder)]


def _edit(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / "EmoLabel" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("layout", get_args(Layout))
def test_every_layout_gives_the_same_labels_splits_and_units(tmp_path: Path, layout: Layout) -> None:
    listed = build(tmp_path, SMALL, layout)
    wanted = {"null": "none", "t23": "T23"}
    assert [(s.source_id, s.label, s.split, s.action_units) for s in _read(tmp_path)] == [
        (one.source_id, one.label, one.split, wanted.get(one.units, one.units)) for one in listed
    ]


def test_partition_one_is_test_and_two_is_validation(tmp_path: Path) -> None:
    assert (parse_split("0"), parse_split("1"), parse_split("2")) == ("train", "test", "val")
    build(tmp_path, {"Sadly_Angry": (5, 3, 1)})
    assert Counter(s.split for s in _read(tmp_path)) == {"train": 5, "val": 3, "test": 1}


def test_emotion_ids_follow_the_authors_list_and_not_the_alphabet() -> None:
    assert parse_emotion("0") == "Happily_Surprised"
    assert parse_emotion("10") == "Angrily_Disgusted"
    assert [parse_emotion(str(i)) for i in range(14)] == list(COMPOUND)


def test_all_fourteen_classes_are_yielded_for_either_class_set(tmp_path: Path) -> None:
    build(tmp_path, dict.fromkeys(COMPOUND, (1, 0, 0)))
    assert {s.label for s in _read(tmp_path)} == set(COMPOUND)


def test_each_image_has_its_own_bytes(tmp_path: Path) -> None:
    build(tmp_path, SMALL)
    for sample in _read(tmp_path):
        assert sample.content == (tmp_path / "aligned" / f"{sample.source_id}_aligned.jpg").read_bytes()


def test_crlf_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    build(tmp_path / "lf", SMALL)
    build(tmp_path / "crlf", SMALL, newline="\r\n", bom=True)
    assert _placeless(tmp_path / "lf") == _placeless(tmp_path / "crlf")


def test_without_the_unit_file_units_are_unknown_rather_than_none_active(tmp_path: Path) -> None:
    build(tmp_path, SMALL)
    (tmp_path / "EmoLabel" / "RAFCE_AUlabel.txt").unlink()
    assert {s.action_units for s in _read(tmp_path)} == {""}


@pytest.mark.parametrize("name", ["RAFCE_emolabel.txt", "RAFCE_partition.txt"])
def test_emotions_and_partition_are_required(tmp_path: Path, name: str) -> None:
    build(tmp_path, SMALL)
    (tmp_path / "EmoLabel" / name).unlink()
    with pytest.raises(SourceError, match=f"{name} is missing"):
        read(tmp_path, "rafce14", RafceParams())


def test_soft_labels_travel_as_six_shares_and_are_unknown_without_their_file(tmp_path: Path) -> None:
    listed = build(tmp_path, SMALL)
    wanted = {"Happily_Surprised": "0.4 0 0 0.6 0 0", "Happily_Sad": "0 0 0 0.6 0.4 0"}
    shares = {s.source_id: s.shares for s in _read(tmp_path)}
    assert {one.label: shares[one.source_id] for one in listed if one.label in wanted} == wanted
    (tmp_path / "EmoLabel" / "distribution.txt").unlink()
    assert {s.shares for s in _read(tmp_path)} == {""}


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("distribution.txt", "0.5 0.5 0 0 0"),
        ("distribution.txt", "0 0 0 0 0 0"),
        ("RAFCE_emolabel.txt", "14"),
        ("RAFCE_partition.txt", "3"),
        ("RAFCE_AUlabel.txt", "12++4"),
    ],
)
def test_a_bad_row_is_named_with_file_line_and_text(tmp_path: Path, name: str, token: str) -> None:
    build(tmp_path, SMALL)
    path = tmp_path / "EmoLabel" / name
    lines = path.read_text().split("\n")
    lines[2] = f"0003.jpg {token}"
    path.write_text("\n".join(lines))
    with pytest.raises(SourceError) as caught:
        read(tmp_path, "rafce14", RafceParams())
    assert f"{name}, line 3: '0003.jpg {token}'" in str(caught.value)


def test_a_row_repeated_is_one_row_unless_it_contradicts() -> None:
    assert parse_rows(["0001.jpg 5", "0001.jpg 5"], "labels", parse_emotion) == {"0001": "Sadly_Disgusted"}
    with pytest.raises(SourceError, match=r"line 2.*earlier line"):
        parse_rows(["0001.jpg 5", "0001.jpg 6"], "labels", parse_emotion)


@pytest.mark.parametrize("name", [EMOTIONS, PARTITION, UNITS, SHARES])
def test_a_row_in_one_file_only_is_an_error(tmp_path: Path, name: str) -> None:
    build(tmp_path, SMALL)
    path = tmp_path / "EmoLabel" / name
    path.write_text("\n".join(path.read_text().split("\n")[1:]))
    with pytest.raises(SourceError, match=r"lists images that .* lacks: 0001\.jpg \(1 in all\)") as caught:
        read(tmp_path, "rafce14", RafceParams())
    assert re.search(r"RAFCE_\w+\.txt, line 1: '0001\.jpg .+': \S+ lacks this image", str(caught.value))


def test_a_listed_image_that_is_not_there_is_a_fault_with_its_place(tmp_path: Path) -> None:
    build(tmp_path, SMALL)
    (tmp_path / "aligned" / "0002_aligned.jpg").unlink()
    (missing,) = (s for s in _read(tmp_path) if s.fault)
    assert (missing.source_id, missing.fault, missing.content) == ("0002", "missing", b"")
    assert missing.place == f"{tmp_path}/aligned/0002_aligned.jpg"


def test_an_original_never_stands_in_for_a_missing_aligned_face(tmp_path: Path) -> None:
    build(tmp_path, SMALL, "original")
    build(tmp_path, SMALL)
    aligned = {s.source_id: s.content for s in _read(tmp_path)}
    assert aligned["0001"] == (tmp_path / "aligned" / "0001_aligned.jpg").read_bytes()
    (tmp_path / "aligned" / "0001_aligned.jpg").unlink()
    assert {s.source_id: s.fault for s in _read(tmp_path)}["0001"] == "missing"


def test_aligned_is_preferred_where_both_are_complete(tmp_path: Path) -> None:
    build(tmp_path / "both", SMALL, "original", face=lambda index, label: noise(index + 1000, label))
    build(tmp_path / "both", SMALL)
    build(tmp_path / "aligned", SMALL)
    assert _placeless(tmp_path / "both") == _placeless(tmp_path / "aligned")


def test_two_copies_of_an_image_or_label_file_are_an_error(tmp_path: Path) -> None:
    listed = build(tmp_path, SMALL)
    (tmp_path / "aligned.zip").write_bytes(zipped({"0001_aligned.jpg": b""}))
    with pytest.raises(
        SourceError, match=r"aligned\.zip/0001_aligned\.jpg and aligned/0001_aligned\.jpg are one"
    ):
        read(tmp_path, "rafce14", RafceParams())
    (tmp_path / "aligned.zip").unlink()
    (tmp_path / "RAFCE_partition.txt").write_text(label_files(listed)["RAFCE_partition.txt"])
    with pytest.raises(SourceError, match=r"RAFCE_partition\.txt found 2 times"):
        read(tmp_path, "rafce14", RafceParams())


def test_an_unsafe_zip_is_a_source_error(tmp_path: Path) -> None:
    (tmp_path / "RAF-CE.zip").write_bytes(zipped({"../0001_aligned.jpg": b""}))
    with pytest.raises(SourceError, match="points outside"):
        read(tmp_path, "rafce14", RafceParams())


def test_images_without_a_label_are_announced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listed = build(tmp_path, SMALL)
    (tmp_path / "aligned" / "9999_aligned.jpg").write_bytes(b"")
    assert len(_read(tmp_path)) == len(listed)
    assert "1 aligned images have no label" in caplog.text


units = st.tuples(st.text("LRTB", max_size=3), st.integers(1, 99)).map(lambda unit: f"{unit[0]}{unit[1]}")


@given(st.lists(units, min_size=1, max_size=6))
def test_units_come_out_upper_case_in_their_order(tokens: list[str]) -> None:
    text = "+".join(tokens)
    assert parse_units(text) == text
    assert parse_units(text.lower()) == text


@given(st.text("0123456789LRTBnulxs+-. ", max_size=8))
def test_a_unit_token_parses_to_a_normal_form_or_not_at_all(token: str) -> None:
    try:
        parsed = parse_units(token)
    except ValueError as error:
        assert repr(token) in str(error)
    else:
        assert parsed == "none" if token == "null" else parse_units(parsed) == parsed == token.upper()


@pytest.mark.parametrize("token", ["", "+", "1+", "12x", "X12", "0", "100", "1 + 4", "NULL", "none", "12L"])
def test_what_is_no_unit_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="not an action unit"):
        parse_units(token)


@given(st.dictionaries(st.integers(0, 99999).map("{:04d}".format), st.integers(0, 13), min_size=1))
def test_label_rows_survive_a_round_trip(rows: dict[str, int]) -> None:
    lines = [f"{i}.jpg {number}" for i, number in rows.items()]
    assert parse_rows(lines, "labels", parse_emotion) == {i: COMPOUND[number] for i, number in rows.items()}


@pytest.mark.parametrize(
    "line", ["0001.jpg", "0001 5", "0001.png 5", "x/0001.jpg 5", "1.jpg 5", "0001.jpg 5 6"]
)
def test_a_line_of_another_form_is_refused(line: str) -> None:
    with pytest.raises(SourceError, match="labels, line 1"):
        parse_rows([line], "labels", parse_emotion)
