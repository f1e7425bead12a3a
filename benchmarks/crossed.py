"""Level and power of tests between runs with 1, 3 and 5 seeds, at the default study's test class counts.

Usage: python -m benchmarks.crossed

Simulated studies of three runs (`emotions.evidence.crossed.simulate`), Holm over the three pairs. Minutes on
one core.
"""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import ttest_1samp

from emotions.evidence import crossed, intervals
from emotions.evidence.intervals import recall_and_f1
from emotions.random_streams import numpy_stream

STUDIES, RUNS, SCORE, REPLICATES = 1000, 3, 0.5, 199
APART = (0.0, 0.05, 0.10, 0.15)
SCATTER = (0.03, 0.06)
"""Standard deviation of a run's true macro-F1 over seeds; about what runs 2 and 1 show
(docs/reproducibility.md)."""
SEEDS = (1, 3, 5)
FEWER = 200
"""Studies for the permutation test, which takes longest."""
PAIRS = tuple(itertools.combinations(range(RUNS), 2))

Test = Callable[[np.ndarray, np.ndarray], list[tuple[float, float]]]


def over_seeds(labels: np.ndarray, predicted: np.ndarray) -> list[tuple[float, float]]:
    """Difference and p of a paired t test over seeds, by pair; predicted is int [R, S, N]."""
    ones = np.ones((1, len(labels)))
    scores = recall_and_f1(ones, labels, predicted, classes=labels.max() + 1)[1][..., 0, :].mean(-1)
    apart = [scores[i] - scores[j] for i, j in PAIRS]
    return [(float(x.mean()), float(ttest_1samp(x, 0).pvalue)) for x in apart]


def published(labels: np.ndarray, predicted: np.ndarray) -> list[tuple[float, float]]:
    """Difference and p with the degrees of freedom of Hillis 2007, by pair."""
    classes, seeds = labels.max() + 1, predicted.shape[1]
    scores = recall_and_f1(np.ones((1, len(labels))), labels, predicted, classes=classes)[1][..., 0, :].mean(
        -1
    )
    cov = crossed.jackknife_covariances(labels, predicted, classes=classes, metric="macro_f1")
    other = ~np.eye(seeds, dtype=bool)
    mean = np.array([[cov[i, :, j][other].mean() for j in range(RUNS)] for i in range(RUNS)])
    found = []
    for i, j in PAIRS:
        apart = scores[i] - scores[j]
        test = crossed.obuchowski_rockette(
            ms_runs=seeds * apart.mean() ** 2 / 2,
            ms_runs_by_seeds=apart.var(ddof=1) / 2,
            cov2=(mean[i, i] + mean[j, j]) / 2,
            cov3=mean[i, j],
            runs=2,
            seeds=seeds,
        )
        found.append((float(apart.mean()), float(test["p"])))
    return found


def permuted(generator: np.random.Generator) -> Test:
    """Difference and p of `intervals.paired_difference` between the first seeds, by pair."""

    def test(labels: np.ndarray, predicted: np.ndarray) -> list[tuple[float, float]]:
        found = [
            intervals.paired_difference(
                labels,
                predicted[i, 0],
                predicted[j, 0],
                classes=labels.max() + 1,
                replicates=REPLICATES,
                generator=generator,
            )["macro_f1"]
            for i, j in PAIRS
        ]
        return [(one["difference"], one["p"]) for one in found]

    return test


def shares(
    test: Test,
    counts: np.ndarray,
    *,
    seeds: int,
    scatter: float,
    studies: int,
    generator: np.random.Generator,
) -> list[float]:
    """What `crossed.operating_characteristics` gives, of another test."""
    found = []
    for apart in APART:
        labels, predicted = crossed.simulate(
            counts,
            [SCORE + apart] + [SCORE] * (RUNS - 1),
            seeds=seeds,
            scatter=scatter,
            studies=studies,
            generator=generator,
        )
        called = 0
        for study in predicted:
            differences, p = np.array(test(labels, study)).T
            # Holm's first step decides whether any pair is called different.
            called += p.min() * len(p) <= 0.05 if apart == 0 else first_is_called(differences, p)
        found.append(called / studies)
    return found


def first_is_called(differences: np.ndarray, p: np.ndarray) -> bool:
    """Whether Holm's method calls the first pair different, in favour of the first run."""
    smaller = np.sort(p[p < p[0]])
    adjusted = max([p[0] * (len(p) - len(smaller)), *(smaller * (len(p) - np.arange(len(smaller))))])
    return bool(adjusted <= 0.05 and differences[0] > 0)


def main() -> None:
    data = json.loads(Path("metrics/data.json").read_text())
    counts = np.array([data["compound"][name]["test"] for name in data["classes"]])
    print(
        f"{counts.sum()} images, {RUNS} runs, true macro-F1 {SCORE}; percent of {STUDIES} simulated studies"
    )
    print(f"({FEWER} for the permutation test)")
    for scatter in SCATTER:
        print(f"\n| scatter over seeds {scatter} | seeds | equal: level | " +
              " | ".join(f"{x:.2f} apart" for x in APART[1:]) + " |")  # fmt: skip
        print("|:--|" + "--:|" * (1 + len(APART)))

        def row(name: str, seeds: int, found: list[float]) -> None:
            print(f"| {name} | {seeds} | " + " | ".join(f"{100 * x:.1f}" for x in found) + " |", flush=True)

        draws = numpy_stream(0, "crossed", str(scatter), "permutation")
        row(
            "images only: permutation",
            1,
            shares(permuted(draws), counts, seeds=1, scatter=scatter, studies=FEWER, generator=draws),
        )
        families: tuple[tuple[str, int, tuple[int, ...], tuple[str, ...]], ...] = (
            ("images and seeds (used)", RUNS, SEEDS, ()),
            ("the same, one pair named in advance", 2, SEEDS[1:], ("pair",)),
        )
        for name, runs, numbers, stream in families:
            for seeds in numbers:
                draws = numpy_stream(0, "crossed", str(scatter), seeds, *stream)
                found = crossed.operating_characteristics(
                    counts,
                    runs=runs,
                    seeds=seeds,
                    scatter=scatter,
                    studies=STUDIES,
                    generator=draws,
                    score=SCORE,
                    apart=APART,
                )
                row(name if seeds > 1 else "images only: jackknife (used)", seeds, list(found.values()))
        for name, test in (
            ("images and seeds: degrees of freedom of Hillis 2007", published),
            ("seeds only: paired t test", over_seeds),
        ):
            for seeds in SEEDS[1:]:
                draws = numpy_stream(0, "crossed", str(scatter), seeds, "others")
                row(
                    name,
                    seeds,
                    shares(test, counts, seeds=seeds, scatter=scatter, studies=STUDIES, generator=draws),
                )


if __name__ == "__main__":
    main()
