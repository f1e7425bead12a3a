"""Intervals and tests against published examples, other libraries, exact enumeration and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score

from emotions.evidence import intervals, metrics
from emotions.evidence.knobs import UncertaintyParams
from emotions.random_streams import numpy_stream
from emotions.taxonomy import compound_classes

COUNTS = np.array([35, 15, 10, 12, 7, 50, 12, 32, 12, 54, 11])
"""Test images by class of the default study."""
CLASSES = compound_classes("rafdb11")
NOT_COMPOUNDS = ("a", "b", "c")


def draws(*name: str | int) -> np.random.Generator:
    return numpy_stream(0, "test_uncertainty", *name)


def macro_f1(labels: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    return f1_score(labels, predicted, labels=range(classes), average="macro", zero_division=0)


def sure(predicted: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities that make `predicted` the answers."""
    return np.where(predicted[:, None] == np.arange(classes), 0.8, 0.2 / (classes - 1))


def answered(accuracy: float, counts: np.ndarray, *name: str | int) -> tuple[np.ndarray, np.ndarray]:
    """Labels with these class counts, and answers of which about `accuracy` are right."""
    labels, generator = np.repeat(np.arange(len(counts)), counts), draws(*name)
    right = generator.random(len(labels)) < accuracy
    return labels, np.where(right, labels, generator.integers(0, len(counts), len(labels)))


def test_too_few_replicates_are_refused() -> None:
    for key in ("replicates", "simulations"):
        with pytest.raises(ValidationError):
            UncertaintyParams(**{"replicates": 100, "simulations": 100, "permutations": 99, key: 99})


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    # Newcombe 1998, Stat. Med. 17:857, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_the_published_one(right: int, images: int, low: float, high: float) -> None:
    assert intervals.wilson(right, images) == pytest.approx([low, high], abs=5e-5)


@given(st.integers(1, 500), st.floats(0, 1))
def test_wilsons_interval_is_scipys_and_holds_the_share(images: int, share: float) -> None:
    right = round(share * images)
    interval = intervals.wilson(right, images)
    assert interval is not None
    assert interval[0] <= right / images <= interval[1]
    reference = stats.binomtest(right, images).proportion_ci(method="wilson")
    assert interval == pytest.approx([reference.low, reference.high], abs=1e-9)


def test_a_class_without_images_has_no_interval_of_its_recall() -> None:
    found = intervals.recall_intervals([[3, 1, 0], [0, 0, 0], [2, 0, 2]], NOT_COMPOUNDS)
    assert found == {"a": intervals.wilson(3, 4), "b": None, "c": intervals.wilson(2, 4)}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_a_resample_keeps_the_class_counts_of_the_split(labels: list[int]) -> None:
    truth = np.array(labels)
    weights = intervals.resample(truth, 5, draws("counts"))
    assert (weights >= 0).all()
    for label in set(labels):
        assert weights[:, truth == label].sum(1) == pytest.approx((truth == label).sum())


def test_the_standard_error_of_a_mean_is_the_unbiased_one_even_of_four_images() -> None:
    values = np.array([0.1, 0.2, 0.6, 0.7])
    means = intervals.resample(np.zeros(4, int), 40_000, draws("sem")) @ values / 4
    # Drawing all four, as a plain bootstrap does, gives 0.87 of it.
    assert means.std(ddof=1) == pytest.approx(stats.sem(values), rel=0.02)


def test_the_interval_of_the_brier_score_is_that_of_a_stratified_mean() -> None:
    labels, predicted = answered(0.6, COUNTS, "brier")
    probabilities = sure(predicted, 11) * 0.9 + draws("noise").dirichlet(np.ones(11), len(labels)) * 0.1
    low, high = intervals.intervals(labels, probabilities, CLASSES, replicates=4000, generator=draws("i"))[
        "brier"
    ]
    each = ((probabilities - np.eye(11)[labels]) ** 2).sum(1)
    error = (
        sum((len(v) / len(each) * stats.sem(v)) ** 2 for v in (each[labels == i] for i in range(11))) ** 0.5
    )
    assert (low + high) / 2 == pytest.approx(each.mean(), abs=0.1 * error)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.04)


