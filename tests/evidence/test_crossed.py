"""Statistics over seeds and images against published examples, brute force and simulation."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit, logit

from emotions.evidence import crossed, intervals, metrics
from emotions.random_streams import numpy_stream

COUNTS = np.array([35, 15, 10, 12, 7, 50, 12, 32, 12, 54, 11])
"""Test images by class of the default study."""
LABELS = np.repeat(np.arange(11), COUNTS)
METRICS: tuple[crossed.Metric, ...] = ("macro_f1", "accuracy")
NAMES = ("a", "b", "c")


def draws(*name: str | int) -> np.random.Generator:
    return numpy_stream(0, "test_crossed", *name)


def answered(*shape: int, right: float = 0.6, name: str = "answered") -> np.ndarray:
    """Answers [*shape, N] to LABELS, of which about a share of `right` are right."""
    generator = draws(name, *shape)
    said = generator.integers(0, 11, (*shape, len(LABELS)))
    return np.where(generator.random(said.shape) < right, LABELS, said)


def score(
    labels: np.ndarray, predicted: np.ndarray, weights: np.ndarray, *, classes: int, metric: str
) -> float:
    if metric == "accuracy":
        return float(np.average(labels == predicted, weights=weights))
    return float(intervals.recall_and_f1(weights[None], labels, predicted, classes=classes)[1].mean())


def by_brute_force(labels: np.ndarray, networks: np.ndarray, *, classes: int, metric: str) -> np.ndarray:
    """Covariances of networks [M, N], leaving one image out after the other."""
    total = np.zeros((len(networks), len(networks)))
    for label in np.unique(labels):
        images = np.flatnonzero(labels == label)
        if len(images) == 1:
            continue
        without = []
        for image in images:
            weights = np.ones(len(labels))
            weights[images] = len(images) / (len(images) - 1)
            weights[image] = 0
            without.append([score(labels, one, weights, classes=classes, metric=metric) for one in networks])
        centred = np.array(without) - np.mean(without, 0)
        total += (len(images) - 1) / len(images) * centred.T @ centred
    return total


# Published examples: Van Dyke et al. 1993 (two modalities, five readers) and Zanca et al. 2012 (five
# modalities, four readers) as analysed in D. P. Chakraborty's "The RJafroc Quick Start Book", chapter on
# applications of the Obuchowski-Rockette method (RJafroc; empirical AUC, jackknife).
VAN_DYKE = np.array([[0.9196, 0.8588, 0.9039, 0.9731, 0.8298], [0.9478, 0.9053, 0.9217, 0.9994, 0.9300]])


def test_van_dykes_example_has_the_published_f_degrees_of_freedom_p_and_interval() -> None:
    found = crossed.obuchowski_rockette(
        ms_runs=0.0047962, ms_runs_by_seeds=5.5103062e-4, cov2=3.4407483e-4, cov3=2.3902837e-4,
        runs=2, seeds=5,
    )  # fmt: skip
    assert found["f"] == pytest.approx(4.456, abs=5e-4)
    assert found["df"] == pytest.approx(15.26, abs=5e-3)
    assert found["p"] == pytest.approx(0.05167, abs=5e-6)
    reach = stats.t.ppf(0.975, found["df"]) * found["error"]
    difference = float(np.subtract(*VAN_DYKE.mean(1)))
    assert [difference - reach, difference + reach] == pytest.approx([-0.0879595, 0.0003589], abs=3e-5)


def test_zancas_example_of_five_modalities_has_the_published_numbers() -> None:
    found = crossed.obuchowski_rockette(
        ms_runs=0.001897, ms_runs_by_seeds=0.000462, cov2=0.000233, cov3=0.000212, runs=5, seeds=4
    )
    assert found["f"] == pytest.approx(3.47, abs=0.02)
    assert found["df"] == pytest.approx(16.8, abs=0.1)
    assert found["p"] == pytest.approx(0.0305, abs=5e-4)
    assert found["error"] == pytest.approx(0.0165, abs=5e-5)


@pytest.mark.parametrize(
    ("modality", "square", "cov2", "error", "freedom", "low", "high"),
    [
        (0, 0.003083, 0.0004840, 0.03317, 12.74, 0.8252, 0.9689),
        (1, 0.001305, 0.0002042, 0.02157, 12.71, 0.8941, 0.9875),
    ],
)
def test_van_dykes_single_modalities_have_the_published_intervals(
    modality: int, square: float, cov2: float, error: float, freedom: float, low: float, high: float
) -> None:
    assert VAN_DYKE[modality].var(ddof=1) == pytest.approx(square, abs=3e-6)  # of four digits
    term, df = crossed.error_term(square, cov2, seeds=5, freedom=4)
    assert np.sqrt(term / 5) == pytest.approx(error, abs=1e-5)
    assert df == pytest.approx(freedom, abs=0.01)
    reach = stats.t.ppf(0.975, df) * np.sqrt(term / 5)
    mean = VAN_DYKE[modality].mean()
    assert [mean - reach, mean + reach] == pytest.approx([low, high], abs=1e-4)


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=40, deadline=None)
@given(
    st.integers(3, 5),
    st.lists(st.tuples(*[st.integers(0, 2)] * 5), min_size=1, max_size=25),
)
def test_jackknife_covariances_are_those_of_a_loop_over_images(
    metric: crossed.Metric, classes: int, rows: list[tuple[int, ...]]
) -> None:
    labels, *answers = np.array(rows).T
    predicted = np.array(answers).reshape(2, 2, -1)
    found = crossed.jackknife_covariances(labels, predicted, classes=classes, metric=metric)
    loop = by_brute_force(labels, np.array(answers), classes=classes, metric=metric)
    assert found.shape == (2, 2, 2, 2)
    assert found.reshape(4, 4) == pytest.approx(loop, abs=1e-12)


def test_the_variance_of_accuracy_is_the_unbiased_one_of_a_stratified_share() -> None:
    predicted = answered(1, 1)
    right = predicted[0, 0] == LABELS
    by_hand = sum(
        (n / len(LABELS)) ** 2 * right[label == LABELS].var(ddof=1) / n for label, n in enumerate(COUNTS)
    )
    found = crossed.jackknife_covariances(LABELS, predicted, classes=11, metric="accuracy")
    assert found.item() == pytest.approx(by_hand)


def test_the_variance_of_macro_f1_is_near_that_of_the_projects_resamples() -> None:
    predicted = answered(1, 1)
    weights = intervals.resample(LABELS, 4000, draws("resample"))
    resampled = intervals.recall_and_f1(weights, LABELS, predicted[0, 0], classes=11)[1].mean(-1)
    found = crossed.jackknife_covariances(LABELS, predicted, classes=11, metric="macro_f1")
    assert found.item() ** 0.5 == pytest.approx(resampled.std(ddof=1), rel=0.06)


@pytest.mark.parametrize("metric", METRICS)
def test_a_difference_is_the_obuchowski_rockette_analysis_of_its_two_runs(metric: crossed.Metric) -> None:
    _, (predicted,) = crossed.simulate(
        COUNTS, [0.6, 0.5, 0.4], seeds=4, scatter=0.03, studies=1, generator=draws("pairs")
    )
    accuracies = (predicted == LABELS).mean(-1)
    f1 = np.array([[metrics.macro_f1(LABELS, p, 11) for p in run] for run in predicted])
    scores = f1 if metric == "macro_f1" else accuracies
    cov = crossed.jackknife_covariances(LABELS, predicted, classes=11, metric=metric)
    found = crossed.differences(LABELS, predicted, NAMES, classes=11, metric=metric)
    assert list(found) == ["a - b", "a - c", "b - c"]
    for pair, (i, j) in zip(found.values(), ((0, 1), (0, 2), (1, 2)), strict=True):
        two = scores[[i, j]]
        residual = two - two.mean(0) - two.mean(1, keepdims=True) + two.mean()
        other = [(s, u) for s in range(4) for u in range(4) if s != u]
        published = crossed.obuchowski_rockette(
            ms_runs=4 * two.mean(1).var(ddof=1),
            ms_runs_by_seeds=(residual**2).sum() / 3,
            cov2=np.mean([cov[r, s, r, u] for r in (i, j) for s, u in other]),
            cov3=np.mean([cov[i, s, j, u] for s, u in other]),
            runs=2,
            seeds=4,
        )
        difference, (low, high) = pair["difference"], pair["interval"]
        assert difference == pytest.approx(two[0].mean() - two[1].mean())
        assert (difference / published["error"]) ** 2 == pytest.approx(float(published["f"]))
        # The same standard error; other degrees of freedom.
        reach = stats.t.ppf(0.975, pair["df"]) * published["error"]
        assert [low, high] == pytest.approx([difference - reach, difference + reach])
        assert pair["df"] > 3
        assert pair["seeds"] == 4
        assert (low <= 0 <= high) == (pair["p"] >= 0.05)


@pytest.mark.parametrize("metric", METRICS)
def test_one_seed_leaves_the_images_and_the_normal_distribution(metric: crossed.Metric) -> None:
    predicted = answered(2, 1)
    cov = crossed.jackknife_covariances(LABELS, predicted, classes=11, metric=metric)[:, 0, :, 0]
    (pair,) = crossed.differences(LABELS, predicted, ("a", "b"), classes=11, metric=metric).values()
    error = (cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]) ** 0.5
    d = pair["difference"]
    assert pair["interval"] == pytest.approx([d - intervals.Z * error, d + intervals.Z * error])
    assert pair["p"] == pytest.approx(2 * stats.norm.sf(abs(d) / error))
    assert (pair["df"], pair["seeds"]) == (None, 1)
    one = crossed.mean_over_seeds(LABELS, predicted[0], classes=11, metric=metric)
    reach = intervals.Z * cov[0, 0] ** 0.5 / (one["mean"] * (1 - one["mean"]))
    assert one["interval"] == pytest.approx([expit(logit(one["mean"]) + s * reach) for s in (-1, 1)])
    assert (one["sd"], one["seeds"]) == (None, 1)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("metric", METRICS)
def test_equal_networks_differ_by_nothing_and_warn_of_nothing(seeds: int, metric: crossed.Metric) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for networks in (answered(1, seeds), np.zeros((1, seeds, 250), int), np.tile(LABELS, (1, seeds, 1))):
            same = np.concatenate([networks, networks])
            (pair,) = crossed.differences(LABELS, same, ("a", "b"), classes=11, metric=metric).values()
            assert (pair["difference"], pair["interval"], pair["p"]) == (0, [0, 0], 1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 2)] * 7), min_size=1, max_size=25))
def test_exchanging_runs_turns_the_sign_and_nothing_else(rows: list[tuple[int, ...]]) -> None:
    labels, *answers = np.array(rows).T
    predicted = np.array(answers).reshape(2, 3, -1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, other = (
            crossed.differences(labels, p, ("a", "b"), classes=3, metric="macro_f1")["a - b"]
            for p in (predicted, predicted[::-1])
        )
    assert other["difference"] == pytest.approx(-one["difference"])
    assert other["interval"] == pytest.approx([-one["interval"][1], -one["interval"][0]])
    assert other["p"] == pytest.approx(one["p"])
    assert other["df"] == (None if one["df"] is None else pytest.approx(one["df"]))


@pytest.mark.parametrize("seeds", [1, 3])
def test_scores_that_neither_images_nor_seeds_move_get_the_error_of_networks_alike(seeds: int) -> None:
    always, never = np.tile(LABELS, (seeds, 1)), np.full((seeds, 250), 9)
    predicted = np.stack([always, never])
    pair = crossed.differences(LABELS, predicted, ("a", "b"), classes=11, metric="macro_f1")["a - b"]
    variance = 0.0
    for i, answers in enumerate((LABELS, never[0])):
        alike = intervals.answers_alike(LABELS, answers, 11, generator=draws("alike", i))
        f1 = intervals.recall_and_f1(np.ones((1, 250)), LABELS, alike, classes=11)[1]
        variance += f1.mean(-1).var(ddof=1)
    low, high = pair["interval"]
    assert high == 1.0
    assert pair["difference"] - low == pytest.approx(intervals.Z * variance**0.5, rel=0.15)
    for networks, mean in ((always, 1.0), (never, metrics.macro_f1(LABELS, never[0], 11))):
        one = crossed.mean_over_seeds(LABELS, networks, classes=11, metric="macro_f1")
        low, high = one["interval"]
        assert one["mean"] == pytest.approx(mean)
        assert low <= one["mean"] <= high
        assert 0.02 < high - low < 0.2


def test_a_mean_over_seeds_has_the_error_of_a_single_modality() -> None:
    predicted = answered(4)
    scores = np.array([metrics.macro_f1(LABELS, p, 11) for p in predicted])
    cov = crossed.jackknife_covariances(LABELS, predicted[None], classes=11, metric="macro_f1")[0, :, 0]
    cov2 = cov[~np.eye(4, dtype=bool)].mean()
    found = crossed.mean_over_seeds(LABELS, predicted, classes=11, metric="macro_f1")
    mean = scores.mean()
    variance = stats.t.ppf(0.975, 3) ** 2 * scores.var(ddof=1) / 4 + intervals.Z**2 * cov2
    reach = variance**0.5 / (mean * (1 - mean))
    assert found["mean"] == pytest.approx(mean)
    assert found["sd"] == pytest.approx(scores.std(ddof=1))
    assert found["interval"] == pytest.approx([expit(logit(mean) - reach), expit(logit(mean) + reach)])


def test_numbers_of_one_seed_keep_their_interval() -> None:
    assert crossed.over_seeds([0.1], [[-0.05, 0.4]]) == {
        "mean": 0.1, "sd": None, "interval": [-0.05, 0.4], "p": None, "seeds": 1,
    }  # fmt: skip


@given(st.integers(2, 6), st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_equal_numbers_over_seeds_keep_their_interval(seeds: int, x: float, low: float, high: float) -> None:
    found = crossed.over_seeds([x] * seeds, [[x - low, x + high]] * seeds)
    assert found["interval"] == pytest.approx([x - low, x + high], abs=1e-6)


def test_numbers_without_chance_of_images_have_students_interval() -> None:
    values = [0.1, 0.2, 0.4]
    found = crossed.over_seeds(values, [[v, v] for v in values])
    assert found["interval"] == pytest.approx(intervals.mean_interval(values)["interval"])


def test_numbers_over_seeds_combine_both_parts_side_by_side() -> None:
    found = crossed.over_seeds([0.1, 0.3], [[0.0, 0.3], [0.1, 0.6]])
    seeds = stats.t.ppf(0.975, 1) ** 2 * 0.02 / 2
    low, high = (((0.1**2 + 0.2**2) / 2 + seeds) ** 0.5, ((0.2**2 + 0.3**2) / 2 + seeds) ** 0.5)
    assert found["interval"] == pytest.approx([0.2 - low, 0.2 + high])


def test_seeds_alone_give_students_test() -> None:
    values = np.array([0.1, 0.05, 0.2])
    p = crossed._two_sided(values.mean()[None], values.var(ddof=1)[None] / 3, np.zeros(1), seeds=3)
    assert p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


@pytest.mark.parametrize(
    ("values", "limits"), [([], []), ([0.1], []), ([0.1, 0.2], [[0, 1]]), ([0.5], [[0.6, 0.7]])]
)
def test_numbers_without_their_interval_are_refused(values: list[float], limits: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="seeds"):
        crossed.over_seeds(values, limits)


def test_what_is_no_study_is_refused() -> None:
    good = answered(2, 2)
    for predicted, names in (
        (good, NAMES),
        (good[0], ("a", "b")),
        (good[..., :9], ("a", "b")),
        (good + 1, ("a", "b")),
    ):
        with pytest.raises(ValueError, match=r"runs|images?|classes"):
            crossed.differences(LABELS, predicted, names, classes=11, metric="accuracy")
    with pytest.raises(ValueError, match="two runs"):
        crossed.operating_characteristics(
            COUNTS, runs=1, seeds=3, scatter=0.05, studies=1, generator=draws("one")
        )
    with pytest.raises(ValueError, match="two classes"):
        crossed.simulate(np.array([9, 0]), [0.5], seeds=1, scatter=0, studies=1, generator=draws("one"))


def test_simulated_networks_have_the_macro_f1_and_the_scatter_that_they_should() -> None:
    counts = COUNTS * 20
    labels, predicted = crossed.simulate(
        counts, [0.7, 0.4], seeds=5, scatter=0.06, studies=20, generator=draws("model")
    )
    f1 = np.array([[metrics.macro_f1(labels, p, 11) for p in run] for run in predicted.reshape(-1, 5, 5000)])
    f1 = f1.reshape(20, 2, 5)
    assert f1.mean((0, 2)) == pytest.approx([0.7, 0.4], abs=0.02)
    assert f1.var(-1, ddof=1).mean() ** 0.5 == pytest.approx(0.06, rel=0.15)
    right = predicted == labels
    within = np.corrcoef(right[0, 0])[0, 1]
    across = np.corrcoef(right[0, 0, 0], right[0, 1, 0])[0, 1]
    assert 0.1 < across < within < 0.8


def test_level_and_coverage_hold_where_seeds_scatter_and_an_images_only_test_errs_more_often() -> None:
    studies, scatter = 300, 0.05
    labels, predicted = crossed.simulate(
        COUNTS, [0.5, 0.5], seeds=3, scatter=scatter, studies=studies, generator=draws("level")
    )
    p, images_only, covered = [], [], []
    for study in predicted:
        pair = crossed.differences(labels, study, ("a", "b"), classes=11, metric="macro_f1")["a - b"]
        one = crossed.differences(labels, study[:, :1], ("a", "b"), classes=11, metric="macro_f1")["a - b"]
        mean = crossed.mean_over_seeds(labels, study[0], classes=11, metric="macro_f1")["interval"]
        p.append(pair["p"])
        images_only.append(one["p"])
        covered.append(mean[0] <= 0.5 <= mean[1])
    level = np.mean(np.array(p) < 0.05)
    assert 0.02 <= level <= 0.09
    assert np.mean(np.array(images_only) < 0.05) > level + 0.1
    assert 0.91 <= np.mean(covered) <= 0.985


def test_power_rises_with_the_difference_and_with_seeds_from_a_level_that_holds() -> None:
    found = {
        seeds: crossed.operating_characteristics(
            COUNTS, runs=3, seeds=seeds, scatter=0.03, studies=200, generator=draws("power", seeds)
        )
        for seeds in (3, 5)
    }
    for shares in found.values():
        assert list(shares) == [0.0, 0.05, 0.10, 0.15]
        assert shares[0.0] <= 0.08
        assert shares[0.05] < shares[0.10] < shares[0.15]
    assert found[5][0.10] > found[3][0.10]


def test_families_at_once_are_adjusted_as_one_by_one() -> None:
    p = draws("holm").random((5, 4))
    p[0, 1] = p[0, 2]
    for row, adjusted in zip(p, crossed._holm(p), strict=True):
        expected = intervals.holm({str(i): float(x) for i, x in enumerate(row)})
        assert adjusted == pytest.approx(list(expected.values()))


def test_the_same_stream_gives_the_same_shares() -> None:
    one, other = (
        crossed.operating_characteristics(
            COUNTS, runs=2, seeds=2, scatter=0.05, studies=60, generator=draws("same"), apart=(0.0, 0.1)
        )
        for _ in range(2)
    )
    assert one == other
