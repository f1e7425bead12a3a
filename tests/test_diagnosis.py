"""Verdicts follow from measurements, and from nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rafce.diagnosis import VERDICTS, DiagnosisParams, diagnose

PARAMS = DiagnosisParams(overfitting_gap=0.15, underfitting_train_accuracy=0.5, plateau=0.02)
FLAT = [0.3] * 6
SHARE = st.floats(0, 1)


def outcomes(train: float, val: float, curve: list[float]) -> dict[str, str]:
    return {v["name"]: v["outcome"] for v in diagnose(train, val, curve, PARAMS)}


@given(SHARE, SHARE, SHARE)
def test_a_wider_gap_never_takes_back_the_verdict_of_overfitting(
    train: float, val: float, lower: float
) -> None:
    closer, wider = max(val, lower), min(val, lower)
    if outcomes(train, closer, FLAT)["overfitting"] == "supported":
        assert outcomes(train, wider, FLAT)["overfitting"] == "supported"


@pytest.mark.parametrize(
    ("val", "outcome"), [(0.43, "supported"), (0.74, "not supported"), (0.95, "not supported")]
)
def test_overfitting_is_a_gap_over_the_threshold(val: float, outcome: str) -> None:
    assert outcomes(0.87, val, FLAT)["overfitting"] == outcome


@given(SHARE, SHARE, st.lists(SHARE, min_size=2, max_size=12))
def test_a_run_is_never_both_underfitting_and_under_trained_and_neither_when_it_fits(
    train: float, val: float, curve: list[float]
) -> None:
    found = outcomes(train, val, curve)
    low = {found["underfitting"], found["under-trained"]}
    assert low == ({"supported", "not supported"} if train < 0.5 else {"not supported"})


def test_a_low_accuracy_that_no_longer_rises_is_underfitting() -> None:
    found = outcomes(0.36, 0.3, [0.1, 0.2, 0.3, 0.35, 0.355, 0.36])
    assert (found["underfitting"], found["under-trained"]) == ("supported", "not supported")


def test_a_low_accuracy_that_still_rises_is_under_training() -> None:
    found = outcomes(0.36, 0.3, [0.1, 0.15, 0.2, 0.25, 0.3, 0.36])
    assert (found["underfitting"], found["under-trained"]) == ("not supported", "supported")


def test_whether_a_run_still_learns_is_judged_on_its_last_third_of_epochs() -> None:
    early, late = [0.1, 0.2, 0.3, 0.4, 0.4, 0.4], [0.1, 0.1, 0.1, 0.1, 0.2, 0.4]
    assert outcomes(0.4, 0.3, early)["underfitting"] == "supported"
    assert outcomes(0.4, 0.3, late)["under-trained"] == "supported"


def test_one_epoch_is_never_enough_to_call_a_run_underfitting() -> None:
    found = outcomes(0.1, 0.1, [0.1])
    assert (found["underfitting"], found["under-trained"]) == ("not measured", "not measured")


@given(SHARE, SHARE, st.lists(SHARE, min_size=1, max_size=6))
def test_forgetting_is_never_claimed_without_its_measurement(
    train: float, val: float, curve: list[float]
) -> None:
    assert outcomes(train, val, curve)["catastrophic forgetting"] == "not measured"


def test_the_evidence_gives_the_numbers_that_decided() -> None:
    evidence = {v["name"]: v["evidence"] for v in diagnose(0.87, 0.43, [0.5, 0.7, 0.87], PARAMS)}
    assert evidence["overfitting"] == {"gap": pytest.approx(0.44), "threshold": 0.15}
    for name in ("underfitting", "under-trained"):
        assert evidence[name] == {
            "train_accuracy": 0.87,
            "threshold": 0.5,
            "rise": pytest.approx(0.17),
            "curve": 0.87,
        }
    assert evidence["catastrophic forgetting"] == {}


def test_after_one_epoch_there_is_no_change_to_speak_of() -> None:
    evidence = {v["name"]: v["evidence"] for v in diagnose(0.87, 0.43, [0.87], PARAMS)}
    assert "rise" not in evidence["underfitting"]


def test_verdicts_come_in_the_order_that_tables_head_their_columns_with() -> None:
    assert tuple(v["name"] for v in diagnose(0.5, 0.5, FLAT, PARAMS)) == VERDICTS
