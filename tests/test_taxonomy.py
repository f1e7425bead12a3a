"""Class names, their order and the published counts: the one place where an order is decided."""

import itertools

import pytest

from emotions.taxonomy import (
    BASIC,
    COMPOUND,
    RAFCE_COUNTS,
    components,
    compound_classes,
    compound_of,
    display,
    unit_numbers,
)

PUBLISHED_IDS = [
    "Happily surprised",
    "Happily disgusted",
    "Sadly fearful",
    "Sadly angry",
    "Sadly surprised",
    "Sadly disgusted",
    "Fearfully angry",
    "Fearfully surprised",
    "Fearfully disgusted",
    "Angrily surprised",
    "Angrily disgusted",
    "Disgustedly surprised",
    "Happily fearful",
    "Happily sad",
]


@pytest.mark.parametrize(("number", "name"), list(enumerate(PUBLISHED_IDS)))
def test_every_id_names_the_emotion_that_rafce_published_for_it(number: int, name: str) -> None:
    assert display(COMPOUND[number]) == name


def test_the_eleven_classes_keep_the_published_order_and_lack_the_three_that_rafdb_has_not() -> None:
    left_out = [c for c in compound_classes("rafce14") if c not in compound_classes("rafdb11")]
    assert [COMPOUND.index(c) for c in left_out] == [8, 12, 13]
    ids = [COMPOUND.index(c) for c in compound_classes("rafdb11")]
    assert ids == sorted(ids)
    assert len(ids) == 11


def test_the_order_is_not_that_of_folder_names() -> None:
    for name in ("rafdb11", "rafce14"):
        assert list(compound_classes(name)) != sorted(compound_classes(name))


@pytest.mark.parametrize(("name", "totals"), [("rafce14", (2709, 931, 909)), ("rafdb11", (2662, 917, 894))])
def test_published_counts_add_up_to_the_published_totals_of_train_val_test(
    name: str, totals: tuple[int, int, int]
) -> None:
    columns = zip(*(RAFCE_COUNTS[c] for c in compound_classes(name)), strict=True)
    assert tuple(map(sum, columns)) == totals


def test_angrily_disgusted_is_the_largest_class() -> None:
    for split in range(3):
        assert max(RAFCE_COUNTS, key=lambda c: RAFCE_COUNTS[c][split]) == "Angrily_Disgusted"


@pytest.mark.parametrize("label", COMPOUND)
def test_a_compound_is_found_again_from_its_two_emotions_in_either_order(label: str) -> None:
    first, second = components(label)
    assert {first, second} < set(BASIC)
    assert compound_of(first, second) == compound_of(second, first) == label


def test_only_happiness_with_anger_is_no_class_of_its_own() -> None:
    pairs = itertools.combinations(BASIC[:6], 2)
    assert [pair for pair in pairs if compound_of(*pair) is None] == [("happiness", "anger")]


@pytest.mark.parametrize("other", BASIC)
def test_neutral_and_an_emotion_with_itself_are_no_compound(other: str) -> None:
    assert compound_of("neutral", other) is None
    assert compound_of(other, other) is None


def test_numbers_of_action_units_leave_out_sides_and_strengths() -> None:
    assert unit_numbers("1+L12+RB18") == {1, 12, 18}
    assert unit_numbers("none") == set()
    assert unit_numbers("") is None, "not coded"
