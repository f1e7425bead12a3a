"""The manifest: whatever is written is read back, and every fault is named with its line."""

from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotions.data import manifest
from emotions.data.manifest import LABELS, ManifestError, Row
from emotions.taxonomy import SPLITS

ROW = Row("images/a.png", "Sadly_Angry", "compound", "train", "1+4+L12", "", "ab", "cd", "a", "")

CELL = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
PART = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\."), min_size=1)
PATH = st.lists(PART, min_size=1, max_size=3).map("/".join)


UNIT = st.tuples(st.text("LRTB", max_size=2), st.integers(1, 99)).map(lambda unit: f"{unit[0]}{unit[1]}")
UNITS = st.sampled_from(["", "none"]) | st.lists(UNIT, min_size=1, max_size=4).map("+".join)
SHARES = st.just("") | st.lists(st.floats(0, 10), min_size=6, max_size=6).filter(any).map(
    manifest.shares_text
)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    role = draw(st.sampled_from(sorted(LABELS)))
    return Row(
        image=draw(PATH),
        label=draw(st.sampled_from(LABELS[role])),
        role=role,
        split=draw(st.sampled_from(SPLITS)),
        action_units=draw(UNITS),
        group=draw(CELL),
        sha256=draw(CELL),
        pixels=draw(CELL),
        source_id=draw(CELL),
        regions=draw(st.just("") | PATH),
        shares=draw(SHARES),
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
        ({"role": "mixed"}, "role 'mixed' is not one of compound, basic"),
        ({"split": "valid"}, "split 'valid' is not one of train, val, test"),
        ({"label": "Sadly_Happy"}, "label 'Sadly_Happy' is not a compound emotion"),
        ({"label": "anger"}, "label 'anger' is not a compound emotion"),
        ({"role": "basic"}, "label 'Sadly_Angry' is not a basic emotion"),
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


@pytest.mark.parametrize("units", ["0", "12++4", "l12", "null", "x", "1 + 4"])
def test_action_units_that_are_not_in_their_one_form_are_named_with_the_line(units: str) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.csv, line 2: "):
        manifest.read(manifest.write([replace(ROW, action_units=units)]))


@pytest.mark.parametrize("shares", ["1", "0 0 0 0 0 0", "1 0 0 0 0 -1", "nan 0 0 0 0 1", "a b c d e f"])
def test_shares_that_are_none_are_named_with_the_line(shares: str) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.csv, line 2: "):
        manifest.read(manifest.write([replace(ROW, shares=shares)]))


def test_shares_sum_to_one_in_the_order_of_the_six_emotions() -> None:
    shares = manifest.shares_of(replace(ROW, shares=manifest.shares_text([3, 0, 0, 1, 0, 0])))
    assert shares == (0.75, 0, 0, 0.25, 0, 0)
    assert manifest.shares_of(ROW) is None


FINGERPRINTED = [
    replace(ROW, image="images/a.jpg", sha256="1", pixels="2"),
    replace(ROW, image="images/b.png", sha256="3", pixels="4"),
]


def test_the_fingerprint_is_of_content_role_split_and_label_in_any_order_under_any_name() -> None:
    known = manifest.fingerprint(FINGERPRINTED)
    assert manifest.fingerprint(FINGERPRINTED[::-1]) == known
    renamed = [replace(r, image=f"x/{r.image}", source_id="z", group="g") for r in FINGERPRINTED]
    assert manifest.fingerprint(renamed) == known
    assert manifest.fingerprint(FINGERPRINTED[:1]) != known
    for changes in ({"label": "Sadly_Fearful"}, {"split": "val"}, {"role": "basic", "label": "anger"}):
        assert manifest.fingerprint([replace(FINGERPRINTED[0], **changes), FINGERPRINTED[1]]) != known


def test_the_fingerprint_takes_the_bytes_of_a_jpeg_and_the_pixels_of_a_png() -> None:
    jpeg, lossless = FINGERPRINTED
    known = manifest.fingerprint(FINGERPRINTED)
    assert manifest.fingerprint([replace(jpeg, pixels="9"), lossless]) == known
    assert manifest.fingerprint([jpeg, replace(lossless, sha256="9")]) == known
    assert manifest.fingerprint([replace(jpeg, sha256="9"), lossless]) != known
    assert manifest.fingerprint([jpeg, replace(lossless, pixels="9")]) != known
