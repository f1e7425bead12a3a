"""How far chance moves the scores of a test split: 95 % intervals, their coverage, paired tests.

Images are resampled within their classes. A split's class counts were fixed when it was made and are the same
for every network, so they add no chance to a score. The intervals were chosen by simulation:
`python -m benchmarks.coverage` compares eleven.
"""

import copy
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, t
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_test
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from emotions.evidence import metrics

Z: Final = float(norm.ppf(0.975))
"""Half-width of a 95 % interval, in standard errors."""

SIMULATED: Final = 1000
"""Simulated networks for an interval where resampling cannot give one."""
BATCH: Final = 50
"""Simulated studies that share resamples, to save time; their answers are drawn independently."""


def wilson(right: int, images: int) -> list[float] | None:
    """Wilson's 95 % interval of a share (Wilson 1927; Newcombe 1998, Stat. Med. 17:857); None of 0 images."""
    if images == 0:
        return None
    low, high = proportion_confint(right, images, method="wilson")
    # Rounding leaves the upper limit of 20 of 20 below 1.
    return [min(float(low), right / images), max(float(high), right / images)]


def mean_interval(values: np.ndarray | Sequence[float]) -> dict[str, Any]:
    """`mean` of N values and its 95 % `interval` (Student's t).

    Raises:
        ValueError: fewer than two values.
    """
    if len(values) < 2:
        raise ValueError("an interval of a mean needs two values")
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
    reach = float(t.ppf(0.975, len(values) - 1)) * error
    return {"mean": mean, "interval": [mean - reach, mean + reach]}


def recall_intervals(
    confusion: np.ndarray | Sequence[Sequence[int]], classes: Sequence[str]
) -> dict[str, list[float] | None]:
    """Wilson's 95 % interval of each class's recall; None for a class without images.

    Args:
        confusion: counts [C, C], rows true. classes: C names.
    """
    table = np.asarray(confusion)
    return {name: wilson(int(table[i, i]), int(table[i].sum())) for i, name in enumerate(classes)}


def resample(labels: np.ndarray, replicates: int, generator: np.random.Generator) -> np.ndarray:
    """Weight of each image in each resample, float [R, N]; class counts stay as they are.

    From the n images of a class, n - 1 are drawn with replacement and weigh n / (n - 1) each (Rao & Wu 1988,
    JASA 83:231). Drawing n makes the variance too small by the factor (n - 1) / n, a quarter for a class of
    4. A single image tells nothing about its spread and always counts once.

    Args:
        labels: int [N].
    """
    weights = np.ones((replicates, len(labels)))
    for label, images in zip(*np.unique(labels, return_counts=True), strict=True):
        if images > 1:
            drawn = generator.multinomial(images - 1, np.full(images, 1 / images), size=replicates)
            weights[:, labels == label] = drawn * (images / (images - 1))
    return weights