def test_the_macro_f1_spreads_as_in_a_bootstrap_of_scipy_by_class() -> None:
    counts = np.full(5, 20)
    labels, predicted = answered(0.5, counts, "scipy")
    low, high = intervals.intervals(
        labels, sure(predicted, 5), CLASSES[:5], replicates=4000, generator=draws("s")
    )["macro_f1"]
    reference = stats.bootstrap(
        [predicted[labels == i] for i in range(5)],
        lambda *answers: macro_f1(labels, np.concatenate(answers), 5),
        n_resamples=1500,
        vectorized=False,
        method="percentile",
        rng=draws("reference"),
    ).standard_error
    # scipy draws all 20 images of a class
    assert high - low == pytest.approx(2 * 1.96 * reference * (20 / 19) ** 0.5, rel=0.06)


def test_intervals_hold_the_scores_and_stay_within_their_ranges() -> None:
    for accuracy in (0.1, 0.6, 0.97):
        labels, predicted = answered(accuracy, COUNTS, "hold", str(accuracy))
        score = metrics.score(labels, sure(predicted, 11), CLASSES)
        found = intervals.intervals(
            labels, sure(predicted, 11), CLASSES, replicates=200, generator=draws("h")
        )
        assert set(found) == {
            "accuracy", "top2_accuracy", "balanced_accuracy", "macro_f1", "macro_f1_ten", "component_score",
            "brier",
        }  # fmt: skip
        for name, (low, high) in found.items():
            assert 0 <= low < score[name] < high <= (2 if name == "brier" else 1)


def test_what_has_no_score_has_no_interval() -> None:
    labels = np.repeat(np.arange(3), 4)
    found = intervals.intervals(
        labels, sure(labels, 3), NOT_COMPOUNDS, replicates=100, generator=draws("none")
    )
    # No class has ten images, the names are no compounds, and right answers have one Brier score always.
    assert set(found) == {"accuracy", "top2_accuracy", "balanced_accuracy", "macro_f1"}


@pytest.mark.parametrize("answers", ["all right", "one answer to all"])
def test_where_resampling_cannot_tell_the_interval_is_that_of_networks_alike(answers: str) -> None:
    """Every resample of such a network has the same macro-F1, which says nothing of other images."""
    labels = np.repeat(np.arange(11), COUNTS)
    predicted = labels if answers == "all right" else np.zeros(len(labels), int)
    found = intervals.intervals(
        labels, sure(predicted, 11), CLASSES, replicates=100, generator=draws("alike")
    )
    for name in ("macro_f1", "balanced_accuracy", "macro_f1_ten", "component_score"):
        low, high = found[name]
        assert 0 <= low < high <= 1, name
        assert high - low < 0.25, name


def test_a_network_that_rarely_leaves_its_one_answer_is_covered() -> None:
    """Truth: 2 % of the answers are right ones beside the one answer; most studies see a handful."""
    counts = np.full(5, 12)
    chances = np.zeros((5, 5))
    chances[:, 0] = 0.98
    chances += 0.02 * np.eye(5)
    labels, generator = np.repeat(np.arange(5), counts), draws("rare")
    truth = intervals.true_macro_f1(chances, counts)
    covered = constant = 0
    for study in intervals.draw_answers(chances, labels, 300, generator=generator):
        limits = intervals.intervals(labels, sure(study, 5), CLASSES[:5], replicates=100, generator=generator)
        constant += len(np.unique(study)) == 1
        covered += limits["macro_f1"][0] <= truth <= limits["macro_f1"][1]
    assert constant > 50, "the case is there"
    assert covered / 300 > 0.9


def test_a_perfect_network_against_one_answer_has_an_interval_with_a_width() -> None:
    labels = np.repeat(np.arange(11), COUNTS)
    found = intervals.paired_difference(
        labels, labels, np.zeros(len(labels), int), classes=11, replicates=199, generator=draws("against")
    )
    for name in ("macro_f1", "balanced_accuracy"):
        low, high = found[name]["interval"]
        assert low < found[name]["difference"] < high or high == 1
        assert 0.005 < high - low < 0.3, name


def test_intervals_depend_neither_on_the_order_of_the_classes_nor_on_that_of_the_images() -> None:
    labels, predicted = answered(0.5, COUNTS, "order")
    base = intervals.intervals(labels, sure(predicted, 11), CLASSES, replicates=4000, generator=draws("base"))
    images = draws("images").permutation(len(labels))
    moved = draws("classes").permutation(11)
    names = [CLASSES[i] for i in np.argsort(moved)]
    for other in (
        intervals.intervals(
            labels[images], sure(predicted[images], 11), CLASSES, replicates=4000, generator=draws("a")
        ),
        intervals.intervals(
            moved[labels], sure(moved[predicted], 11), names, replicates=4000, generator=draws("b")
        ),
    ):
        for name in set(base) - {"top2_accuracy"}:  # second places are ties here
            assert other[name] == pytest.approx(base[name], abs=0.006)


