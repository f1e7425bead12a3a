"""Scores against numbers computed by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rafce import scoring

CLASSES = ("a", "b", "c", "d")
LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])
SAID = np.array([0, 0, 0, 1, 1, 0, 0, 3])  # class 3 is never true, class 2 never said


def probabilities(said: np.ndarray, classes: int, share: float = 0.7) -> np.ndarray:
    table = np.full((len(said), classes), (1 - share) / (classes - 1))
    table[np.arange(len(said)), said] = share
    return table


def test_every_score_is_the_one_computed_by_hand() -> None:
    score = scoring.score(LABELS, probabilities(SAID, 4), CLASSES)
    assert score["images"] == 8
    assert score["accuracy"] == pytest.approx(4 / 8)
    # a: 3 right of 5 said and 4 true; b: 1 right of 2 said and 2 true; c and d: none
    assert score["per_class"]["a"] == pytest.approx(
        {"precision": 3 / 5, "recall": 3 / 4, "f1": 2 / 3, "support": 4}
    )
    assert score["per_class"]["b"] == pytest.approx(
        {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    )
    assert score["per_class"]["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 2}
    assert score["per_class"]["d"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert score["macro_f1"] == pytest.approx((2 / 3 + 0.5) / 4)
    assert score["loss"] == pytest.approx(-(4 * math.log(0.7) + 4 * math.log(0.1)) / 8)


def test_the_confusion_matrix_has_true_classes_in_rows_and_predictions_in_columns() -> None:
    confusion = scoring.score(LABELS, probabilities(SAID, 4), CLASSES)["confusion"]
    assert confusion == [[3, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]]


def test_a_class_that_is_absent_from_a_split_counts_as_zero_in_the_macro_f1() -> None:
    labels = np.array([0, 1])
    assert scoring.macro_f1(labels, labels, classes=2) == pytest.approx(1)
    assert scoring.macro_f1(labels, labels, classes=4) == pytest.approx(0.5)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_the_confusion_matrix_agrees_with_accuracy_support_and_recall(pairs: list[tuple[int, int]]) -> None:
    labels, said = np.array(pairs).T
    score = scoring.score(labels, probabilities(said, 4), CLASSES)
    confusion = np.array(score["confusion"])
    assert confusion.sum() == score["images"] == len(pairs)
    assert confusion.trace() / len(pairs) == pytest.approx(score["accuracy"])
    for i, name in enumerate(CLASSES):
        row = score["per_class"][name]
        assert confusion[i].sum() == row["support"]
        assert confusion[i, i] == pytest.approx(row["recall"] * row["support"])
    assert score["macro_f1"] == pytest.approx(np.mean([c["f1"] for c in score["per_class"].values()]))


def test_a_certain_wrong_answer_has_a_finite_loss() -> None:
    assert math.isfinite(scoring.score(np.array([0]), np.array([[0.0, 1.0]]), ("a", "b"))["loss"])


def test_the_majority_is_of_the_training_split_and_scored_on_the_other() -> None:
    assert scoring.majority(np.array([2, 2, 2, 0, 0]), np.array([0, 0, 0, 2])) == pytest.approx(1 / 4)
    assert scoring.majority(np.array([1, 1]), np.array([0, 2])) == 0


def metrics(**runs: tuple[float, float]) -> dict:
    return {n: {"selected": {"val": {"accuracy": a, "macro_f1": f}}} for n, (a, f) in runs.items()}


@pytest.mark.parametrize(
    ("runs", "best"),
    [
        ({"run1": (0.4, 0.9), "run2": (0.5, 0.1)}, "run2"),
        ({"run1": (0.5, 0.2), "run2": (0.5, 0.3), "run3": (0.4, 0.9)}, "run2"),
        ({"second": (0.5, 0.3), "first": (0.5, 0.3)}, "second"),
        ({"only": (0.0, 0.0)}, "only"),
    ],
)
def test_the_best_run_is_by_accuracy_then_macro_f1_then_the_first_named(
    runs: dict[str, tuple[float, float]], best: str
) -> None:
    assert scoring.best_run(metrics(**runs)) == best
