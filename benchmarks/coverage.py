"""How often 95 % intervals of the macro-F1 cover the truth, and how often equal networks are told apart.

Usage: python -m benchmarks.coverage

Simulated studies at three sets of class counts and with four kinds of network, whose true macro-F1 is known;
eleven methods, of which `emotions.evidence.intervals` uses the one marked. Some minutes on one core.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from emotions.evidence import intervals
from emotions.evidence.intervals import Z, draw_answers, recall_and_f1, resample, true_macro_f1
from emotions.random_streams import numpy_stream
from emotions.taxonomy import RAFCE_COUNTS, compound_classes

STUDIES, REPLICATES, PAIRS = 2000, 500, 1000
COUNTS = {
    "default study, 250 images": np.array([35, 15, 10, 12, 7, 50, 12, 32, 12, 54, 11]),
    "RAF-CE, 894 images": np.array([RAFCE_COUNTS[name][2] for name in compound_classes("rafdb11")]),
    "like FER+, 410 images": np.array([112, 4, 14, 38, 9, 6, 30, 136, 22, 33, 6]),
}
USED = "standard error by class, logit (used)"


def rows(recall: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Answers by true class, float [C, C]: mistakes fall on the other classes by their shares."""
    chances = np.tile(shares, (len(shares), 1))
    np.fill_diagonal(chances, 0)
    chances *= (1 - recall)[:, None] / chances.sum(1, keepdims=True)
    np.fill_diagonal(chances, recall)
    return chances


