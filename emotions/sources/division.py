"""Divides validation and test images off the training images of a set that lacks these splits."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emotions.random_streams import stream_seed
from emotions.sources.sample import SourceError


def divide(
    labels: Sequence[str], persons: Sequence[str], *, val: float, test: float, seed: int, where: Path
) -> list[str]:
    """The split of each image: about the share `test` in test, `val` in val, the others in train.

    Each split has about the same share of every class, and all images of a person. A share is met as one of
    `round(1 / share)` folds of scikit-learn's `StratifiedGroupKFold`; small sets and persons with many images
    move it further.

    Args:
        labels: the class of each image. persons: the person of each image; an empty name is a person of
            its own.

    Raises:
        SourceError: fewer persons, or images of the largest class, than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # a second to import: only where it is asked for

    splits = np.full(len(labels), "train", dtype=object)
    classes = np.array(labels)
    groups = np.array([person or f"image {i}" for i, person in enumerate(persons)])
    left = 1.0
    for split, share in (("test", test), ("val", val)):
        if not share:
            continue
        rest = np.flatnonzero(splits == "train")
        folds = max(2, round(left / share))
        most = max(Counter(classes[rest]).values())
        if min(len(set(groups[rest])), most) < folds:
            raise SourceError(
                f"{where}: a share of {share:g} for {split} is one of {folds} parts, and there are only "
                f"{len(set(groups[rest])):,} persons and at most {most:,} images of a class; "
                "raise the share or add images"
            )
        folding = StratifiedGroupKFold(
            folds, shuffle=True, random_state=stream_seed(seed, "division", split) % 2**32
        )
        with (
            warnings.catch_warnings()
        ):  # of classes with fewer images than folds, which metrics/data.json counts
            warnings.simplefilter("ignore", UserWarning)
            _, chosen = next(folding.split(classes[rest], classes[rest], groups[rest]))
        splits[rest[chosen]] = split
        left -= share
    return list(splits)
