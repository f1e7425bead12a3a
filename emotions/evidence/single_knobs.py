"""Pairs of runs that differ in one knob alone: experiments about that knob, seed by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from emotions.evidence.intervals import mean_interval
from emotions.evidence.verdicts import Change

WHERE_LEFT_OUT: Final = {"epochs": "epochs", "fraction": "fraction"}
"""Knob of a run -> the key of `train` that holds where the run leaves it out."""
MEASURED: Final = (("val", "macro_f1"), ("val", "accuracy"), ("test", "macro_f1"), ("test", "accuracy"))


@dataclass(frozen=True)
class SingleKnob:
    """Two runs that differ in `key` alone (titles aside): `values` of the first and the second.

    `by_seed`: the second's score less the first's, by seed; `changes`: their mean with its 95 % interval
    over seeds (Student's t), None with one seed. Both by `val_macro_f1`, `test_accuracy` ... `images`:
    training images of both.
    """

    key: str
    runs: tuple[str, str]
    values: tuple[Any, Any]
    images: tuple[int, int]
    by_seed: dict[str, list[float]]
    changes: dict[str, Change | None]


def settings(run: Mapping[str, Any], train: Mapping[str, Any]) -> dict[str, Any]:
    """All knobs of a run by dotted key, without its title; what it leaves out is as in `train`."""
    flat: dict[str, Any] = {}
    for key, value in run.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": one for inner, one in value.items()}
        elif key != "title":
            flat[key] = train[WHERE_LEFT_OUT[key]] if value is None and key in WHERE_LEFT_OUT else value
    return flat


def single_knobs(
    runs: Mapping[str, Mapping[str, Any]],
    train: Mapping[str, Any],
    networks: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[SingleKnob]:
    """Every pair of the study's runs that differ in one knob alone.

    Args:
        runs: knobs of every run with their defaults filled in. networks: by run of the study, the scores of
            each seed's network.
    """
    found = []
    for first, second in combinations(networks, 2):
        one, other = settings(runs[first], train), settings(runs[second], train)
        differing = [key for key in one | other if one.get(key) != other.get(key)]
        if len(differing) != 1:
            continue
        (key,) = differing
        by_seed = {
            f"{split}_{score}": [
                b["selected"][split][score] - a["selected"][split][score]
                for a, b in zip(networks[first], networks[second], strict=True)
            ]
            for split, score in MEASURED
        }
        found.append(
            SingleKnob(
                key,
                (first, second),
                (one.get(key), other.get(key)),
                tuple(networks[name][0]["train_images"] for name in (first, second)),
                by_seed,
                {name: _change(differences) for name, differences in by_seed.items()},
            )
        )
    return found


def _change(differences: Sequence[float]) -> Change | None:
    if len(differences) < 2:
        return None
    found = mean_interval(differences)
    low, high = (min(max(limit, -1.0), 1.0) for limit in found["interval"])
    return Change(found["mean"], (low, high))


def longer(run: str, knobs: Sequence[SingleKnob]) -> Change | None:
    """Validation accuracy of the longest training of a run's recipe less the run's own; None where there is
    no longer one, or a single seed."""
    longer_ones = [
        (max(one.values), one)
        for one in knobs
        if one.key == "epochs" and run in one.runs and one.values[one.runs.index(run)] == min(one.values)
    ]
    if not longer_ones:
        return None
    _, one = max(longer_ones, key=lambda pair: pair[0])
    change = one.changes["val_accuracy"]
    if change is None or one.runs[0] == run:
        return change
    low, high = change.interval
    return Change(-change.difference, (-high, -low))