def recall_and_f1(
    weights: np.ndarray, labels: np.ndarray, predicted: np.ndarray, *, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Recall and F1 by class of weighted images, float [..., R, C] each; 0 where they are 0 / 0.

    Args:
        weights: float [R, N]. labels: int [N]. predicted: int [..., N], the answers of one or more networks.
    """
    order = np.arange(classes)
    true, said = labels[:, None] == order, predicted[..., None] == order
    weight_true, weight_said = weights @ true, weights @ said.astype(weights.dtype)
    hits = weights @ (true & said).astype(weights.dtype)
    both = weight_said + weight_true
    recall = np.divide(hits, weight_true, out=np.zeros_like(hits), where=weight_true > 0)
    return recall, np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)


def bounds(estimate: np.ndarray, replicates: np.ndarray, top: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """95 % limits of scores in [0, `top`] from the standard error over resamples; the logit scale keeps them
    inside.

    Args:
        estimate: float [...]. replicates: float [..., R].

    Returns:
        Two float [...]; NaN where resampling cannot give one: an estimate of 0 or `top`, or equal replicates
        (e.g. from a network that gives all images one answer).
    """
    share, error = estimate / top, replicates.std(-1, ddof=1) / top
    known = (share > 1e-12) & (share < 1 - 1e-12) & (error > 1e-12)
    centre = logit(np.where(known, share, 0.5))
    reach = Z * np.divide(error, share * (1 - share), out=np.full(np.shape(error), np.nan), where=known)
    return top * expit(centre - reach), top * expit(centre + reach)


def intervals(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    *,
    replicates: int,
    generator: np.random.Generator,
) -> dict[str, list[float]]:
    """95 % intervals of the scores of one split, its class counts fixed.

    `accuracy` and `top2_accuracy` have Wilson's; `balanced_accuracy`, `macro_f1`, `macro_f1_ten`,
    `component_score` and `brier` resample images within classes (`resample`, `bounds`). They hold for other
    images and the same network; another training seed moves scores, too.

    `ece` has no interval. It cannot be negative, so chance lifts it, and lifts every resample once more: the
    percentiles can all lie above it. Nor is there one value to cover, since the estimated quantity depends on
    the images in a bin.

    Args:
        labels, probabilities, classes: as for `metrics.score`.

    Where resampling gives no interval (`bounds`), e.g. for a network that gives one answer or is always
    right, the interval spans the scores of similar simulated networks (`answers_alike`); that of `brier` is
    left out.

    Returns:
        Name of the score -> [low, high]. Left out: scores that `metrics.score` leaves out or has as None.
    """
    predicted, images = probabilities.argmax(1), len(labels)
    counts = np.bincount(labels, minlength=len(classes))
    weights = np.vstack([np.ones(images), resample(labels, replicates, generator)])
    overlap, enough = metrics.component_overlap(classes), counts >= metrics.ENOUGH

    def of_answers(weights: np.ndarray, answers: np.ndarray) -> dict[str, np.ndarray]:
        recall, f1 = recall_and_f1(weights, labels, answers, classes=len(classes))
        values = {"balanced_accuracy": recall[..., counts > 0].mean(-1), "macro_f1": f1.mean(-1)}
        if enough.any():
            values["macro_f1_ten"] = f1[..., enough].mean(-1)
        if overlap is not None:
            values["component_score"] = weights @ overlap[labels, answers].T / images
        return values

    values = of_answers(weights, predicted)
    values["brier"] = weights @ metrics.squared_errors(labels, probabilities) / images
    alike: dict[str, np.ndarray] = {}

    found = {
        "accuracy": wilson(int((predicted == labels).sum()), images),
        "top2_accuracy": wilson(int(metrics.in_top_two(labels, probabilities).sum()), images),
    }
    for name, value in values.items():
        low, high = bounds(value[0], value[1:], top=2.0 if name == "brier" else 1.0)
        found[name] = None if np.isnan(low) else [float(low), float(high)]
        if np.isnan(low) and name != "brier":
            alike = alike or of_answers(
                np.ones((1, images)), answers_alike(labels, predicted, len(classes), generator=generator)
            )
            found[name] = spanned(float(value[0]), alike[name])
    return {name: limits for name, limits in found.items() if limits is not None}


def population(confusion: np.ndarray) -> np.ndarray:
    """Answer probabilities by true class, float [C, C], of a network like the observed one.

    One more image of each class is spread evenly over all answers (Perks' prior: 1 / C a cell). Without it an
    unseen answer could never be given, and a class never named would have an F1 of exactly 0, which does not
    challenge an interval.

    Args:
        confusion: counts [C, C], rows true.
    """
    return (confusion + 1 / len(confusion)) / (confusion.sum(1, keepdims=True) + 1)


def draw_answers(
    chances: np.ndarray, labels: np.ndarray, studies: int, *, generator: np.random.Generator
) -> np.ndarray:
    """Answers to the same images in several simulated studies, int [S, N].

    Args:
        chances: float [C, C], probabilities of the answers by true class. labels: int [N].
    """
    # Dropping the last column avoids a sum below one by rounding.
    limits = chances.cumsum(1)[labels, :-1]
    return (generator.random((studies, len(labels), 1)) >= limits).sum(-1)


def answers_alike(
    labels: np.ndarray, predicted: np.ndarray, classes: int, *, generator: np.random.Generator
) -> np.ndarray:
    """Answers of SIMULATED networks like the observed one, int [SIMULATED, N], drawn from the `population` of
    its confusion matrix.

    Args:
        labels, predicted: int [N].
    """
    chances = population(metrics.confusion(labels, predicted, classes))
    return draw_answers(chances, labels, SIMULATED, generator=generator)


def spanned(estimate: float, simulated: np.ndarray) -> list[float]:
    """The middle 95 % of simulated scores, widened to hold the estimate."""
    low, high = np.quantile(simulated, (0.025, 0.975))
    return [min(float(low), estimate), max(float(high), estimate)]


def true_macro_f1(chances: np.ndarray, counts: np.ndarray) -> float:
    """Macro-F1 of a population with answer probabilities `chances`, float [C, C], and class `counts` [C]."""
    joint = counts[:, None] / counts.sum() * chances
    both = joint.sum(0) + joint.sum(1)
    return float(np.divide(2 * joint.diagonal(), both, out=np.zeros(len(both)), where=both > 0).mean())


def coverage(
    confusion: np.ndarray | Sequence[Sequence[int]],
    simulations: int,
    replicates: int,
    *,
    generator: np.random.Generator,
) -> float:
    """Share of simulated studies whose 95 % interval of the macro-F1 covers the true value.

    The truth is the macro-F1 of `population(confusion)` at the class shares of `confusion`. Each study has
    the same class counts, draws its answers from that population and takes its interval as `intervals` does.
    The standard error is sqrt(c (1 - c) / simulations).

    It falls short of 0.95 where some classes are named so rarely that many studies never name them. An F1 of
    0 then stays 0 in every resample, and no resampling is wide enough.

    Args:
        confusion: counts [C, C], rows true, at least one image.
    """
    table = np.asarray(confusion)
    counts, chances, classes = table.sum(1), population(table), len(table)
    truth, labels = true_macro_f1(chances, counts), np.repeat(np.arange(classes), counts)
    covered = 0
    for begin in range(0, simulations, BATCH):
        studies = draw_answers(chances, labels, min(BATCH, simulations - begin), generator=generator)
        weights = np.vstack([np.ones(len(labels)), resample(labels, replicates, generator)])
        values = recall_and_f1(weights, labels, studies, classes=classes)[1].mean(-1)
        low, high = bounds(values[:, 0], values[:, 1:])
        for study in np.flatnonzero(np.isnan(low)):
            alike = answers_alike(labels, studies[study], classes, generator=generator)
            f1 = recall_and_f1(np.ones((1, len(labels))), labels, alike, classes=classes)[1]
            low[study], high[study] = spanned(float(values[study, 0]), f1.mean(-1))
        covered += int(((low <= truth) & (truth <= high)).sum())
    return covered / simulations


def newcombe_paired(both: int, only_first: int, only_second: int, neither: int) -> list[float]:
    """95 % interval of the difference of two shares on the same images, first minus second.

    Newcombe's method 10: Wilson's limits of both shares, joined by their correlation (1998, Stat. Med.
    17:2635). statsmodels 0.15 has it only for independent samples; its development version has
    `confint_proportions_paired`.

    Args:
        both, only_first, only_second, neither: counts, at least one image in all.
    """
    images = both + only_first + only_second + neither
    first, second = both + only_first, both + only_second
    (low_1, high_1), (low_2, high_2) = (
        proportion_confint(right, images, method="wilson") for right in (first, second)
    )
    margins = first * (images - first) * second * (images - second)
    excess: float = both * neither - only_first * only_second
    if excess > 0:
        excess = max(excess - images / 2, 0)
    correlation = excess / margins**0.5 if margins else 0.0

    def reach(one: float, other: float) -> float:
        return max(one**2 - 2 * correlation * one * other + other**2, 0) ** 0.5

    p, q = first / images, second / images
    return [float(p - q - reach(p - low_1, high_2 - q)), float(p - q + reach(high_1 - p, q - low_2))]


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> dict[str, Any]:
    """Accuracy of two networks on the same images: McNemar's exact test and Newcombe's interval.

    Args:
        right_a, right_b: bool [N], whether each network is right; N at least 1.

    Returns:
        `only_first`, `only_second`: images that only one of them has right. `difference`: accuracy, first
        minus second. `interval`: its 95 % limits (`newcombe_paired`). `p`: two-sided; 1 where they never
        differ.
    """
    table = np.array([[(right_a & right_b).sum(), (right_a & ~right_b).sum()],
                      [(~right_a & right_b).sum(), (~right_a & ~right_b).sum()]])  # fmt: skip
    both, only_first, only_second, neither = (int(n) for n in table.ravel())
    return {
        "only_first": only_first,
        "only_second": only_second,
        "difference": (only_first - only_second) / len(right_a),
        "interval": newcombe_paired(both, only_first, only_second, neither),
        "p": float(mcnemar_test(table, exact=True).pvalue),
    }


def paired_difference(
    labels: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    classes: int,
    replicates: int,
    generator: np.random.Generator,
) -> dict[str, dict[str, Any]]:
    """Macro-F1 and balanced accuracy of two networks on the same images, first minus second.

    The interval uses the standard error over resamples of the images, the same for both networks. `p` is from
    a permutation test: each replicate randomly swaps or keeps the two answers to each image. The test is
    exact where the networks err alike, whatever the class counts. It rejects networks with equal macro-F1 but
    different mistakes in fewer than 5 % of studies (`python -m benchmarks.coverage` has both). Near 0.05 `p`
    and interval can disagree. The observed order counts as one of the replicates (Phipson & Smyth 2010, SAGMB
    9:39), so `p` is at least 1 / (replicates + 1) and comes in steps of that.

    Args:
        labels, first, second: int [N], the true classes and the answers of the networks. classes: C.

    Returns:
        `macro_f1` and `balanced_accuracy`, each with `difference`, `interval` and `p`. Equal answers have the
        difference 0, the interval [0, 0] and p = 1.
    """
    present = np.unique(labels)

    def scores(weights: np.ndarray, truth: np.ndarray, answers: np.ndarray) -> np.ndarray:
        recall, f1 = recall_and_f1(weights, truth, answers, classes=classes)
        return np.stack([f1.mean(-1), recall[..., present].mean(-1)])

    def error_alike(answers: np.ndarray, own: np.random.Generator) -> np.ndarray:
        drawn = answers_alike(labels, answers, classes, generator=own)
        return scores(np.ones((1, len(labels))), labels, drawn)[..., 0].std(-1, ddof=1)

    weights = resample(labels, replicates, generator)
    resampled = scores(weights, labels, first) - scores(weights, labels, second)
    # A row holds both answers to each image; a network weighs its own by 1 - moved, the other's by moved.
    moved = generator.integers(0, 2, size=(replicates, len(labels))).astype(float)
    moved = np.vstack([np.zeros(len(labels)), moved])
    truth, answers = np.concatenate([labels, labels]), np.concatenate([first, second])
    permuted = scores(np.hstack([1 - moved, moved]), truth, answers)
    permuted -= scores(np.hstack([moved, 1 - moved]), truth, answers)
    found = {}
    for i, name in enumerate(("macro_f1", "balanced_accuracy")):
        difference, error = float(permuted[i, 0]), float(resampled[i].std(ddof=1))
        if error < 1e-12 and (first != second).any():
            # Resampling gives no error: each network is always right, or always gives one answer.
            (seed,) = generator.spawn(1)  # the same draws for both, so that their order does not matter
            error = float(np.hypot(*(error_alike(one, copy.deepcopy(seed))[i] for one in (first, second))))
        reach = Z * error
        # Equal values may differ by rounding.
        as_far = int((np.abs(permuted[i, 1:]) >= abs(difference) - 1e-12).sum())
        found[name] = {
            "difference": difference,
            "interval": [max(difference - reach, -1.0), min(difference + reach, 1.0)],
            "p": (1 + as_far) / (1 + replicates),
        }
    return found


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """p-values of a family of tests, adjusted by Holm's method (1979, Scand. J. Stat. 6:65). Calling those
    below 0.05 makes any false call in at most 5 % of studies."""
    if not p_values:
        return {}
    adjusted = multipletests(list(p_values.values()), method="holm")[1]
    return {name: float(p) for name, p in zip(p_values, adjusted, strict=True)}
