"""Runs compared over several training seeds on the same test images: images and seeds are drawn by chance.

The model is that of Obuchowski & Rockette (1995, Commun. Stat. Simul. Comput. 24:285; Hillis, Berbaum & Metz
2008, Acad. Radiol. 15:647) for readers who read the same cases in several modalities. Here readers are seeds,
cases are images, modalities are runs. Runs are fixed. Each network's score varies with its seed, and the
errors due to images correlate:

- Cov1: same seed, two runs. Cov2: same run, two seeds. Cov3: another run and another seed.

**Seeds are crossed with runs.** Seed s of two runs gives two networks, but these share much: the pretrained
weights they start from, the initial head, the order of the images and the draws of augmentation. So a seed is
one block, and runs are compared seed by seed. Where seeds share nothing, this stays valid and only costs
degrees of freedom (S - 1 in place of up to 2 S - 2). Nested seeds would count what both runs share as error.

**Every pair has its own error term.** Pooling it over all runs would give more degrees of freedom. But the
scatter over seeds differs between runs by a factor of three (docs/reproducibility.md). A pooled term is then
too small for some pairs and too large for others.

**Limits are combined from both parts** (Howe 1974, JASA 69:789): the seeds' part of the variance with
Student's t, the images' part with the normal distribution. The degrees of freedom of Hillis (2007, Stat. Med.
26:596) are estimates. With three seeds they are far too high whenever the seeds happen to agree. Equal runs
are then called different too often, most of all after Holm's adjustment (`python -m benchmarks.crossed` has
both). `obuchowski_rockette` is the published test.
"""

import itertools
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
from scipy.special import expit, logit, ndtri, stdtridf, stdtrit
from scipy.stats import chi2, f

from emotions.evidence import intervals

Metric = Literal["macro_f1", "accuracy"]

DIFFICULTY: Final = 0.5
"""Share of the latent variance that all networks have in common on an image, in simulated studies. The right
answers of the default study's runs correlate by 0.5 to 0.57 (tetrachoric)."""
RUN_DIFFICULTY: Final = 0.1
"""Share of the latent variance that only the seeds of one run have in common on an image."""
BATCH: Final = 50
"""Simulated studies computed at once, to bound the memory."""
NOTHING: Final = 1e-8
"""A standard error or a difference below it is rounding."""


