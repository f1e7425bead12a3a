"""The records of one run's networks, one a seed, as one: means, with intervals over images and seeds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from emotions.evidence import crossed

VALUES: Final = ("difference", "mean", "ratio", "recall", "accuracy")
"""The number that an `interval` beside it belongs to; the first that is there."""
SCORES: Final = (
    *("accuracy", "balanced_accuracy", "macro_f1", "macro_f1_ten", "top2_accuracy", "component_score"),
    *("ece", "brier"),
)
"""Scores of a split whose standard deviation over seeds is reported."""
REACH: Final = {"difference": (-1.0, 1.0), "recall": (0.0, 1.0), "accuracy": (0.0, 1.0)}
"""Limits of a number whose interval is cut to them; scores of a split that are not named lie in [0, 1]."""


class SeedsDisagreeError(ValueError):
    """Records that should differ in numbers alone differ in more."""


def pooled(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One record of the same shape: numbers are means over seeds, confusion matrices are sums.

    An `interval` covers images and seeds (`crossed.over_seeds`), and a `p` beside it follows. The scores of
    a split get `sd`, their standard deviations over seeds; with one seed there are none. Bins of a
    `reliability` curve are merged by confidence (`_reliability`).

    Raises:
        SeedsDisagreeError: the records have other keys, texts or lengths.
    """
    return _dict(records, "")


def _dict(records: Sequence[Mapping[str, Any]], where: str) -> dict[str, Any]:
    first = records[0]
    if any(record.keys() != first.keys() for record in records):
        raise SeedsDisagreeError(f"{where or 'records'}: seeds have other keys; rerun the older stages")
    found = {
        key: _value([record[key] for record in records], f"{where}.{key}".lstrip("."))
        for key in first
        if key not in ("seed", "interval", "intervals", "recall_intervals", "reliability", "p")
    }
    if "seed" in first:
        found["seeds"] = [record["seed"] for record in records]
    if len(records) == 1:
        return {**first, **found} if "seed" not in first else {**_without(first, "seed"), **found}
    if "interval" in first:
        name = next((name for name in VALUES if name in first), None)
        found |= _interval([(r[name], r["interval"]) for r in records] if name else [], "p" in first)
        found["interval"] = _inside(found["interval"], *REACH.get(name or "", (-np.inf, np.inf)))
    if "intervals" in first:
        found["intervals"] = {
            score: _inside(
                _interval([(r[score], r["intervals"][score]) for r in records], False)["interval"],
                0.0,
                2.0 if score == "brier" else 1.0,
            )
            for score in first["intervals"]
            if all(score in r["intervals"] for r in records)  # resampling may not give each network one
        }
    if "recall_intervals" in first:
        found["recall_intervals"] = {
            label: _inside(
                _interval(
                    [(r["per_class"][label]["recall"], r["recall_intervals"][label]) for r in records], False
                )["interval"],
                *REACH["recall"],
            )
            for label in first["recall_intervals"]
        }
    if "reliability" in first:
        found["reliability"] = _reliability([r["reliability"] for r in records])
    if "confusion" in first:
        found["sd"] = {
            score: float(np.std([r[score] for r in records], ddof=1))
            for score in SCORES
            if first.get(score) is not None
        }
    return found


def _inside(interval: Sequence[float] | None, low: float, high: float) -> list[float] | None:
    """An interval, cut to where its number can be."""
    return None if interval is None else [float(min(max(limit, low), high)) for limit in interval]


def _reliability(by_seed: Sequence[Sequence[Mapping[str, float]]]) -> list[dict[str, float]]:
    """The bins of all seeds by rising confidence, as many in a row merged as there are seeds.

    Seeds may have other numbers of bins (`metrics.reliability`). `images` is a mean over seeds, so that the
    bins' sum stays that of the split; confidence and accuracy are means over the images.
    """
    bins = sorted((one for bins in by_seed for one in bins), key=lambda one: one["confidence"])
    merged = [bins[i : i + len(by_seed)] for i in range(0, len(bins), len(by_seed))]
    return [
        {"images": sum(one["images"] for one in row) / len(by_seed)}
        | {
            key: float(np.average([one[key] for one in row], weights=[one["images"] for one in row]))
            for key in ("confidence", "accuracy")
        }
        for row in merged
    ]


def _without(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k != key}


def _interval(measured: Sequence[tuple[float | None, Any]], tested: bool) -> dict[str, Any]:
    """`interval`, and `p` where tested; None where a seed has none."""
    nothing = {"interval": None} | ({"p": None} if tested else {})
    if not measured or any(value is None or interval is None for value, interval in measured):
        return nothing
    values, intervals = zip(*measured, strict=True)
    found = crossed.over_seeds(values, intervals)
    return {"interval": found["interval"]} | ({"p": found["p"]} if tested else {})


def _value(values: Sequence[Any], where: str) -> Any:
    first = values[0]
    if isinstance(first, Mapping) and all(isinstance(v, Mapping) for v in values):
        return _dict(values, where)
    if where.endswith("confusion"):
        return np.sum(values, axis=0).tolist()
    if isinstance(first, list) and all(isinstance(v, list) for v in values):
        if len({len(v) for v in values}) > 1:
            raise SeedsDisagreeError(f"{where}: seeds have lists of other lengths; rerun the older stages")
        return [_value(items, where) for items in zip(*values, strict=True)]
    if all(v == first for v in values):
        return first
    if any(v is None for v in values):
        return None
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return math.fsum(values) / len(values)
    if all(isinstance(v, bool) for v in values):
        return all(values)
    raise SeedsDisagreeError(f"{where}: seeds have {first!r} and others; rerun the older stages")