def naive_coverage(confusion: np.ndarray, simulations: int, replicates: int) -> float:
    """Coverage as one would write it down: one study, one image at a time, through the public functions."""
    classes, generator = len(confusion), draws("naive")
    counts = confusion.sum(1)
    chances = (confusion + 1 / classes) / (counts[:, None] + 1)
    cells = [(i, j) for i in range(classes) for j in range(classes)]
    weights = [counts[i] * chances[i, j] for i, j in cells]
    truth = f1_score(*zip(*cells, strict=True), average="macro", sample_weight=weights)
    labels, names, covered = np.repeat(np.arange(classes), counts), list("abcdefgh")[:classes], 0
    for _ in range(simulations):
        predicted = np.array([generator.choice(classes, p=chances[i]) for i in labels])
        limits = intervals.intervals(
            labels, sure(predicted, classes), names, replicates=replicates, generator=generator
        )
        low, high = limits.get("macro_f1", (1, 0))
        covered += low <= truth <= high
    return covered / simulations


@pytest.mark.parametrize("confusion", [[[9, 2, 1], [3, 6, 3], [1, 0, 4]], [[14, 1, 0], [6, 2, 0], [3, 1, 0]]])
def test_the_coverage_is_what_a_simulation_through_the_public_functions_counts(confusion: list) -> None:
    found = intervals.coverage(confusion, 4000, 150, generator=draws("fast"))
    assert naive_coverage(np.array(confusion), 1500, 150) == pytest.approx(found, abs=0.02)


@pytest.mark.parametrize("accuracy", [0.35, 0.6])
def test_the_interval_covers_the_macro_f1_in_about_95_of_100_studies(accuracy: float) -> None:
    confusion = metrics.confusion(*answered(accuracy, COUNTS, "cover"), 11)
    assert intervals.coverage(confusion, 2000, 200, generator=draws("c")) == pytest.approx(0.95, abs=0.02)


def test_a_class_that_is_hardly_ever_named_costs_coverage_and_that_is_admitted() -> None:
    three_answers = np.zeros((11, 11), int)
    three_answers[np.arange(11), np.arange(11) % 3] = COUNTS
    assert intervals.coverage(three_answers, 1000, 200, generator=draws("h")) < 0.9


def test_a_split_with_an_absent_class_has_a_coverage() -> None:
    assert (
        0.8
        < intervals.coverage([[20, 9, 1], [8, 21, 1], [0, 0, 0]], 500, 100, generator=draws("absent"))
        <= 1
    )


@pytest.mark.parametrize(
    ("table", "low", "high", "digits"),
    [
        ((36, 12, 2, 0), 0.0569, 0.3404, 4),  # Newcombe 1998, Stat. Med. 17:2635; negative correlation
        ((59, 6, 16, 80), -0.1186, -0.0046, 4),  # Cavo et al. 2012 in R's contingencytables; positive
        ((1, 1, 7, 12), -0.507, -0.026, 3),  # Bentur et al. 2009 in Fagerland et al. 2014; corrected to 0
    ],
)
def test_the_interval_of_paired_accuracies_is_the_published_one(
    table: tuple[int, int, int, int], low: float, high: float, digits: int
) -> None:
    assert intervals.newcombe_paired(*table) == pytest.approx([low, high], abs=0.5 * 10**-digits)


