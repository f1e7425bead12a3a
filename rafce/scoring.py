"""Scores of predictions against labels. Fractions are in [0, 1]; classes are indices into the class list."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
)


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Share of right predictions; both int [N]."""
    return float(accuracy_score(labels, predicted))


def macro_f1(labels: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Mean F1 over all `classes`; a class without support or predictions counts as 0."""
    return float(f1_score(labels, predicted, labels=range(classes), average="macro", zero_division=0))


def score(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """All scores of one split.

    Args:
        labels: int [N]. probabilities: float [N, C], rows sum to one. classes: C names, in the order of the
        columns.

    Returns:
        `images`, `loss` (mean cross-entropy), `accuracy`, `macro_f1`, `per_class` (name -> precision, recall,
        f1, support) and `confusion` (counts, rows true, columns predicted).
    """
    predicted = probabilities.argmax(1)
    order = range(len(classes))
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=order, zero_division=0
    )
    return {
        "images": len(labels),
        "loss": float(log_loss(labels, probabilities, labels=list(order))),
        "accuracy": accuracy(labels, predicted),
        "macro_f1": macro_f1(labels, predicted, len(classes)),
        "per_class": {
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(classes)
        },
        "confusion": confusion_matrix(labels, predicted, labels=order).tolist(),
    }


def majority(train_labels: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy on `labels` of always saying the most frequent class of `train_labels`."""
    return float(np.mean(labels == np.bincount(train_labels).argmax()))


def best_run(metrics: Mapping[str, dict[str, Any]]) -> str:
    """Name of the run with the best validation accuracy, then macro-F1, then the first named."""

    def merit(name: str) -> tuple[float, float]:
        val = metrics[name]["selected"]["val"]
        return val["accuracy"], val["macro_f1"]

    return max(metrics, key=merit)
