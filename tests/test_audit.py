"""The audit: no image is trained on and tested on, and what was dropped is on record."""

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from conftest import class_picture, png
from hypothesis import given
from hypothesis import strategies as st

from rafce import audit
from rafce.manifest import LABELS, Row
from rafce.sources.base import Sample, SourceError
from rafce.taxonomy import SPLITS, compound_classes


def row(name: str, split: str, role: str = "compound", label: str = "", pixels: str = "same") -> Row:
    label = label or LABELS[role][0]
    return Row(f"images/{role}/{split}/{label}/{name}.png", label, role, split, "", "", "", pixels, name)


def test_the_identity_of_a_sample_is_of_its_bytes_and_its_pixels() -> None:
    content = class_picture(0, 0)
    sample = Sample("0001", "Sadly_Angry", "compound", "val", content, ".png", "1+4", "person", b"map")
    found, files = audit.identify(sample)
    assert found.image == "images/compound/val/Sadly_Angry/0001.png"
    assert files == {found.image: content, "regions/compound/val/Sadly_Angry/0001.png": b"map"}
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert (found.action_units, found.group, found.source_id) == ("1+4", "person", "0001")
    other = audit.identify(Sample("0002", "Sadly_Angry", "compound", "val", class_picture(0, 1), ".png"))[0]
    assert other.pixels != found.pixels
    assert other.regions == ""


def test_a_copy_in_another_container_has_the_same_pixels_and_another_hash_of_bytes() -> None:
    pixels = np.zeros((32, 32), np.uint8)
    grey, colour = (
        audit.identify(Sample("a", "anger", "basic", "train", png(p), ".png"))[0]
        for p in (pixels, np.stack([pixels] * 3, 2))
    )
    assert grey.pixels == colour.pixels
    assert grey.sha256 != colour.sha256


@pytest.mark.parametrize("order", list(itertools.permutations(SPLITS)))
def test_of_copies_the_test_image_is_kept_then_the_validation_image(order: Sequence[str]) -> None:
    kept, dropped = audit.drop_copies([row(s, s) for s in order])
    assert [r.split for r in kept] == ["test"]
    assert {r.split for r, _ in dropped} == {"train", "val"}
    assert all(by.split == "test" for _, by in dropped)
    kept, _ = audit.drop_copies([row(s, s) for s in order if s != "test"])
    assert [r.split for r in kept] == ["val"]


def test_a_compound_image_is_kept_before_a_basic_copy_of_whatever_split() -> None:
    rows = [row("a", "test", "basic"), row("b", "train", "compound")]
    for given_order in (rows, rows[::-1]):
        kept, dropped = audit.drop_copies(given_order)
        assert kept == [rows[1]]
        assert dropped == [(rows[0], rows[1])]


ROWS = st.lists(
    st.builds(
        lambda name, split, role, pixels: row(str(name), split, role, pixels=pixels),
        st.integers(0, 99),
        st.sampled_from(SPLITS),
        st.sampled_from(sorted(LABELS)),
        st.sampled_from("abcde"),
    ),
    max_size=12,
    unique_by=lambda r: r.image,
)


@given(ROWS, st.randoms())
def test_no_picture_is_kept_twice_none_is_lost_and_the_order_of_the_source_does_not_matter(
    rows: list[Row], random: object
) -> None:
    kept, dropped = audit.drop_copies(rows)
    assert len({r.pixels for r in kept}) == len(kept)
    assert {r.pixels for r in kept} == {r.pixels for r in rows}
    assert sorted([r.image for r in kept] + [r.image for r, _ in dropped]) == sorted(r.image for r in rows)
    assert all(by in kept and by.pixels == r.pixels for r, by in dropped)
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert audit.drop_copies(shuffled) == (kept, dropped)


def test_rows_kept_are_compound_first_then_by_split_and_name() -> None:
    rows = [row(f"{s}{n}", s, r, pixels=f"{r}{s}{n}") for r in LABELS for s in SPLITS for n in "ab"]
    kept, _ = audit.drop_copies(rows[::-1])
    assert [(r.role, r.split) for r in kept[::2]] == [(r, s) for r in ("compound", "basic") for s in SPLITS]
    assert [r.source_id[-1] for r in kept] == ["a", "b"] * 6


def test_only_the_classes_of_the_study_are_kept_and_all_basic_rows() -> None:
    rows = [row(s, s, label="Sadly_Angry") for s in SPLITS]
    basic = row("b", "train", "basic")
    chosen = audit.only_classes([*rows, row("x", "train", label="Happily_Sad"), basic], ["Sadly_Angry"])
    assert chosen == [*rows, basic]


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_without_images_of_the_classes_is_named(split: str) -> None:
    rows = [row(s, s, label="Sadly_Angry") for s in SPLITS if s != split]
    rows += [row("x", split, label="Happily_Sad"), row("b", split, "basic")]
    with pytest.raises(SourceError, match=f"no compound image of the study's classes in split {split}"):
        audit.only_classes(rows, compound_classes("rafdb11"))


def test_counts_hold_every_class_and_split_and_tell_copies_by_role_and_split() -> None:
    kept = [
        row("a", "train", label="Sadly_Angry"),
        row("b", "train", label="Sadly_Angry"),
        row("c", "val", label="Sadly_Fearful"),
        row("d", "test", "basic", "anger"),
    ]
    dropped = [
        (row("e", "train", label="Sadly_Fearful"), kept[0]),
        (row("f", "val", label="Sadly_Angry"), kept[0]),
        (row("g", "train", "basic", "anger"), kept[3]),
    ]
    counts = audit.counts("files", kept, dropped, ("Sadly_Fearful", "Sadly_Angry"))
    assert counts["classes"] == list(counts["compound"]) == ["Sadly_Fearful", "Sadly_Angry"]
    assert counts["compound"]["Sadly_Angry"] == {"train": 2, "val": 0, "test": 0}
    assert counts["compound"]["Sadly_Fearful"] == {"train": 0, "val": 1, "test": 0}
    assert counts["basic"]["anger"] == {"train": 0, "val": 0, "test": 1}
    assert len(counts["basic"]) == 7
    assert counts["copies_dropped"]["compound"] == {"train": 1, "val": 1, "test": 0}
    assert counts["copies_dropped"]["basic"] == {"train": 1, "val": 0, "test": 0}
    assert counts["copies_with_another_label"] == 1
    assert counts["with_action_units"] == 0


def test_counts_name_no_image() -> None:
    kept = [row("secret", s, label="Sadly_Angry") for s in SPLITS]
    assert "secret" not in str(audit.counts("files", kept, [(kept[0], kept[1])], ("Sadly_Angry",)))


def test_the_list_of_dropped_images_says_what_was_kept_instead() -> None:
    lost, kept = row("a", "train", label="Sadly_Fearful"), row("b", "test", label="Sadly_Angry")
    assert audit.dropped_csv([(lost, kept)]) == (
        "image,label,split,reason,kept,kept_label,kept_split\n"
        f"{lost.image},Sadly_Fearful,train,pixel copy,{kept.image},Sadly_Angry,test\n"
    )
