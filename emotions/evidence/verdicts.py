"""From measured evidence to a verdict on a run. No verdict without its measurement."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from emotions.evidence import crossed
from emotions.evidence.knobs import DiagnosisParams

Outcome = Literal["supported", "not supported", "undecided", "not measured"]
"""`undecided`: measured, but too close to call. `not measured`: no measurement could decide."""

VERDICTS: Final = ("overfitting", "underfitting", "under-trained", "catastrophic forgetting", "unstable")
NO_LOSS: Final = 1e-6
"""Cross-entropy that counts as zero: every answer is right and certain."""
TREND_EPOCHS: Final = 4
"""Fewest epochs for a trend: with fewer, a line leaves too few residuals for an interval."""


@dataclass(frozen=True)
class Change:
    """A difference of accuracies, new minus old, and its 95 % interval; fractions."""

    difference: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """Measurements of one run; None where not measured.

    `train`, `val`: right answers and clean images at the last epoch, of each seed. `train_curve`,
    `val_losses`: by epoch, means over seeds.
    `retention`: accuracy on the source task, after minus before. `probe`: accuracy of a linear probe, on
    fine-tuned minus on pretrained features. `longer`: validation accuracy of a longer run of the same recipe
    minus this one's. `seeds`: validation accuracy by seed.
    """

    train: Sequence[tuple[int, int]]
    val: Sequence[tuple[int, int]]
    train_curve: Sequence[float]
    val_losses: Sequence[float]
    retention: Change | None = None
    probe: Change | None = None
    longer: Change | None = None
    seeds: Sequence[float] | None = None


def measured_of(
    networks: Sequence[Mapping[str, Any]],
    history: pd.DataFrame,
    probe: Mapping[str, Any],
    *,
    longer: Change | None = None,
) -> Measured:
    """Collect a run's evidence from the stages `evaluate`, `train` and `probe`: scores at the last epoch, the
    curves, and the measured drift from the start."""
    retention, by_epoch = probe["retention"], history.groupby("epoch").mean()
    measurable = retention and retention["measurable"]
    train, val = (
        [(int(np.trace(n["last"][s]["confusion"])), n["last"][s]["images"]) for n in networks]
        for s in ("train", "val")
    )
    return Measured(
        train=train,
        val=val,
        train_curve=by_epoch["train_accuracy"].tolist(),
        val_losses=by_epoch["val_loss"].tolist(),
        retention=change_of(retention) if measurable else None,
        probe=change_of(probe["against_start"]),
        longer=longer,
        seeds=[n["selected"]["val"]["accuracy"] for n in networks],
    )


@dataclass(frozen=True)
class Verdict:
    """One of VERDICTS, whether the evidence supports it, and the fractions that decided it, by name."""

    name: str
    outcome: Outcome
    evidence: dict[str, float]


def trend(curve: Sequence[float]) -> Change | None:
    """Change of a curve over its last half, at least TREND_EPOCHS epochs: a least-squares line, with the
    interval that the scatter of the epochs around it gives. None for shorter curves."""
    if len(curve) < TREND_EPOCHS:
        return None
    tail = np.array(curve[-max(TREND_EPOCHS, math.ceil(len(curve) / 2)) :])
    line = stats.linregress(np.arange(len(tail)), tail)
    length = len(tail) - 1
    error = 0.0 if np.ptp(tail) == 0 else line.stderr  # scipy leaves it undefined for a level line
    reach = float(stats.t.ppf(0.975, len(tail) - 2) * error * length)
    change = float(line.slope * length)
    return Change(change, (change - reach, change + reach))


def diagnose(measured: Measured, params: DiagnosisParams) -> list[dict[str, Any]]:
    """Verdicts on one run, in the order of VERDICTS, as dicts with `name`, `outcome`, `evidence`.

    Overfitting: a gap at the last epoch above zero beyond chance; it also reaches its threshold, or the
    validation loss has turned up. Fewer epochs than a trend needs cannot deny it. Underfitting: a low train
    accuracy that no longer rises. Under-trained: a longer run was made and is better. Catastrophic
    forgetting: the source task and a linear probe both lost more than their thresholds, beyond chance; a low
    accuracy alone may be an untrained head. Unstable: the results of several seeds lie apart.
    """
    verdicts = (
        _overfitting(measured, params),
        _underfitting(measured, params),
        _under_trained(measured, params),
        _forgetting(measured, params),
        unstable(measured.seeds or (), params),
    )
    return [asdict(v) for v in verdicts]


def _overfitting(measured: Measured, params: DiagnosisParams) -> Verdict:
    gaps = [a / n - b / m for (a, n), (b, m) in zip(measured.train, measured.val, strict=True)]
    intervals = [
        confint_proportions_2indep(a, n, b, m, method="newcomb", compare="diff")
        for (a, n), (b, m) in zip(measured.train, measured.val, strict=True)
    ]
    over_seeds = crossed.over_seeds(gaps, intervals)
    gap = round(over_seeds["mean"], 6)
    low, high = (min(max(limit, -1.0), 1.0) for limit in over_seeds["interval"])
    rise = measured.val_losses[-1] / max(min(measured.val_losses), NO_LOSS) - 1
    turned = rise >= params.val_loss_rise
    outcome: Outcome = "undecided"
    if low > 0 and (gap >= params.overfitting_gap or turned):
        outcome = "supported"
    elif (
        len(measured.train_curve) >= TREND_EPOCHS  # with fewer, overfitting may yet come
        and high < params.overfitting_gap
        and not (turned and high > 0)
    ):
        outcome = "not supported"
    return Verdict(
        "overfitting",
        outcome,
        {
            "gap": gap,
            "low": float(low),
            "high": float(high),
            "threshold": params.overfitting_gap,
            "loss_rise": float(rise),
            "loss_threshold": params.val_loss_rise,
        },
    )


def _underfitting(measured: Measured, params: DiagnosisParams) -> Verdict:
    accuracy = float(np.mean([right / images for right, images in measured.train]))
    evidence = {"train_accuracy": accuracy, "threshold": params.underfitting_train_accuracy}
    change = trend(measured.train_curve)
    if change:
        low, high = change.interval
        evidence |= {"rise": change.difference, "low": low, "high": high, "plateau": params.plateau}
    if accuracy >= params.underfitting_train_accuracy:
        return Verdict("underfitting", "not supported", evidence)
    if change is None:
        return Verdict("underfitting", "not measured", evidence)
    if high <= params.plateau:
        return Verdict("underfitting", "supported", evidence)
    return Verdict("underfitting", "not supported" if low > params.plateau else "undecided", evidence)


def _under_trained(measured: Measured, params: DiagnosisParams) -> Verdict:
    if measured.longer is None:
        change = trend(measured.train_curve)
        known = (
            {"rise": change.difference, "low": change.interval[0], "high": change.interval[1]}
            if change
            else {}
        )
        return Verdict("under-trained", "not measured", known)
    return Verdict(
        "under-trained", _beyond(measured.longer, params.plateau), _numbers("longer", measured.longer)
    )


def _forgetting(measured: Measured, params: DiagnosisParams) -> Verdict:
    evidence: dict[str, float] = {}
    outcomes = []
    for name, change, threshold in (
        ("retention", measured.retention, params.retention_drop),
        ("probe", measured.probe, params.probe_drop),
    ):
        if change is not None:
            low, high = change.interval
            outcomes.append(_beyond(Change(-change.difference, (-high, -low)), threshold))
            evidence |= _numbers(name, change) | {f"{name}_threshold": threshold}
    outcome: Outcome = "undecided"
    if "not supported" in outcomes:  # both must fall, so one that kept its accuracy is enough
        outcome = "not supported"
    elif len(outcomes) < 2:
        outcome = "not measured"
    elif outcomes == ["supported"] * 2:
        outcome = "supported"
    return Verdict("catastrophic forgetting", outcome, evidence)


def unstable(seeds: Sequence[float], params: DiagnosisParams) -> Verdict:
    """Compare the seeds' standard deviation, and its 95 % interval, with the threshold. The interval is
    chi-squared, for normally distributed results.

    Args:
        seeds: validation accuracy by seed; with fewer than two the outcome is `not measured`.
    """
    if len(seeds) < 2:
        return Verdict("unstable", "not measured", {})
    deviation, freedom = float(np.std(seeds, ddof=1)), len(seeds) - 1
    low, high = (deviation * float(freedom / stats.chi2.ppf(q, freedom)) ** 0.5 for q in (0.975, 0.025))
    evidence = {
        "deviation": deviation,
        "low": low,
        "high": high,
        "seeds": float(len(seeds)),
        "threshold": params.seed_deviation,
    }
    threshold = params.seed_deviation
    outcome: Outcome = "undecided"
    if low >= threshold:
        outcome = "supported"
    elif high < threshold:
        outcome = "not supported"
    return Verdict("unstable", outcome, evidence)


def _beyond(change: Change, threshold: float) -> Outcome:
    """Whether a change is at least `threshold` and above zero beyond chance."""
    low, high = change.interval
    if low > 0 and change.difference >= threshold:
        return "supported"
    return "not supported" if high < threshold or high <= 0 else "undecided"


def _numbers(name: str, change: Change) -> dict[str, float]:
    low, high = change.interval
    return {name: change.difference, f"{name}_low": low, f"{name}_high": high}


def change_of(measured: Mapping[str, Any]) -> Change:
    """Change from the `difference` and `interval` of a JSON metric."""
    low, high = measured["interval"]
    return Change(measured["difference"], (low, high))
