"""Verdicts follow from measurements, and from nothing else."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from emotions import params_file
from emotions.evidence.knobs import DiagnosisParams
from emotions.evidence.verdicts import VERDICTS, Change, Measured, diagnose, measured_of, trend

PARAMS = params_file.read(ROOT / "params.yaml", {"diagnosis": DiagnosisParams})["diagnosis"]
FLAT = [0.3] * 8
CALM = [1.5, 1.4, 1.3, 1.3]
SHARE = st.floats(0, 1)
COUNT = st.integers(0, 400)

# Known answers: measurements of runs whose fault is known because they were made so.
OVERFITTED = Measured(
    [(348, 400)], [(108, 250)], [0.4, 0.5, 0.6, 0.7, 0.8, 0.87], [1.5, 1.3, 1.4, 1.6, 1.9, 2.2]
)
UNDERFITTED = Measured([(144, 400)], [(80, 250)], [0.2, 0.3, 0.355, 0.36, 0.358, 0.36, 0.361, 0.36], CALM)
UNDER_TRAINED = Measured(
    [(144, 400)], [(80, 250)], [0.1, 0.15, 0.2, 0.24, 0.28, 0.36], CALM, longer=Change(0.1, (0.05, 0.15))
)
FORGOTTEN = Measured(
    [(300, 400)],
    [(180, 250)],
    [0.5, 0.6, 0.7, 0.75],
    CALM,
    retention=Change(-0.4, (-0.5, -0.3)),
    probe=Change(-0.2, (-0.26, -0.14)),
)
UNTRAINED_HEAD = Measured(
    [(40, 400)],
    [(25, 250)],
    [0.1] * 6,
    CALM,
    retention=Change(0.0, (-0.02, 0.02)),
    probe=Change(0.0, (-0.02, 0.02)),
)
HEALTHY = Measured(
    [(300, 400)],
    [(183, 250)],
    [0.5, 0.6, 0.7, 0.75],
    CALM,
    retention=Change(-0.01, (-0.05, 0.03)),
    probe=Change(0.05, (0.01, 0.09)),
    longer=Change(-0.01, (-0.035, 0.015)),
    seeds=[0.725, 0.73, 0.735],
)


def outcomes(measured: Measured) -> dict[str, str]:
    return {v["name"]: v["outcome"] for v in diagnose(measured, PARAMS)}


def supported(measured: Measured) -> set[str]:
    return {name for name, outcome in outcomes(measured).items() if outcome == "supported"}


@pytest.mark.parametrize(
    ("measured", "faults"),
    [
        (OVERFITTED, {"overfitting"}),
        (UNDERFITTED, {"underfitting"}),
        (UNDER_TRAINED, {"under-trained"}),
        (FORGOTTEN, {"catastrophic forgetting"}),
        (UNTRAINED_HEAD, {"underfitting"}),
        (HEALTHY, set()),
        (replace(HEALTHY, seeds=[0.5, 0.7, 0.9]), {"unstable"}),
        (replace(OVERFITTED, retention=FORGOTTEN.retention, probe=FORGOTTEN.probe, seeds=[0.2, 0.4, 0.5]),
         {"overfitting", "catastrophic forgetting", "unstable"}),
    ],
)  # fmt: skip
def test_a_run_with_a_known_fault_is_diagnosed_right(measured: Measured, faults: set[str]) -> None:
    assert supported(measured) == faults


def test_a_healthy_run_is_cleared_of_every_verdict() -> None:
    assert set(outcomes(HEALTHY).values()) == {"not supported"}


def test_an_untrained_head_is_told_from_forgetting() -> None:
    assert outcomes(UNTRAINED_HEAD)["catastrophic forgetting"] == "not supported"


def test_nothing_is_said_of_what_was_not_measured() -> None:
    bare = Measured([(120, 400)], [(80, 250)], [0.3], [1.5])
    found = outcomes(bare)
    for name in ("underfitting", "under-trained", "catastrophic forgetting", "unstable"):
        assert found[name] == "not measured"
    for one in ({"retention": FORGOTTEN.retention}, {"probe": FORGOTTEN.probe}):
        assert outcomes(replace(bare, **one))["catastrophic forgetting"] == "not measured"


@given(COUNT, COUNT, st.lists(SHARE, min_size=1, max_size=12))
def test_no_verdict_of_drift_or_length_without_its_measurement(
    right: int, val: int, curve: list[float]
) -> None:
    found = outcomes(Measured([(right, 400)], [(val, 400)], curve, CALM))
    assert {found[n] for n in ("under-trained", "catastrophic forgetting", "unstable")} == {"not measured"}


@given(COUNT, COUNT, COUNT, st.floats(1, 3))
def test_a_wider_gap_never_takes_back_overfitting(train: int, val: int, other: int, last_loss: float) -> None:
    losses = [1.0, last_loss]
    closer, wider = max(val, other), min(val, other)
    if outcomes(Measured([(train, 400)], [(closer, 400)], FLAT, losses))["overfitting"] == "supported":
        assert outcomes(Measured([(train, 400)], [(wider, 400)], FLAT, losses))["overfitting"] == "supported"


@given(COUNT, COUNT, st.floats(1, 3), st.floats(1, 3))
def test_a_loss_that_turns_up_more_never_takes_back_overfitting(
    train: int, val: int, one: float, other: float
) -> None:
    def with_loss(last: float) -> str:
        return outcomes(Measured([(train, 400)], [(val, 400)], FLAT, [1.0, last]))["overfitting"]

    if with_loss(min(one, other)) == "supported":
        assert with_loss(max(one, other)) == "supported"


def test_a_validation_loss_of_zero_divides_nothing() -> None:
    perfect = diagnose(Measured([(400, 400)], [(250, 250)], FLAT, [0.3, 0.0, 0.0]), PARAMS)
    (found,) = (v for v in perfect if v["name"] == "overfitting")
    assert found["evidence"]["loss_rise"] == -1 and found["outcome"] != "supported"
    turned = diagnose(Measured([(400, 400)], [(200, 250)], FLAT, [0.3, 0.0, 0.2]), PARAMS)
    assert turned[0]["evidence"]["loss_rise"] > 1e5 and turned[0]["outcome"] == "supported"


def network(right: int, of: int = 10) -> dict:
    """The scores of a network with so many validation images right at both epochs; accuracies are rounded."""
    tables = {"train": [[3, 1], [2, 4]], "val": [[right, of - right], [0, 0]]}
    return {
        "selected": {"val": {"accuracy": right / of}},
        "last": {
            split: {"confusion": table, "images": int(np.sum(table)), "accuracy": 0.1}
            for split, table in tables.items()
        },
    }


def test_counts_are_those_of_the_confusion_matrices_and_curves_are_means_over_seeds() -> None:
    """An accuracy times the images is rounded twice, and with 3 decimals of 1,000 images wrong."""
    columns = ("epoch", "train_accuracy", "val_loss", "seed")
    rows = [(1, 0.2, 3.0, 0), (2, 0.7, 1.0, 0), (1, 0.4, 2.0, 1), (2, 0.6, 2.0, 1)]
    history = pd.DataFrame(rows, columns=list(columns))
    against = {"difference": 0.0, "interval": [-0.1, 0.1]}
    probe = {"retention": None, "against_start": against}
    found = measured_of([network(2), network(3)], history, probe)
    assert (found.train, found.val) == ([(7, 10)] * 2, [(2, 10), (3, 10)])
    assert found.train_curve == pytest.approx([0.3, 0.65])
    assert found.val_losses == pytest.approx([2.5, 1.5])
    assert found.seeds == [0.2, 0.3]
    assert found.longer is None
    assert measured_of([network(2)], history, probe, longer=Change(0.1, (0.0, 0.2))).longer is not None


def test_one_seed_says_nothing_of_stability_and_two_that_lie_apart_do() -> None:
    alone = replace(HEALTHY, seeds=[0.7])
    assert outcomes(alone)["unstable"] == "not measured"
    assert outcomes(replace(HEALTHY, seeds=[0.5, 0.7, 0.9]))["unstable"] == "supported"


def test_a_gap_is_a_mean_over_seeds_and_seeds_that_scatter_make_it_less_sure() -> None:
    one = replace(HEALTHY, train=[(380, 400)], val=[(180, 250)])
    same = replace(HEALTHY, train=[(380, 400)] * 3, val=[(180, 250)] * 3)
    apart = replace(HEALTHY, train=[(380, 400)] * 3, val=[(130, 250), (180, 250), (230, 250)])
    (single, equal, scattered) = (diagnose(m, PARAMS)[0]["evidence"] for m in (one, same, apart))
    for key in ("gap", "low", "high"):
        assert equal[key] == pytest.approx(single[key]), "seeds share the images"
    assert scattered["gap"] == pytest.approx(single["gap"])
    assert scattered["low"] < single["low"] and scattered["high"] > single["high"]
    assert outcomes(same)["overfitting"] == "supported"
    assert outcomes(apart)["overfitting"] == "undecided"
    two = diagnose(replace(HEALTHY, train=[(400, 400)] * 2, val=[(0, 250), (250, 250)]), PARAMS)
    assert (two[0]["evidence"]["low"], two[0]["evidence"]["high"]) == (-1, 1)


def test_a_gap_that_chance_explains_is_no_overfitting() -> None:
    assert outcomes(Measured([(9, 10)], [(7, 10)], FLAT, CALM))["overfitting"] == "undecided"
    assert outcomes(Measured([(900, 1000)], [(700, 1000)], FLAT, CALM))["overfitting"] == "supported"


def test_a_small_gap_counts_when_the_validation_loss_has_turned_up() -> None:
    small = Measured([(300, 400)], [(160, 250)], FLAT, [1.0, 1.05])
    assert outcomes(small)["overfitting"] == "undecided"
    assert outcomes(replace(small, val_losses=[1.0, 1.2]))["overfitting"] == "supported"


@given(COUNT, COUNT, st.lists(SHARE, min_size=1, max_size=12))
def test_a_higher_train_accuracy_never_makes_a_run_underfitting(
    one: int, other: int, curve: list[float]
) -> None:
    low, high = sorted((one, other))
    if outcomes(Measured([(high, 400)], [(0, 400)], curve, CALM))["underfitting"] == "supported":
        assert outcomes(Measured([(low, 400)], [(0, 400)], curve, CALM))["underfitting"] == "supported"


def test_whether_a_low_accuracy_still_rises_is_judged_by_a_line_through_the_last_half_of_epochs() -> None:
    def found(curve: list[float]) -> str:
        return outcomes(Measured([(144, 400)], [(80, 250)], curve, CALM))["underfitting"]

    assert found([0.1, 0.2, 0.3, 0.4, 0.36, 0.361, 0.36, 0.36]) == "supported"
    assert found([0.1, 0.1, 0.1, 0.1, 0.15, 0.2, 0.25, 0.3]) == "not supported"
    assert found([0.1, 0.1, 0.1, 0.1, 0.3, 0.2, 0.35, 0.3]) == "undecided"
    assert found([0.3, 0.3, 0.3]) == "not measured"


def test_the_trend_is_the_change_of_the_fitted_line_with_the_scatter_around_it() -> None:
    exact = trend([0.0, 0.9, 0.1, 0.2, 0.3, 0.4])
    assert exact is not None
    assert exact.difference == pytest.approx(0.3)
    assert exact.interval == pytest.approx((0.3, 0.3))
    # By hand: slope 0.02, its standard error sqrt(0.008 / 2 / 5), three steps, t(0.975, 2) = 4.302653.
    noisy = trend([0.1, 0.2, 0.1, 0.2])
    assert noisy is not None
    assert noisy.difference == pytest.approx(0.06)
    assert noisy.interval[1] - 0.06 == pytest.approx(3 * 4.302653 * (0.008 / 2 / 5) ** 0.5)
    assert trend([0.1, 0.2, 0.3]) is None


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.01, 0.3), st.floats(0, 0.5))
def test_losing_more_never_takes_back_forgetting(
    retention: float, probe: float, reach: float, more: float
) -> None:
    def found(by: float) -> str:
        kept, probed = (Change(x - by, (x - by - reach, x - by + reach)) for x in (retention, probe))
        return outcomes(replace(HEALTHY, retention=kept, probe=probed))["catastrophic forgetting"]

    if found(0.0) == "supported":
        assert found(more) == "supported"


def test_forgetting_takes_both_the_source_task_and_the_probe() -> None:
    for kept in ("retention", "probe"):
        half = replace(FORGOTTEN, **{kept: Change(0.0, (-0.02, 0.02))})
        assert outcomes(half)["catastrophic forgetting"] == "not supported"
        vague = replace(FORGOTTEN, **{kept: Change(-0.2, (-0.5, 0.1))})
        assert outcomes(vague)["catastrophic forgetting"] == "undecided"


def test_every_verdict_gives_the_numbers_that_decided_it() -> None:
    evidence = {v["name"]: v["evidence"] for v in diagnose(FORGOTTEN, PARAMS)}
    assert evidence["overfitting"]["gap"] == pytest.approx(0.03)
    assert evidence["overfitting"]["low"] < 0.03 < evidence["overfitting"]["high"]
    assert evidence["catastrophic forgetting"] == {
        "retention": -0.4,
        "retention_low": -0.5,
        "retention_high": -0.3,
        "retention_threshold": PARAMS.retention_drop,
        "probe": -0.2,
        "probe_low": -0.26,
        "probe_high": -0.14,
        "probe_threshold": PARAMS.probe_drop,
    }
    assert evidence["unstable"] == {}


def test_verdicts_come_in_the_order_that_tables_head_their_columns_with() -> None:
    assert tuple(v["name"] for v in diagnose(HEALTHY, PARAMS)) == VERDICTS


@pytest.mark.parametrize(("epochs", "outcome"), [(3, "undecided"), (4, "not supported")])
def test_a_run_of_a_few_epochs_is_not_said_not_to_overfit(epochs: int, outcome: str) -> None:
    curve = HEALTHY.train_curve[-epochs:]
    assert outcomes(replace(HEALTHY, train_curve=curve))["overfitting"] == outcome
    gap = replace(HEALTHY, train=[(395, 400)], train_curve=curve)
    assert outcomes(gap)["overfitting"] == "supported", "that it does is seen at once"
