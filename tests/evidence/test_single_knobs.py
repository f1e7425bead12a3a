"""Pairs of runs that differ in one knob: found by their settings, compared seed by seed."""

from typing import Any

import pytest
from small_study import CONFUSION, OTHER_CONFUSION, networks, recipe

from emotions.evidence.intervals import mean_interval
from emotions.evidence.single_knobs import SingleKnob, longer, settings, single_knobs

TRAIN = {"epochs": 10, "fraction": 1.0, "batch_size": 16}
WORSE = [[0, 3, 3], [2, 1, 0], [1, 0, 0]]


def found(*seeds: int, **runs: dict[str, Any]) -> list[SingleKnob]:
    """Pairs among runs with these differences; all but the first have other answers than it."""
    seeds = seeds or (0, 1)
    knobs = {name: recipe(f"Title of {name}", **own).model_dump() for name, own in runs.items()}
    first, *others = runs
    val = (CONFUSION, OTHER_CONFUSION)[: len(seeds)]
    by_run = {first: networks(first, "Title", *val, seeds=seeds)}
    by_run |= {name: networks(name, "Title", WORSE, seeds=seeds) for name in others}
    return single_knobs(knobs, TRAIN, by_run)


def test_a_pair_that_differs_in_its_title_and_one_knob_is_found() -> None:
    (one,) = found(run1={}, run1_mixup={"mixup_alpha": 0.0})
    assert (one.key, one.runs, one.values) == ("mixup_alpha", ("run1", "run1_mixup"), (0.4, 0.0))
    assert one.images == (10, 10)


@pytest.mark.parametrize(
    ("own", "key", "values"),
    [
        ({"epochs": 30}, "epochs", (10, 30)),
        ({"fraction": 0.5}, "fraction", (1.0, 0.5)),
        ({"lr": {"body": 1e-5, "head": 1e-3, "decay": 0.5}}, "lr.decay", (1.0, 0.5)),
        ({"lr": {"body": 1e-5, "head": 1e-2}}, "lr.head", (1e-3, 1e-2)),
        ({"trainable_parts": ["head"]}, "trainable_parts", (["layer4", "head"], ["head"])),
    ],
)
def test_what_a_run_leaves_out_is_as_in_train_or_by_default(
    own: dict[str, Any], key: str, values: tuple[Any, Any]
) -> None:
    (one,) = found(run1={}, other=own)
    assert (one.key, one.values) == (key, values)


def test_runs_that_differ_in_two_knobs_or_none_are_no_experiment() -> None:
    assert found(run1={}, two={"dropout": 0.0, "mixup_alpha": 0.0}) == []
    assert found(run1={}, same={}) == []
    assert found(run1={}, same={"epochs": 10, "fraction": 1.0}) == [], "as train has them"


def test_every_pair_of_a_family_is_found_in_the_order_of_the_study() -> None:
    pairs = [one.runs for one in found(b={}, a={"fraction": 0.5}, c={"fraction": 0.25}, d={"dropout": 0.0})]
    assert pairs == [("b", "a"), ("b", "c"), ("b", "d"), ("a", "c")]


def test_the_second_less_the_first_is_taken_seed_by_seed_with_students_interval() -> None:
    (one,) = found(run1={}, other={"dropout": 0.0})
    assert one.by_seed["val_accuracy"] == pytest.approx([0.1 - 0.5, 0.1 - 0.4])
    change, by_hand = one.changes["val_accuracy"], mean_interval([-0.4, -0.3])
    assert change is not None
    assert change.difference == pytest.approx(-0.35)
    assert change.interval == pytest.approx(tuple(by_hand["interval"]))
    assert set(one.by_seed) == {"val_macro_f1", "val_accuracy", "test_macro_f1", "test_accuracy"}


def test_one_seed_gives_a_difference_without_an_interval() -> None:
    (one,) = found(3, run1={}, other={"dropout": 0.0})
    assert one.by_seed["val_accuracy"] == pytest.approx([-0.4])
    assert set(one.changes.values()) == {None}


def test_a_longer_training_is_compared_from_whichever_side_it_is_named() -> None:
    after = longer("run1", found(run1={}, run1_longer={"epochs": 30}))
    assert after is not None
    assert after.difference == pytest.approx(-0.35)
    before = longer("run1", found(run1_longer={"epochs": 30}, run1={}))
    assert before is not None
    assert before.difference == pytest.approx(0.35)
    assert before.interval == pytest.approx(tuple(-limit for limit in after.interval[::-1]))


def test_the_longest_training_decides_and_a_shorter_one_never_does() -> None:
    family = found(run1={}, run1_longer={"epochs": 30}, run1_longest={"epochs": 60}, run1_short={"epochs": 5})
    assert longer("run1", family) == next(
        one.changes["val_accuracy"] for one in family if one.runs == ("run1", "run1_longest")
    )
    assert longer("run1_longest", family) is None
    assert longer("run2", family) is None
    assert longer("run1", found(3, run1={}, run1_longer={"epochs": 30})) is None, "one seed decides nothing"


def test_settings_are_flat_and_know_no_title() -> None:
    flat = settings(recipe("Title").model_dump(), TRAIN)
    assert "title" not in flat and "lr" not in flat
    assert (flat["lr.body"], flat["epochs"], flat["fraction"]) == (1e-5, 10, 1.0)
