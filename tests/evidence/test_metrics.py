"""Scores against numbers computed by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import top_k_accuracy_score

from emotions.evidence import metrics
from emotions.taxonomy import COMPOUND

CLASSES = ("a", "b", "c", "d")
LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])
SAID = np.array([0, 0, 0, 1, 1, 0, 0, 3])  # class 3 is never true, class 2 never said


def probabilities(said: np.ndarray, classes: int, share: float = 0.7) -> np.ndarray:
    table = np.full((len(said), classes), (1 - share) / (classes - 1))
    table[np.arange(len(said)), said] = share
    return table


def test_every_score_is_the_one_computed_by_hand() -> None:
    score = metrics.score(LABELS, probabilities(SAID, 4), CLASSES)
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
    confusion = metrics.score(LABELS, probabilities(SAID, 4), CLASSES)["confusion"]
    assert confusion == [[3, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]]


def test_a_class_that_is_absent_from_a_split_counts_as_zero_in_the_macro_f1() -> None:
    labels = np.array([0, 1])
    assert metrics.macro_f1(labels, labels, classes=2) == pytest.approx(1)
    assert metrics.macro_f1(labels, labels, classes=4) == pytest.approx(0.5)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_the_confusion_matrix_agrees_with_accuracy_support_and_recall(pairs: list[tuple[int, int]]) -> None:
    labels, said = np.array(pairs).T
    score = metrics.score(labels, probabilities(said, 4), CLASSES)
    confusion = np.array(score["confusion"])
    assert confusion.sum() == score["images"] == len(pairs)
    assert confusion.trace() / len(pairs) == pytest.approx(score["accuracy"])
    for i, name in enumerate(CLASSES):
        row = score["per_class"][name]
        assert confusion[i].sum() == row["support"]
        assert confusion[i, i] == pytest.approx(row["recall"] * row["support"])
    assert score["macro_f1"] == pytest.approx(np.mean([c["f1"] for c in score["per_class"].values()]))


def test_the_balanced_accuracy_is_the_mean_recall_of_the_classes_present() -> None:
    score = metrics.score(LABELS, probabilities(SAID, 4), CLASSES)
    assert score["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)


def test_the_macro_f1_of_ten_leaves_out_small_classes_but_not_what_is_said_of_their_images() -> None:
    labels = np.repeat([0, 1, 2], [10, 11, 9])
    said = np.repeat([0, 1, 0], [10, 11, 9])  # all images of the small class are called the first
    score = metrics.score(labels, probabilities(said, 3), CLASSES[:3])
    assert score["macro_f1_ten"] == pytest.approx((2 * 10 / (10 + 19) + 1) / 2)
    assert metrics.score(LABELS, probabilities(SAID, 4), CLASSES)["macro_f1_ten"] is None


def test_the_second_answer_counts_for_the_top_two_and_of_equals_the_first_named() -> None:
    table = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.4, 0.3, 0.3]])
    assert metrics.in_top_two(np.array([0, 1, 2, 2]), table).tolist() == [True, True, False, False]


def softmaxes(images: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    logits = np.exp(generator.normal(size=(images, classes)))
    return generator.integers(0, classes, images), logits / logits.sum(1, keepdims=True)


def test_the_top_two_accuracy_is_that_of_scikit_learn() -> None:
    labels, table = softmaxes(200, 5)
    score = metrics.score(labels, table, list("abcde"))
    assert score["top2_accuracy"] == pytest.approx(top_k_accuracy_score(labels, table, k=2, labels=range(5)))


def test_the_brier_score_is_summed_over_classes() -> None:
    sure = np.eye(3)[[0, 1, 2]]
    assert metrics.score(np.array([0, 1, 2]), sure, CLASSES[:3])["brier"] == pytest.approx(0)
    assert metrics.score(np.array([1, 2, 0]), sure, CLASSES[:3])["brier"] == pytest.approx(2)
    two = metrics.score(np.array([0, 1]), np.array([[0.7, 0.3], [0.9, 0.1]]), CLASSES[:2])
    assert two["brier"] == pytest.approx((2 * 0.3**2 + 2 * 0.9**2) / 2)
    labels, table = softmaxes(50, 4)
    assert metrics.squared_errors(labels, table).mean() == pytest.approx(
        metrics.score(labels, table, CLASSES)["brier"]
    )


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    # Five images of each confidence, so three bins: 5, 3 and 1 of 5 right.
    labels = np.array([0] * 5 + [0, 0, 0, 1, 1] + [0, 1, 1, 1, 1])
    confidence = np.repeat([0.9, 0.8, 0.6], 5)
    score = metrics.score(labels, np.stack([confidence, 1 - confidence], 1), CLASSES[:2])
    assert [row["images"] for row in score["reliability"]] == [5, 5, 5]
    assert [row["confidence"] for row in score["reliability"]] == pytest.approx([0.6, 0.8, 0.9])
    assert [row["accuracy"] for row in score["reliability"]] == pytest.approx([0.2, 0.6, 1.0])
    assert score["ece"] == pytest.approx((0.4 + 0.2 + 0.1) / 3)


def test_scores_by_class_are_those_counted_by_hand() -> None:
    found = metrics.per_class(np.array([0, 0, 0, 1, 2]), np.array([0, 0, 1, 1, 1]), ("a", "b", "c", "d"))
    by_hand = {
        "a": {"precision": 1.0, "recall": 2 / 3, "f1": 0.8, "support": 3},
        "b": {"precision": 1 / 3, "recall": 1.0, "f1": 0.5, "support": 1},
        "c": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
        "d": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0},
    }
    assert list(found) == list(by_hand)
    for name, scores in by_hand.items():
        assert found[name] == pytest.approx(scores)


def test_the_bins_hold_equally_many_images_and_agree_with_scikit_learn() -> None:
    labels, table = softmaxes(252, 11)  # no edge of a bin falls on an image
    rows = metrics.reliability(labels, table)
    assert {row["images"] for row in rows} == {16, 17}
    right, confidence = calibration_curve(
        table.argmax(1) == labels, table.max(1), n_bins=metrics.BINS, strategy="quantile"
    )
    assert [row["accuracy"] for row in rows] == pytest.approx(right)
    assert [row["confidence"] for row in rows] == pytest.approx(confidence)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40), st.randoms())
def test_neither_the_order_of_images_nor_that_of_classes_changes_a_score(pairs: list, random: object) -> None:
    labels, said = np.array(pairs).T
    # Equal confidences, as rounded ones can be; second places that differ.
    table = (probabilities(said, 4) + 0.02 * np.arange(4)) / 1.12
    images, classes = np.arange(len(labels)), np.arange(4)
    random.shuffle(images)  # type: ignore[attr-defined]
    random.shuffle(classes)  # type: ignore[attr-defined]
    base = metrics.score(labels, table, CLASSES)
    other = metrics.score(labels[images], table[images], CLASSES)
    renamed = metrics.score(np.argsort(classes)[labels], table[:, classes], CLASSES)
    assert other["reliability"] == [pytest.approx(row) for row in base["reliability"]]
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "top2_accuracy", "ece", "brier", "loss"):
        assert other[name] == pytest.approx(base[name])
        assert renamed[name] == pytest.approx(base[name])


def test_half_a_compound_counts_half() -> None:
    names = ("Happily_Surprised", "Happily_Disgusted", "Sadly_Angry", "Sadly_Surprised")
    said = np.array([0, 1, 2, 3])
    score = metrics.score(np.zeros(4, int), probabilities(said, 4), names)
    assert score["component_score"] == pytest.approx((1 + 0.5 + 0 + 0.5) / 4)


def test_the_overlap_is_the_share_of_emotions_in_common() -> None:
    classes = ("Happily_Surprised", "Sadly_Surprised", "Sadly_Angry", "Happily_Disgusted")
    overlap = metrics.component_overlap(classes)
    assert overlap is not None
    assert (2 * overlap).tolist() == [[2, 1, 0, 1], [1, 2, 1, 0], [0, 1, 2, 0], [1, 0, 0, 2]]


def test_no_two_compounds_are_the_same_two_emotions() -> None:
    overlap = metrics.component_overlap(COMPOUND)
    assert overlap is not None
    assert (overlap == overlap.T).all()
    assert (overlap.diagonal() == 1).all()
    assert ((overlap == 1).sum(1) == 1).all()


@pytest.mark.parametrize("names", [("a", "b"), ("happiness", "fear"), ("Happily_Surprised", "Some_Thing")])
def test_classes_that_are_no_compounds_have_no_component_score(names: tuple[str, str]) -> None:
    assert "component_score" not in metrics.score(np.array([0, 1]), probabilities(np.array([0, 0]), 2), names)


def test_a_certain_wrong_answer_has_a_finite_loss() -> None:
    assert math.isfinite(metrics.score(np.array([0]), np.array([[0.0, 1.0]]), ("a", "b"))["loss"])


def test_the_majority_is_of_the_training_split_and_scored_on_the_other() -> None:
    assert metrics.majority(np.array([2, 2, 2, 0, 0]), np.array([0, 0, 0, 2])) == pytest.approx(1 / 4)
    assert metrics.majority(np.array([1, 1]), np.array([0, 2])) == 0