def rights(both: int, only_first: int, only_second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat([True, True, False, False], [both, only_first, only_second, neither])
    second = np.repeat([True, False, True, False], [both, only_first, only_second, neither])
    return first, second


def test_mcnemars_test_is_the_published_one() -> None:
    found = intervals.mcnemar(*rights(20, 12, 2, 16))
    assert (found["only_first"], found["only_second"]) == (12, 2)
    assert found["difference"] == pytest.approx(0.2)
    assert found["p"] == pytest.approx(0.0129, abs=5e-5)  # Armitage & Berry 1994, p. 127, by StatsDirect


@given(*[st.integers(0, 25)] * 4)
def test_mcnemars_p_is_that_of_a_sign_test_and_its_interval_holds_the_difference(
    both: int, only_first: int, only_second: int, neither: int
) -> None:
    if both + only_first + only_second + neither == 0:
        return
    first, second = rights(both, only_first, only_second, neither)
    found, swapped = intervals.mcnemar(first, second), intervals.mcnemar(second, first)
    low, high = found["interval"]
    assert -1 - 1e-9 <= low <= found["difference"] + 1e-9
    assert found["difference"] - 1e-9 <= high <= 1 + 1e-9
    assert swapped["interval"] == pytest.approx([-high, -low], abs=1e-9)
    n = only_first + only_second
    assert found["p"] == pytest.approx(stats.binomtest(only_first, n).pvalue if n else 1)


def test_the_permutation_p_is_the_one_of_all_exchanges() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    first = np.array([0, 0, 0, 1, 0, 2, 2, 1])
    second = np.array([0, 1, 0, 0, 2, 2, 0, 1])
    found = intervals.paired_difference(
        labels, first, second, classes=3, replicates=20_000, generator=draws("exchange")
    )
    for name, score in (
        ("macro_f1", lambda answers: macro_f1(labels, answers, 3)),
        ("balanced_accuracy", lambda answers: balanced_accuracy_score(labels, answers)),
    ):
        exact = stats.permutation_test(
            (first, second),
            lambda a, b, score=score: score(a) - score(b),
            permutation_type="samples",
            n_resamples=np.inf,
            vectorized=False,
        )
        assert found[name]["difference"] == pytest.approx(exact.statistic)
        assert found[name]["p"] == pytest.approx(exact.pvalue, abs=0.012)


def test_equal_answers_differ_by_nothing() -> None:
    labels, predicted = answered(0.5, COUNTS, "equal")
    nothing = {"difference": 0, "interval": [0, 0], "p": 1}
    found = intervals.paired_difference(
        labels, predicted, predicted, classes=11, replicates=100, generator=draws("e")
    )
    assert found == {"macro_f1": nothing, "balanced_accuracy": nothing}


def test_networks_that_differ_on_everything_get_the_smallest_p_there_is() -> None:
    labels = np.repeat(np.arange(11), COUNTS)
    found = intervals.paired_difference(
        labels, labels, (labels + 1) % 11, classes=11, replicates=199, generator=draws("all")
    )
    assert found["macro_f1"]["p"] == found["balanced_accuracy"]["p"] == pytest.approx(1 / 200)
    assert found["macro_f1"]["difference"] == pytest.approx(1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=2, max_size=30))
def test_exchanging_the_networks_turns_the_sign_and_nothing_else(rows: list[tuple[int, int, int]]) -> None:
    labels, first, second = np.array(rows).T
    one = intervals.paired_difference(
        labels, first, second, classes=3, replicates=100, generator=draws("sign")
    )
    other = intervals.paired_difference(
        labels, second, first, classes=3, replicates=100, generator=draws("sign")
    )
    for name, found in one.items():
        assert other[name]["difference"] == pytest.approx(-found["difference"])
        assert other[name]["interval"] == pytest.approx([-found["interval"][1], -found["interval"][0]])
        assert other[name]["p"] == found["p"]


def test_networks_that_err_alike_are_called_different_in_about_5_of_100_studies() -> None:
    labels, generator = np.repeat(np.arange(11), COUNTS), draws("type I")
    chances = np.full((11, 11), 0.04) + 0.56 * np.eye(11)
    studies = 500
    first, second = (intervals.draw_answers(chances, labels, studies, generator=generator) for _ in range(2))
    p = [
        intervals.paired_difference(labels, a, b, classes=11, replicates=199, generator=generator)[
            "macro_f1"
        ]["p"]
        for a, b in zip(first, second, strict=True)
    ]
    # Three standard errors of 500 studies.
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_holms_adjustment_is_the_one_by_hand() -> None:
    adjusted = intervals.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert intervals.holm({}) == {}


def test_the_same_stream_gives_the_same_digits() -> None:
    labels, predicted = answered(0.5, COUNTS, "same")
    first, second = (
        (
            intervals.intervals(labels, sure(predicted, 11), CLASSES, replicates=100, generator=draws("d")),
            intervals.coverage(metrics.confusion(labels, predicted, 11), 100, 100, generator=draws("d")),
            intervals.paired_difference(
                labels, predicted, labels, classes=11, replicates=100, generator=draws("d")
            ),
        )
        for _ in range(2)
    )
    assert first == second
