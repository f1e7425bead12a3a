"""Scores of predictions against labels. Fractions are in [0, 1]; classes are indices into the class list."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    recall_score,
)

from emotions.taxonomy import components

ENOUGH: Final = 10
"""Fewest true images for a class to count in `macro_f1_ten`; in a class of 4, one image moves recall by a
quarter."""

BINS: Final = 15
"""Bins of the calibration error, as in Guo et al. 2017."""


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Share of right predictions; both int [N]."""
    return float(accuracy_score(labels, predicted))


def macro_f1(labels: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Mean F1 over all `classes`; a class without support or predictions counts as 0."""
    return float(f1_score(labels, predicted, labels=range(classes), average="macro", zero_division=0))


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts, int [C, C]: rows true, columns predicted; `labels` and `predicted` are int [N]."""
    return confusion_matrix(labels, predicted, labels=range(classes))


def in_top_two(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Whether the true class is among the two most probable, bool [N]; ties go to the first class, as in
    `argmax`.

    Args:
        labels: int [N]. probabilities: float [N, C].
    """
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    return (top == labels[:, None]).any(1)


def squared_errors(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Brier score of each image, float [N] in [0, 2]: squared errors summed over classes.

    Args:
        labels: int [N]. probabilities: float [N, C].
    """
    return ((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(1)


def component_overlap(classes: Sequence[str]) -> np.ndarray | None:
    """Share of basic emotions that two compounds have in common: float [C, C] of 0, 0.5 and 1.

    Returns:
        None where a name is not a compound, e.g. for basic emotions.
    """
    try:
        emotions = [set(components(name)) for name in classes]
    except (KeyError, ValueError):
        return None
    return np.array([[len(one & other) / 2 for other in emotions] for one in emotions])


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Accuracy by confidence, in at most BINS bins of about equally many images.

    Bins have equal mass, not equal width. An 11-class network's answers crowd at some confidences, so equal
    widths would leave most of the range to a handful of images (Nixon et al. 2019, arXiv 1904.01685). Images
    of equal confidence share a bin, so that their order does not matter; empty bins are left out.

    Args:
        labels: int [N]. probabilities: float [N, C].

    Returns:
        Dicts with `images`, `confidence` (mean top probability) and `accuracy`, by rising confidence.
    """
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    edges = np.quantile(confidence, np.linspace(0, 1, BINS + 1))
    position = np.searchsorted(edges[1:-1], confidence)
    members = [position == i for i in np.unique(position)]
    return [
        {
            "images": int(inside.sum()),
            "confidence": float(confidence[inside].mean()),
            "accuracy": float(right[inside].mean()),
        }
        for inside in members
    ]


def per_class(
    labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support of each class by name; 0 where they are 0 / 0.

    Args:
        labels, predicted: int [N].
    """
    columns = precision_recall_fscore_support(labels, predicted, labels=range(len(classes)), zero_division=0)
    names = ("precision", "recall", "f1", "support")
    return {
        label: {name: column[i].item() for name, column in zip(names, columns, strict=True)}
        for i, label in enumerate(classes)
    }


def score(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """All scores of one split.

    Args:
        labels: int [N]. probabilities: float [N, C], rows sum to one. classes: C names, in the order of the
        columns.

    Returns:
        `images`, `loss` (mean cross-entropy), `accuracy`, `macro_f1`, `per_class` (name -> precision, recall,
        f1, support) and `confusion` (counts, rows true, columns predicted).

        `balanced_accuracy`: mean recall of the classes present. `macro_f1_ten`: mean F1 of the classes with
        at least ENOUGH true images in this split, None if no class has so many. `top2_accuracy`.
        `component_score`: mean share of the two basic emotions that the answer has right; absent where the
        classes are not compounds.

        `ece`: expected calibration error, the mean over images of |confidence - accuracy| of the bins in
        `reliability` (Naeini et al. 2015; Guo et al. 2017, arXiv 1706.04599). It cannot be negative, so
        chance alone lifts it, more so with fewer images in a bin. `brier`: mean squared error of the
        probabilities, summed over classes, in [0, 2].
    """
    predicted = probabilities.argmax(1)
    overlap = component_overlap(classes)
    bins = reliability(labels, probabilities)
    order = range(len(classes))
    by_class = per_class(labels, predicted, classes)
    enough = [one["f1"] for one in by_class.values() if one["support"] >= ENOUGH]
    return {
        "images": len(labels),
        "loss": float(log_loss(labels, probabilities, labels=list(order))),
        "accuracy": accuracy(labels, predicted),
        "macro_f1": macro_f1(labels, predicted, len(classes)),
        "balanced_accuracy": float(
            recall_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0)
        ),
        "macro_f1_ten": float(np.mean(enough)) if enough else None,
        "top2_accuracy": float(in_top_two(labels, probabilities).mean()),
        **({} if overlap is None else {"component_score": float(overlap[labels, predicted].mean())}),
        "ece": sum(row["images"] * abs(row["confidence"] - row["accuracy"]) for row in bins) / len(labels),
        "brier": float(brier_score_loss(labels, probabilities, labels=list(order), scale_by_half=False)),
        "reliability": bins,
        "per_class": by_class,
        "confusion": confusion(labels, predicted, len(classes)).tolist(),
    }


def majority(train_labels: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy on `labels` of always answering the most frequent class of `train_labels`."""
    return float(np.mean(labels == np.bincount(train_labels).argmax()))
