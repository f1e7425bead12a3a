"""How a recipe's test error falls with the number of training images: a power law, or one above a floor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import statsmodels.api as sm
from scipy import optimize, stats

from emotions.evidence.single_knobs import SingleKnob

LEVEL: Final = 0.05
"""At this level a floor below the errors is told from none."""
FEWEST: Final = 3
"""Sizes of the training set that a curve needs."""
AHEAD: Final = (2, 10)
"""Multiples of the images there are, for which the law is asked."""
MILLION: Final = 1_000_000
"""Images for which it is asked, too, since the original's claim is about them."""


@dataclass(frozen=True)
class Law:
    """error = scale * images ^ -exponent, fitted to the logarithms by least squares.

    `interval`: 95 % limits of the exponent. `floor`: what the error tends to where a floor is fitted, too;
    `floor_p`: of an F test of that fit against the plain law, None where there are too few sizes. `mean_at`:
    by number of images, the error that the plain law predicts and the 95 % limits of its mean.
    """

    scale: float
    exponent: float
    interval: tuple[float, float]
    floor: float | None
    floor_p: float | None
    mean_at: dict[int, tuple[float, float, float]]

    @property
    def holds(self) -> bool:
        """Whether nothing says that the errors level off."""
        return self.floor_p is None or self.floor_p >= LEVEL


def power_law(images: Sequence[int], errors: Sequence[float], asked: Sequence[int]) -> Law:
    """Fit a power law, as Hestness et al. 2017 ("Deep learning scaling is predictable, empirically") find it
    between too few images to learn and the error that no data take away, and one with that error, a floor.

    Args:
        images, errors: one each of every training; errors in (0, 1]. asked: numbers of images to predict for.

    Raises:
        ValueError: fewer than three sizes, or an error of 0, which has no logarithm.
    """
    sizes = np.unique(images)
    if len(sizes) < FEWEST:
        raise ValueError(f"a curve needs three sizes of training set, here are {len(sizes)}")
    if min(errors) <= 0:
        raise ValueError("an error of 0 has no logarithm: a power law never gets there")
    x, y = np.log(np.asarray(images, float)), np.log(np.asarray(errors, float))
    fit = sm.OLS(y, sm.add_constant(x)).fit()
    low, high = fit.conf_int(0.05)[1]
    floor, p = _floor(x, y, float(fit.ssr)) if len(sizes) > FEWEST else (None, None)
    at = np.log(np.asarray(asked, float))
    frame = fit.get_prediction(np.column_stack([np.ones_like(at), at])).summary_frame(0.05)
    predicted = np.exp(frame[["mean", "mean_ci_lower", "mean_ci_upper"]].to_numpy())
    mean_at = {n: (float(a), float(b), float(c)) for n, (a, b, c) in zip(asked, predicted, strict=True)}
    return Law(
        float(np.exp(fit.params[0])), float(-fit.params[1]), (float(-high), float(-low)), floor, p, mean_at
    )


def _floor(x: np.ndarray, y: np.ndarray, plain: float) -> tuple[float, float]:
    """The floor of log(error) = log(floor + scale * images ^ -exponent), by least squares, and the p-value of
    an F test against no floor, whose sum of squares is `plain`."""

    def residues(floor: float) -> float:
        shifted = np.log(np.exp(y) - floor)
        line = stats.linregress(x, shifted)
        fitted = np.log(floor + np.exp(line.intercept + line.slope * x))
        return float(((y - fitted) ** 2).sum())

    most = float(np.exp(y).min())
    found = optimize.minimize_scalar(residues, bounds=(0, most * (1 - 1e-6)), method="bounded")
    freedom = len(x) - 3
    gained = max(plain - float(found.fun), 0.0)
    ratio = gained / (float(found.fun) / freedom) if found.fun > 0 else np.inf
    return float(found.x), float(stats.f.sf(ratio, 1, freedom))


def learning_curve(
    run: str, knobs: Sequence[SingleKnob], networks: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any] | None:
    """The law of a run and of those that differ from it in `fraction` alone; None for fewer than three sizes.

    Returns:
        `images` (most there are), `exponent`, `interval`, `floor`, `floor_p`, `holds`, and `predicted`: for
        numbers of images, `accuracy` with `low` and `high`; `points`: test accuracies by number of images.
    """
    family = {run} | {n for one in knobs if one.key == "fraction" and run in one.runs for n in one.runs}
    points = [
        (network["train_images"], network["selected"]["test"]["accuracy"])
        for name in networks  # in their order, so that sums round alike whenever they are made
        if name in family
        for network in networks[name]
    ]
    sizes = sorted({images for images, _ in points})
    if len(sizes) < FEWEST or any(accuracy == 1 for _, accuracy in points):
        return None
    most = sizes[-1]
    images, accuracies = zip(*points, strict=True)
    law = power_law(images, [1 - a for a in accuracies], [most, *(k * most for k in AHEAD), MILLION])
    return {
        "images": most,
        "exponent": law.exponent,
        "interval": law.interval,
        "floor": law.floor,
        "floor_p": law.floor_p,
        "holds": law.holds,
        "predicted": [
            {"images": n, "accuracy": 1 - error, "low": 1 - high, "high": 1 - low}
            for n, (error, low, high) in law.mean_at.items()
        ],
        "points": {n: [a for images, a in points if images == n] for n in sizes},
    }