def _tables(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Confusion matrices, float [..., C, C], rows true; `predicted` is int [..., N].

    Raises:
        ValueError: no images, lengths differ, or a class outside 0 to C - 1.
    """
    if predicted.shape[-1] != len(labels) or len(labels) == 0:
        raise ValueError(f"{len(labels)} labels and {predicted.shape[-1]} answers; give one answer an image")
    if min(labels.min(), predicted.min()) < 0 or max(labels.max(), predicted.max()) >= classes:
        raise ValueError(f"labels and answers must be classes from 0 to {classes - 1}")
    flat = predicted.reshape(-1, len(labels))
    cells = (np.arange(len(flat))[:, None] * classes + labels) * classes + flat
    counted = np.bincount(cells.ravel(), minlength=len(flat) * classes**2)
    return counted.reshape(*predicted.shape[:-1], classes, classes).astype(float)


def _score(hits: np.ndarray, named: np.ndarray, sizes: np.ndarray, *, metric: Metric) -> np.ndarray:
    """The metric, float [...], from weights by class, float [..., C]: right answers, answers, true images."""
    if metric == "accuracy":
        return hits.sum(-1) / sizes.sum(-1)
    both = named + sizes
    return np.divide(2 * hits, both, out=np.zeros(np.shape(both)), where=both > 0).mean(-1)


def _scores(tables: np.ndarray, metric: Metric) -> np.ndarray:
    """The metric of each confusion matrix; float [..., C, C] -> [...]."""
    return _score(np.diagonal(tables, axis1=-2, axis2=-1), tables.sum(-2), tables.sum(-1), metric=metric)


def _left_out(tables: np.ndarray, metric: Metric) -> np.ndarray:
    """The metric without one image, float [..., C, C], by the true class and the answer of that image.

    The other n - 1 images of its class weigh n / (n - 1), so that class weights stay as they are.
    """
    order = np.eye(tables.shape[-1])
    sizes = tables.sum(-1)
    scale = (sizes / np.maximum(sizes - 1, 1))[..., None, None]
    hits = np.diagonal(tables, axis1=-2, axis2=-1)
    # Axes: class of the image, its answer, class of the score.
    own = (scale - 1) * hits[..., None, None] - scale * order[..., None]
    without = hits[..., None, None, :] + order[:, None, :] * own
    named = tables.sum(-2)[..., None, None, :] + (scale - 1) * tables[..., None, :] - scale * order
    return _score(without, named, sizes[..., None, None, :], metric=metric)


def _alike(tables: np.ndarray, metric: Metric) -> tuple[np.ndarray, np.ndarray]:
    """Score and its variance due to images, float [...] each, of networks like the observed ones
    (`intervals.population`). Both say something where each class gets one answer only."""
    sizes = tables.sum(-1, keepdims=True)
    smooth = (tables + 1 / tables.shape[-1]) * sizes / (sizes + 1)
    without = _left_out(smooth, metric)
    weights = np.divide(smooth, sizes, out=np.zeros_like(smooth), where=sizes > 0)
    spread = (weights * (without - (weights * without).sum(-1, keepdims=True)) ** 2).sum(-1)
    return _scores(smooth, metric), (np.maximum(sizes[..., 0] - 1, 0) * spread).sum(-1)


def _covariances(
    labels: np.ndarray, predicted: np.ndarray, tables: np.ndarray, *, metric: Metric
) -> np.ndarray:
    """`jackknife_covariances`, given the confusion matrices; float [..., R, S, R, S]."""
    classes, images = tables.shape[-1], len(labels)
    lead, networks = predicted.shape[:-3], predicted.shape[-3:-1]
    by_cell = _left_out(tables, metric).reshape(*predicted.shape[:-1], classes**2)
    values = np.take_along_axis(by_cell, labels * classes + predicted, -1).reshape(*lead, -1, images)
    sizes = np.bincount(labels, minlength=classes)
    member = (labels[:, None] == np.arange(classes)).astype(float)
    means = values @ member / np.maximum(sizes, 1)
    centred = (values - means[..., labels]) * (1 - 1 / sizes[labels]) ** 0.5
    return (centred @ centred.swapaxes(-1, -2)).reshape(*lead, *networks, *networks)


def jackknife_covariances(
    labels: np.ndarray, predicted: np.ndarray, *, classes: int, metric: Metric
) -> np.ndarray:
    """Covariances of the scores of all networks due to the images; class counts are fixed.

    Delete-one jackknife within classes: of the n images of a class each is left out once, the others weigh
    n / (n - 1), and squares count (n - 1) / n (Shao & Tu 1995, The Jackknife and Bootstrap, ch. 6). A class
    with one image adds nothing. It has no loop over images: a network's score without an image depends only
    on the true class and the answer.

    Args:
        labels: int [N]. predicted: int [..., R, S, N], the answers of R runs with S seeds each. classes: C.
        metric: "macro_f1", the mean F1 over all C classes as in `metrics.macro_f1`, or "accuracy".

    Returns:
        Float [..., R, S, R, S].

    Raises:
        ValueError: no images, another number of answers than of labels, or a class outside 0 to C - 1.
    """
    return _covariances(labels, predicted, _tables(labels, predicted, classes), metric=metric)


def error_term(
    mean_square: np.ndarray | float, covariance: np.ndarray | float, *, seeds: int, freedom: int
) -> tuple[np.ndarray, np.ndarray]:
    """Error term of Obuchowski & Rockette and its degrees of freedom (Hillis 2007), float [...] each.

    For a difference of runs: MS(T*R) and Cov2 - Cov3. For the mean of one run: MS(R) and Cov2. A covariance
    below 0 is a chance result and counts as 0. A mean square of 0 has infinitely many degrees of freedom.

    Args:
        mean_square, covariance: float [...]. seeds: S. freedom: of the mean square, (T - 1)(S - 1) or S - 1.
    """
    square = np.asarray(mean_square, float)
    term = square + seeds * np.maximum(covariance, 0)
    ratio = np.divide(term, square, out=np.full(np.shape(term), np.inf), where=square > 0)
    return term, freedom * ratio**2 if freedom else np.full(np.shape(term), np.inf)


def obuchowski_rockette(
    *,
    ms_runs: np.ndarray | float,
    ms_runs_by_seeds: np.ndarray | float,
    cov2: np.ndarray | float,
    cov3: np.ndarray | float,
    runs: int,
    seeds: int,
) -> dict[str, np.ndarray]:
    """F test of equal runs, from mean squares and covariances.

    >>> found = obuchowski_rockette(  # Van Dyke's data: five readers, two modalities
    ...     ms_runs=0.0047962, ms_runs_by_seeds=5.5103e-4, cov2=3.4407e-4, cov3=2.3903e-4, runs=2, seeds=5)
    >>> round(float(found["f"]), 2), round(float(found["df"]), 1), round(float(found["p"]), 3)
    (4.46, 15.3, 0.052)

    Args:
        ms_runs, ms_runs_by_seeds: MS(T) and MS(T*R) of the scores, float [...]. cov2, cov3: float [...].

    Returns:
        `f`; `df`, its denominator's degrees of freedom, which may be infinite; `p`; `error`, the standard
        error of a difference of two runs. All float [...]. Equal runs without any error have f = 0 and p = 1.
    """
    freedom = runs - 1
    term, df = error_term(
        ms_runs_by_seeds, np.subtract(cov2, cov3), seeds=seeds, freedom=freedom * (seeds - 1)
    )
    term = np.where(term > NOTHING**2, term, 0.0)
    none = np.where(np.asarray(ms_runs) > NOTHING**2, np.inf, 0.0)
    ratio = np.divide(ms_runs, term, out=np.broadcast_to(none, term.shape).copy(), where=term > 0)
    known = np.isfinite(df)
    p = np.where(known, f.sf(ratio, freedom, np.where(known, df, 1)), chi2.sf(freedom * ratio, freedom))
    return {"f": ratio, "df": df, "p": p, "error": np.sqrt(2 * term / seeds)}


def _between_seeds(covariances: np.ndarray) -> np.ndarray:
    """Mean covariance of two different seeds by pair of runs, float [..., R, R], of [..., R, S, R, S]; the
    diagonal has Cov2, the rest Cov3. With one seed they are the networks' own variances and covariances."""
    seeds = covariances.shape[-1]
    if seeds == 1:
        return covariances[..., 0, :, 0]
    whole = covariances.sum((-3, -1)) - np.diagonal(covariances, axis1=-3, axis2=-1).sum(-1)
    return whole / (seeds * (seeds - 1))


def _reach(
    of_seeds: np.ndarray | float,
    of_images: np.ndarray | float,
    *,
    seeds: int,
    alpha: np.ndarray | float = 0.05,
) -> np.ndarray:
    """Half-width of a 1 - `alpha` interval of a mean over S seeds (Howe 1974), float [...].

    Args:
        of_seeds: variance of the mean by the scatter over seeds, estimated with S - 1 degrees of freedom.
        of_images: its variance by images, known well.
    """
    half = np.asarray(alpha) / 2
    student = stdtrit(seeds - 1, half) ** 2 * of_seeds if seeds > 1 else 0.0
    return np.sqrt(student + ndtri(half) ** 2 * of_images)


def _two_sided(
    difference: np.ndarray, of_seeds: np.ndarray, of_images: np.ndarray, *, seeds: int
) -> np.ndarray:
    """The p-value whose interval (`_reach`) ends at 0, float [...]; by bisection."""
    low, high = np.zeros(difference.shape), np.ones(difference.shape)
    for _ in range(60):
        middle = (low + high) / 2
        beyond = np.abs(difference) > _reach(of_seeds, of_images, seeds=seeds, alpha=middle)
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return high


def _pairs(
    labels: np.ndarray, predicted: np.ndarray, *, classes: int, metric: Metric
) -> dict[str, np.ndarray]:
    """`difference`, `p` and the variances `of_seeds` and `of_images` of all P pairs of runs, float [..., P]
    each; predicted is int [..., R, S, N]."""
    runs, seeds = predicted.shape[-3:-1]
    first, second = np.triu_indices(runs, 1)
    tables = _tables(labels, predicted, classes)
    scores = _scores(tables, metric)
    by_seed = scores[..., first, :] - scores[..., second, :]
    difference = by_seed.mean(-1)
    between = _between_seeds(_covariances(labels, predicted, tables, metric=metric))
    own = np.diagonal(between, axis1=-2, axis2=-1)
    # In the error term 2 / S (MS(T*R) + S (Cov2 - Cov3)), a pair's MS(T*R) is half the variance over seeds.
    of_seeds = by_seed.var(-1, ddof=1) / seeds if seeds > 1 else np.zeros(difference.shape)
    of_images = np.maximum(own[..., first] + own[..., second] - 2 * between[..., first, second], 0)
    still = of_seeds + of_images < NOTHING**2
    of_images = np.where(still, 0, of_images)
    if (lacking := still & (np.abs(difference) > NOTHING)).any():
        # No image and no seed moves these scores: all is right, or all gets one answer.
        variance = _alike(tables, metric)[1].mean(-1)
        of_images = np.where(lacking, variance[..., first] + variance[..., second], of_images)
    p = _two_sided(difference, of_seeds, of_images, seeds=seeds)
    return {"difference": difference, "p": p, "of_seeds": of_seeds, "of_images": of_images}


def differences(
    labels: np.ndarray, predicted: np.ndarray, names: Sequence[str], *, classes: int, metric: Metric
) -> dict[str, dict[str, Any]]:
    """Compare every pair of runs, first minus second, over images and seeds.

    With one seed there is no scatter over seeds to see: the test and the interval are about images only, hold
    for these very networks, and use the normal distribution. Where neither images nor seeds give an error
    although scores differ, it is that of networks like these (`intervals.population`).

    Args:
        labels: int [N]. predicted: int [R, S, N]; seed s is the same seed in all runs. names: R names.
        classes: C. metric: as for `jackknife_covariances`.

    Returns:
        "first - second" -> `difference` of the means over seeds; `interval`, its 95 % limits; `p`, two-sided,
        not adjusted for other pairs (`intervals.holm`); `df`, the degrees of freedom with which Student's t
        gives that interval, None where infinite; `seeds`, S. Equal answers have the difference 0, the
        interval [0, 0] and p = 1.

    Raises:
        ValueError: another number of names than of runs, or as for `jackknife_covariances`.
    """
    if predicted.ndim != 3 or len(names) != len(predicted):
        raise ValueError(f"{len(names)} runs; their answers must be [runs, seeds, images]")
    found = _pairs(labels, predicted, classes=classes, metric=metric)
    seeds, pairs = predicted.shape[1], itertools.combinations(names, 2)
    reach = _reach(found["of_seeds"], found["of_images"], seeds=seeds)
    table = zip(
        pairs, found["difference"], reach, found["p"], found["of_seeds"], found["of_images"], strict=True
    )
    return {
        f"{one} - {other}": {
            "difference": float(difference),
            "interval": [max(float(difference - far), -1.0), min(float(difference + far), 1.0)],
            "p": float(p),
            "df": _freedom(far / (of_seeds + of_images) ** 0.5) if of_seeds > 0 else None,
            "seeds": seeds,
        }
        for (one, other), difference, far, p, of_seeds, of_images in table
    }


def _freedom(quantile: float) -> float | None:
    """Degrees of freedom with which 97.5 % of Student's t lie below `quantile`; None where more than 10^6."""
    found = float(stdtridf(0.975, quantile)) if quantile > intervals.Z + 1e-6 else np.inf
    return found if found < 1e6 else None


def mean_over_seeds(
    labels: np.ndarray, predicted: np.ndarray, *, classes: int, metric: Metric
) -> dict[str, Any]:
    """Mean score of a run over its seeds, and a 95 % interval over images and seeds.

    The error term is that of a single modality, MS(R) + S Cov2 (Hillis 2007). The logit scale keeps the
    limits inside 0 to 1, as in `intervals.bounds`. With one seed the interval is about images only. Where
    neither images nor seeds give an error, the interval is that of networks like these
    (`intervals.population`), widened to hold the mean.

    Args:
        labels: int [N]. predicted: int [S, N]. classes: C. metric: as for `jackknife_covariances`.

    Returns:
        `mean`; `sd` over seeds, None of one seed; `interval`; `seeds`, S.

    Raises:
        ValueError: as for `jackknife_covariances`.
    """
    seeds = len(predicted)
    tables = _tables(labels, predicted, classes)
    scores = _scores(tables, metric)
    cov2 = _between_seeds(_covariances(labels, predicted[None], tables[None], metric=metric))[0, 0]
    of_seeds = scores.var(ddof=1) / seeds if seeds > 1 else 0.0
    mean, of_images = float(scores.mean()), max(float(cov2), 0.0)
    centre = mean
    if of_seeds + of_images < NOTHING**2:
        alike, variance = _alike(tables, metric)
        centre, of_seeds, of_images = float(alike.mean()), 0.0, float(variance.mean())
    reach = float(_reach(of_seeds, of_images, seeds=seeds)) / (centre * (1 - centre))
    low, high = (float(expit(logit(centre) + sign * reach)) for sign in (-1, 1))
    return {
        "mean": mean,
        "sd": float(scores.std(ddof=1)) if seeds > 1 else None,
        "interval": [min(low, mean), max(high, mean)],
        "seeds": seeds,
    }


def over_seeds(values: Sequence[float], limits: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Combine numbers measured on the same images by seed, each with its 95 % interval over images.

    On each side, the images' part of the reach is the root mean square of the intervals': as all seeds share
    the images, it does not shrink with their number. The seeds' part is that of Student's interval, from
    s^2 / S. The reach is the root of the sum of both squares (Howe 1974, JASA 69:789). As s^2 also holds
    chance that images bring to single seeds, the interval is rather too wide. One seed keeps its interval.

    >>> low, high = over_seeds([0.5, 0.5], [[0.25, 1.0], [0.25, 1.0]])["interval"]
    >>> round(low, 6), round(high, 6)
    (0.25, 1.0)

    Args:
        values: S numbers. limits: S pairs, low and high, each around its value; they need not be symmetric.

    Returns:
        `mean`; `sd` over seeds, None of one seed; `interval`; `p`, two-sided, that it is 0, None of one seed;
        `seeds`, S.

    Raises:
        ValueError: no values, another number of intervals, or a value outside its interval.
    """
    measured, sides = np.asarray(values, float), np.asarray(limits, float)
    if not len(measured) or sides.shape != (len(measured), 2):
        raise ValueError(f"{len(measured)} values over seeds need as many intervals, low and high")
    reaches = np.abs(sides - measured[:, None])
    # Numbers read from a file are rounded.
    if ((sides - measured[:, None]) * np.array([-1, 1]) < -1e-6).any():
        raise ValueError("a value over seeds lies outside its interval")
    seeds, mean = len(measured), float(measured.mean())
    if seeds == 1:
        return {"mean": mean, "sd": None, "interval": [float(x) for x in sides[0]], "p": None, "seeds": 1}
    images = (reaches**2).mean(0) / intervals.Z**2
    of_seeds = measured.var(ddof=1) / seeds
    low, high = _reach(of_seeds, images, seeds=seeds)
    towards_zero = images[0 if mean > 0 else 1]
    return {
        "mean": mean,
        "sd": float(measured.std(ddof=1)),
        "interval": [mean - float(low), mean + float(high)],
        "p": float(_two_sided(np.array(mean), of_seeds, towards_zero, seeds=seeds)),
        "seeds": seeds,
    }


def _recalls(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Recall, the same for every class, of networks with these true macro-F1 scores; float [...] each. Wrong
    answers fall on the other classes by their shares. Scores out of reach get a recall of 0 or 1."""
    shares, recall = counts / counts.sum(), np.linspace(0, 1, 1001)[:, None]
    others = (shares / (1 - shares)).sum() - shares / (1 - shares)
    named = shares * (recall + (1 - recall) * others)
    both = named + shares
    f1 = np.divide(2 * shares * recall, both, out=np.zeros_like(both), where=both > 0).mean(1)
    return np.interp(scores, f1, recall[:, 0])


def simulate(
    counts: np.ndarray,
    scores: Sequence[float],
    *,
    seeds: int,
    scatter: float,
    studies: int,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and answers in simulated studies: int [N] and [K, R, S, N].

    A network has one recall for all classes, drawn so that its true macro-F1 has the mean `scores[r]` and the
    standard deviation `scatter` over seeds. Seeds share nothing between runs: the case in which pairing them
    gains nothing. A latent normal variable decides whether an answer is right. It has the parts DIFFICULTY
    (of the image, for all networks), RUN_DIFFICULTY (of the image, for one run) and the network's own.

    Args:
        counts: int [C], images by class. scores: R true macro-F1 scores. studies: K.

    Raises:
        ValueError: fewer than two classes have images.
    """
    if (np.asarray(counts) > 0).sum() < 2:
        raise ValueError("a simulated study needs images of two classes")
    classes, runs = len(counts), len(scores)
    labels = np.repeat(np.arange(classes), counts)
    shape = (studies, runs, seeds)
    skill = np.asarray(scores)[:, None] + scatter * generator.standard_normal(shape)
    limit = ndtri(_recalls(skill, np.asarray(counts)))[..., None]
    latent = DIFFICULTY**0.5 * generator.standard_normal((studies, 1, 1, len(labels)))
    latent = latent + RUN_DIFFICULTY**0.5 * generator.standard_normal((studies, runs, 1, len(labels)))
    own = (1 - DIFFICULTY - RUN_DIFFICULTY) ** 0.5
    right = latent + own * generator.standard_normal((*shape, len(labels))) < limit
    # A wrong answer is a place on the line of all images but those of the true class.
    begins = np.concatenate([[0], np.cumsum(counts)])
    place = (generator.random(right.shape) * (len(labels) - np.asarray(counts)[labels])).astype(int)
    place += np.where(place >= begins[labels], np.asarray(counts)[labels], 0)
    return labels, np.where(right, labels, labels[place])


def _holm(p: np.ndarray) -> np.ndarray:
    """`intervals.holm` of many families at once, float [K, P]; statsmodels takes 0.1 s for each."""
    tests = p.shape[-1]
    order = p.argsort(-1)
    stepped = np.take_along_axis(p, order, -1) * (tests - np.arange(tests))
    adjusted = np.minimum(np.maximum.accumulate(stepped, -1), 1)
    return np.take_along_axis(adjusted, order.argsort(-1), -1)


def operating_characteristics(
    counts: np.ndarray,
    *,
    runs: int,
    seeds: int,
    scatter: float,
    studies: int,
    generator: np.random.Generator,
    score: float = 0.5,
    apart: Sequence[float] = (0.0, 0.05, 0.10, 0.15),
) -> dict[float, float]:
    """Level and power of `differences` on macro-F1, by simulation at a study's own size (`simulate`).

    The p-values of all pairs of runs are adjusted by Holm's method. Where runs are equal, the number is the
    share of studies in which any pair is called different at 0.05: the level of the family. Where the first
    run's true macro-F1 is higher, it is the share in which the first and the second run are called different,
    in this direction: the power. The standard error of a share x is sqrt(x (1 - x) / studies).

    Args:
        counts: int [C], test images by class. scatter: standard deviation of a run's true macro-F1 over
        seeds. score: true macro-F1 of the runs; the first has that plus the difference. apart: the
        differences.

    Returns:
        Difference -> share of the simulated studies.

    Raises:
        ValueError: fewer than two runs, or as for `simulate`.
    """
    if runs < 2:
        raise ValueError("a comparison needs two runs")
    found = {}
    for difference in apart:
        called = 0
        for begin in range(0, studies, BATCH):
            labels, predicted = simulate(
                counts,
                [score + difference] + [score] * (runs - 1),
                seeds=seeds,
                scatter=scatter,
                studies=min(BATCH, studies - begin),
                generator=generator,
            )
            pairs = _pairs(labels, predicted, classes=len(counts), metric="macro_f1")
            rejected = _holm(pairs["p"]) < 0.05
            if difference:
                called += int((rejected & (pairs["difference"] * difference > 0))[:, 0].sum())
            else:
                called += int(rejected.any(-1).sum())
        found[difference] = called / studies
    return found