def networks(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Probabilities of the answers by true class, float [C, C], of four kinds of network.

    Every class right in 60 %; recall rising from 15 % of the smallest class to 85 % of the largest; 97 % of
    the answers on the three largest classes, which are told apart in half of the images; every class right in
    60 % except that those below the median size are never named.
    """
    classes, shares, size = len(counts), counts / counts.sum(), np.log(counts)
    even = rows(np.full(classes, 0.6), shares)
    rising = rows(0.15 + 0.7 * (size - size.min()) / (size.max() - size.min()), shares)
    large = np.argsort(-counts, kind="stable")[:3]
    three = np.full((classes, classes), 0.03 / classes)
    three[:, large] += 0.485 * shares[large] / shares[large].sum()
    three[np.arange(classes), [i if i in large else large[i % 3] for i in range(classes)]] += 0.485
    never = np.where(counts < np.median(counts), 0, even)
    return {
        "even, 60 %": even,
        "rising with size": rising,
        "three answers": three / three.sum(1, keepdims=True),
        "never the small": never / never.sum(1, keepdims=True),
    }


def influence(labels: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """Derivative of the macro-F1 by the weight of each image, float [S, N]; answers int [S, N]."""
    f1 = recall_and_f1(np.ones((1, len(labels))), labels, answers, classes=classes)[1][:, 0]
    named = (answers[..., None] == np.arange(classes)).sum(1) + np.bincount(labels, minlength=classes)
    ratio = np.divide(f1, named, out=np.zeros_like(f1), where=named > 0)
    by_image = -np.take_along_axis(ratio, answers, 1) - ratio[:, labels]
    by_image += np.where(answers == labels, 2 / np.maximum(named, 1)[:, labels], 0)
    return by_image / classes


def centred(by_image: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Values less the mean of their group; float [S, N], int [N]."""
    member = groups[:, None] == np.unique(groups)
    return by_image - (by_image @ member / member.sum(0)) @ member.T


Limits = tuple[np.ndarray, np.ndarray]


def accelerated(estimate: np.ndarray, replicates: np.ndarray, by_image: np.ndarray) -> Limits:
    """BCa (Efron 1987, JASA 82:171), its acceleration from centred influence values."""
    below = (replicates < estimate[:, None]).mean(1) + (replicates == estimate[:, None]).mean(1) / 2
    least = 0.5 / replicates.shape[1]
    bias = norm.ppf(np.clip(below, least, 1 - least))
    spread = (by_image**2).sum(1) ** 1.5
    skew = np.divide((by_image**3).sum(1), 6 * spread, out=np.zeros_like(spread), where=spread > 0)
    place = [norm.cdf(bias + (bias + z) / (1 - skew * (bias + z))) for z in (-Z, Z)]
    low, high = ([np.quantile(r, p) for r, p in zip(replicates, ps, strict=True)] for ps in place)
    return np.array(low), np.array(high)


def every_method(
    labels: np.ndarray, answers: np.ndarray, classes: int, generator: np.random.Generator
) -> dict[str, Limits]:
    """Limits of the macro-F1 of each study by each method; answers int [S, N]."""
    images, counts = len(labels), np.bincount(labels, minlength=classes)
    one_group = np.zeros(images, int)

    def values(weights: np.ndarray, truth: np.ndarray = labels, said: np.ndarray = answers) -> np.ndarray:
        return recall_and_f1(weights, truth, said, classes=classes)[1].mean(-1)

    def percentiles(replicates: np.ndarray) -> Limits:
        low, high = np.quantile(replicates, (0.025, 0.975), axis=1)
        return low, high

    def by_class(weights: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Weights scaled so that each class has the weight of its images."""
        member = truth[:, None] == np.arange(classes)
        return weights * ((counts / (weights @ member)) @ member.T)

    estimate = values(np.ones((1, images)))[:, 0]
    slopes = influence(labels, answers, classes)
    plain = values(generator.multinomial(images, np.full(images, 1 / images), REPLICATES).astype(float))
    drawn = [generator.multinomial(n, np.full(n, 1 / n), REPLICATES) for n in counts]
    stratified = values(np.hstack(drawn).astype(float))
    bayesian = generator.standard_exponential((REPLICATES, images))
    rescaled = values(resample(labels, REPLICATES, generator))
    low, high = percentiles(stratified)
    found = {
        "percentile, plain": percentiles(plain),
        "percentile, by class": (low, high),
        "basic, by class": (2 * estimate - high, 2 * estimate - low),
        "BCa, plain": accelerated(estimate, plain, centred(slopes, one_group)),
        "BCa, by class": accelerated(estimate, stratified, centred(slopes, labels)),
        "Bayesian bootstrap, plain": percentiles(values(bayesian)),
    }
    # A Dirichlet posterior by row: each cell of the confusion matrix is one more image of weight Gamma(a).
    truth = np.concatenate([labels, np.repeat(np.arange(classes), classes)])
    said = np.hstack([answers, np.tile(np.arange(classes), (len(answers), classes))])
    for name, prior in (("1/2 (Jeffreys)", 0.5), ("1/C (Perks)", 1 / classes)):
        cells = generator.standard_gamma(prior, (REPLICATES, classes * classes))
        weights = by_class(np.hstack([bayesian, cells]), truth)
        found[f"Dirichlet, {name} a cell"] = percentiles(values(weights, truth, said))
    error = (centred(slopes, one_group) ** 2).sum(1) ** 0.5
    found["delta method, plain (Takahashi et al. 2022)"] = (estimate - Z * error, estimate + Z * error)
    unbiased = (counts / np.maximum(counts - 1, 1))[labels]
    error = (centred(slopes, labels) ** 2 @ unbiased) ** 0.5 / (estimate * (1 - estimate))
    found["delta method by class, logit"] = (
        expit(logit(estimate) - Z * error), expit(logit(estimate) + Z * error)
    )  # fmt: skip
    found[USED] = intervals.bounds(estimate, rescaled)
    return found


def coverage_table(name: str, counts: np.ndarray) -> dict[str, list[float]]:
    """Prints coverage and mean width by method and kind of network; returns the coverages, percent."""
    classes, labels = len(counts), np.repeat(np.arange(len(counts)), counts)
    cells: dict[str, list[str]] = {}
    covered: dict[str, list[float]] = {}
    for kind, chances in networks(counts).items():
        truth, generator = true_macro_f1(chances, counts), numpy_stream(0, "coverage", name, kind)
        hits: dict[str, list[np.ndarray]] = {}
        widths: dict[str, list[np.ndarray]] = {}
        for _ in range(STUDIES // intervals.BATCH):
            answers = draw_answers(chances, labels, intervals.BATCH, generator=generator)
            for method, (low, high) in every_method(labels, answers, classes, generator).items():
                # What is equal on paper differs by rounding.
                hits.setdefault(method, []).append((low - 1e-9 <= truth) & (truth <= high + 1e-9))
                widths.setdefault(method, []).append(high - low)
        for method in hits:
            share = 100 * float(np.mean(hits[method]))
            covered.setdefault(method, []).append(share)
            cells.setdefault(method, []).append(f"{share:.1f} ({np.mean(widths[method]):.3f})")
    print(f"\n| {name} | " + " | ".join(networks(counts)) + " |\n|:--|" + "--:|" * len(networks(counts)))
    for method, row in cells.items():
        print(f"| {method} | " + " | ".join(row) + " |", flush=True)
    return covered


def copied(
    chances: np.ndarray, labels: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Answers of two networks that err alike and give the same answer to 60 % of the images on purpose, int
    [PAIRS, N] each."""
    first, second = (draw_answers(chances, labels, PAIRS, generator=generator) for _ in range(2))
    return first, np.where(generator.random(first.shape) < 0.6, first, second)


def same_score(
    chances: np.ndarray, counts: np.ndarray, labels: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Answers of a network and of one with the same true macro-F1 that is equally good at every class."""
    shares, goal = counts / counts.sum(), true_macro_f1(chances, counts)
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        below = true_macro_f1(rows(np.full(len(counts), middle), shares), counts) < goal
        low, high = (middle, high) if below else (low, middle)
    other = rows(np.full(len(counts), low), shares)
    return draw_answers(chances, labels, PAIRS, generator=generator), draw_answers(
        other, labels, PAIRS, generator=generator
    )


def error_table(name: str, counts: np.ndarray) -> None:
    """Prints how often networks with one true macro-F1 are called different at 5 %."""
    labels = np.repeat(np.arange(len(counts)), counts)
    print(f"\n| {name} | permutation p <= 0.05 | interval without 0 |\n|:--|--:|--:|")
    for kind, chances in networks(counts).items():
        generator = numpy_stream(0, "errors", name, kind)
        pairs: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
            f"{kind}, twice": lambda c=chances, g=generator: copied(c, labels, g),  # type: ignore[misc]
            f"{kind}; even": lambda c=chances, g=generator: same_score(c, counts, labels, g),  # type: ignore[misc]
        }
        for pair, draw in pairs.items():
            called = []
            for first, second in zip(*draw(), strict=True):
                found = intervals.paired_difference(
                    labels, first, second, classes=len(counts), replicates=REPLICATES - 1, generator=generator
                )["macro_f1"]
                low, high = found["interval"]
                called.append((found["p"] <= 0.05, not low <= 0 <= high))
            print(
                f"| {pair} | " + " | ".join(f"{100 * x:.1f}" for x in np.mean(called, 0)) + " |", flush=True
            )


def main() -> None:
    print("Coverage in percent (mean width); standard error about 0.5")
    covered: dict[str, list[float]] = {}
    for name, counts in COUNTS.items():
        for method, shares in coverage_table(name, counts).items():
            covered.setdefault(method, []).extend(shares)
    print("\n| all twelve | mean distance from 95 | least |\n|:--|--:|--:|")
    for method, shares in covered.items():
        print(f"| {method} | {np.mean(np.abs(np.array(shares) - 95)):.2f} | {min(shares):.1f} |")
    print("\nPairs with one true macro-F1 that are called different, percent; standard error about 0.7")
    for name, counts in COUNTS.items():
        if name != "RAF-CE, 894 images":
            error_table(name, counts)


if __name__ == "__main__":
    main()
