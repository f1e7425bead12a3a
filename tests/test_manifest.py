"""The manifest: whatever is written is read back, and every fault is named with its line."""

from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rafce import manifest
from rafce.manifest import LABELS, ManifestError, Row
from rafce.taxonomy import SPLITS

ROW = Row("images/a.png", "Sadly_Angry", "compound", "train", "1+4+L12", "", "ab", "cd", "a", "")

CELL = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
PART = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\."), min_size=1)
PATH = st.lists(PART, min_size=1, max_size=3).map("/".join)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    role = draw(st.sampled_from(sorted(LABELS)))
    return Row(
        image=draw(PATH),
        label=draw(st.sampled_from(LABELS[role])),
        role=role,
        split=draw(st.sampled_from(SPLITS)),
        action_units=draw(CELL),
        group=draw(CELL),
        sha256=draw(CELL),
        pixels=draw(CELL),
        source_id=draw(CELL),
        regions=draw(st.just("") | PATH),
    )


@given(st.lists(rows(), max_size=5, unique_by=lambda r: r.image))
def test_whatever_is_written_is_read_back_in_the_same_order(table: list[Row]) -> None:
    assert manifest.read(manifest.write(table)) == table


@given(st.text('ab,"\n ', max_size=9))
def test_commas_quotes_and_line_ends_inside_a_cell_survive(text: str) -> None:
    row = replace(ROW, source_id=text)
    assert manifest.read(manifest.write([row])) == [row]


def test_the_text_has_unix_line_ends_and_one_header() -> None:
    text = manifest.write([ROW])
    assert "\r" not in text
    assert text.splitlines()[0] == ",".join(asdict(ROW))


def test_the_order_of_columns_does_not_matter() -> None:
    names, cells = (line.split(",") for line in manifest.write([ROW]).splitlines())
    assert manifest.read(f"{','.join(names[::-1])}\n{','.join(cells[::-1])}\n") == [ROW]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"role": "mixed"}, "role 'mixed' is none of compound, basic"),
        ({"split": "valid"}, "split 'valid' is none of train, val, test"),
        ({"label": "Sadly_Happy"}, "label 'Sadly_Happy' is no compound emotion"),
        ({"label": "anger"}, "label 'anger' is no compound emotion"),
        ({"role": "basic"}, "label 'Sadly_Angry' is no basic emotion"),
        ({"image": "/etc/a.png"}, "path '/etc/a.png' leaves the store"),
        ({"image": "images/../../a.png"}, "leaves the store"),
        ({"image": "images\\a.png"}, "leaves the store"),
        ({"regions": "../a.png"}, "path '../a.png' leaves the store"),
        ({"image": ""}, "image '' is empty"),
        ({"image": "images/first.png"}, "image 'images/first.png' is empty or listed twice"),
    ],
)
def test_a_faulty_row_is_refused_with_the_file_and_its_line(change: dict[str, str], message: str) -> None:
    table = [replace(ROW, image="images/first.png"), replace(ROW, **change)]
    with pytest.raises(ManifestError) as caught:
        manifest.read(manifest.write(table), "some.csv")
    assert str(caught.value).startswith("some.csv, line 3: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("column", manifest.COLUMNS)
def test_a_missing_column_is_named(column: str) -> None:
    text = ",".join(c for c in manifest.COLUMNS if c != column) + "\n"
    with pytest.raises(ManifestError, match=rf"column\(s\) {column} missing"):
        manifest.read(text)


def test_an_empty_file_lacks_its_columns() -> None:
    with pytest.raises(ManifestError, match="image, label"):
        manifest.read("")


def test_a_row_with_a_cell_too_many_is_refused() -> None:
    with pytest.raises(ManifestError, match="line 2: more or fewer cells than columns"):
        manifest.read(manifest.write([ROW]).rstrip("\n") + ",more\n")


def test_a_row_that_breaks_off_is_refused() -> None:
    with pytest.raises(ManifestError, match="line 2: more or fewer cells than columns"):
        manifest.read(manifest.write([ROW]).rsplit(",", 2)[0] + "\n")
