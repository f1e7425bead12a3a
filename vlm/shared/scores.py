"""Scores of answers, which may lie outside the classes; `metrics` scores probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_fscore_support

from emotions.evidence import intervals, metrics


def score(
    labels: np.ndarray,
    answers: np.ndarray,
    classes: Sequence[str],
    *,
    replicates: int,
    draws: np.random.Generator,
) -> dict[str, Any]:
    """Scores of one split with 95 % intervals, as `metrics` and `intervals` define them.

    An answer outside the classes is wrong: it lowers the recall of its true class and the precision of none.

    Args:
        labels: int [N], 0 to C - 1. answers: int [N], 0 to C; C stands for every answer outside. classes: C
            names. replicates, draws: as for `intervals.resample`.

    Returns:
        `images`, `accuracy`, `macro_f1`, `balanced_accuracy`, `component_score`, `outside` (share of answers
        outside), `intervals` of these, `per_class` (precision, recall, f1, support), `confusion` (counts
        [C, C + 1]; the last column counts answers outside).
    """
    count, images = len(classes), len(labels)
    present = np.unique(labels)
    weights = np.vstack([np.ones(images), intervals.resample(labels, replicates, draws)])
    recall, f1 = intervals.recall_and_f1(weights, labels, answers, classes=count)
    overlap = metrics.component_overlap(classes)
    if overlap is None:
        raise ValueError(f"not compound emotions: {', '.join(classes)}")
    shared = np.hstack([overlap, np.zeros((count, 1))])[labels, answers]
    drawn = {
        "macro_f1": f1.mean(1),
        "balanced_accuracy": recall[:, present].mean(1),
        "component_score": weights @ shared / images,
    }
    limits_of = {
        "accuracy": intervals.wilson(int((answers == labels).sum()), images),
        "outside": intervals.wilson(int((answers == count).sum()), images),
    }
    for name, value in drawn.items():
        low, high = intervals.bounds(value[0], value[1:])
        limits_of[name] = None if np.isnan(low) else [float(low), float(high)]
    precision, each_recall, each_f1, support = precision_recall_fscore_support(
        labels, answers, labels=range(count), zero_division=0
    )
    return {
        "images": images,
        "accuracy": metrics.accuracy(labels, answers),
        "macro_f1": metrics.macro_f1(labels, answers, count),
        "balanced_accuracy": float(drawn["balanced_accuracy"][0]),
        "component_score": float(drawn["component_score"][0]),
        "outside": float((answers == count).mean()),
        "intervals": {name: limits for name, limits in limits_of.items() if limits is not None},
        "per_class": {
            name: {
                "precision": float(precision[i]),
                "recall": float(each_recall[i]),
                "f1": float(each_f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(classes)
        },
        "confusion": metrics.confusion(labels, answers, count + 1)[:count].tolist(),
    }


def unit_scores(
    named: Sequence[frozenset[int] | None],
    coded: Sequence[frozenset[int] | None],
    permutations: int,
    *,
    draws: np.random.Generator,
) -> dict[str, Any] | None:
    """Agreement of the action units that answers name with the coded ones; None where none are coded.

    Args:
        named: by image; None where the answer has no such line, which counts as naming none. coded: by image;
            None where they are unknown; such images are left out.

    Returns:
        `images`, `said` (share of answers with such a line), micro-averaged `precision` (None where no unit
        is named) and `recall`; `chance_precision`, `chance_recall`: their means over `permutations` random
        assignments of coded units to answers, the level that the model's habits and the units' frequencies
        reach without looking.
    """
    known = [i for i, units in enumerate(coded) if units is not None]
    if not known:
        return None
    units = sorted(set[int]().union(*(coded[i] or () for i in known), *(named[i] or () for i in known)))
    said, true = (
        np.array([[u in (some[i] or ()) for u in units] for i in known], dtype=bool).reshape(len(known), -1)
        for some in (named, coded)
    )
    answered, present = int(said.sum()), int(true.sum())
    hits = int((said & true).sum())
    shuffled = float(
        np.mean([(said & true[draws.permutation(len(known))]).sum() for _ in range(permutations)])
    )
    return {
        "images": len(known),
        "said": float(np.mean([named[i] is not None for i in known])),
        "precision": hits / answered if answered else None,
        "recall": hits / present if present else None,
        "chance_precision": shuffled / answered if answered else None,
        "chance_recall": shuffled / present if present else None,
    }
