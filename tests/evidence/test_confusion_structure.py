"""Bias and confusions against independent references, planted effects and the chance of false findings."""

import itertools
import json
import time
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from emotions.evidence import confusion_structure
from emotions.evidence.metrics import component_overlap
from emotions.random_streams import numpy_stream
from emotions.taxonomy import RAFCE_COUNTS, components, compound_classes

CLASSES = compound_classes("rafdb11")
TRAIN = [RAFCE_COUNTS[c][0] for c in CLASSES]
VAL = np.array([RAFCE_COUNTS[c][1] for c in CLASSES])
TABLES = st.integers(2, 6).flatmap(
    lambda c: st.lists(st.lists(st.integers(0, 9), min_size=c, max_size=c), min_size=c, max_size=c)
)


def rng(*name: str | int) -> np.random.Generator:
    return numpy_stream(0, "confusions", *name)


def table(right: np.ndarray, images: np.ndarray) -> np.ndarray:
    """A confusion matrix with so many right of each class, the others taken for the next class."""
    confusion = np.diag(np.asarray(right))
    own = np.arange(len(confusion))
    confusion[own, (own + 1) % len(confusion)] = np.asarray(images) - np.asarray(right)
    return confusion


def drawn(
    weights: np.ndarray, generator: np.random.Generator, val: np.ndarray = VAL, errors: float = 0.5
) -> np.ndarray:
    """A confusion matrix whose wrong answers have the off-diagonal `weights` of each row."""
    answers = weights * (1 - np.eye(len(val)))
    wrong = generator.binomial(val, errors)
    rows = zip(wrong, answers / answers.sum(1, keepdims=True), strict=True)
    return np.array([generator.multinomial(n, row) for n, row in rows]) + np.diag(val - wrong)


def relabelled(matrix: np.ndarray, order: np.ndarray) -> np.ndarray:
    return np.asarray(matrix)[np.ix_(order, order)]


# every table


@settings(max_examples=300, deadline=None)
@given(TABLES, st.lists(st.sampled_from((0, 1, 5, 80, 3000)), min_size=6, max_size=6))
def test_no_table_makes_a_number_that_json_lacks(rows: list[list[int]], train: list[int]) -> None:
    confusion = np.array(rows)
    counts = train[: len(rows)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shares = confusion_structure.predicted_shares(confusion, counts, 20, generator=rng("json"))
        excess = confusion_structure.excess_confusions(confusion, level=1.1)
        follows = confusion_structure.structure(
            confusion, CLASSES[: len(rows)], None, permutations=20, generator=rng("json")
        )
    json.dumps([shares, excess, follows], allow_nan=False)
    assert np.isfinite(confusion_structure.adjusted(confusion)).all()


# predicted_shares


def test_shares_of_the_most_frequent_classes_are_those_counted_by_hand() -> None:
    confusion = np.array([[4, 1, 1, 0], [2, 1, 0, 0], [1, 0, 0, 0], [2, 0, 1, 0]])
    found = confusion_structure.predicted_shares(
        confusion, [5, 9, 2, 2], 2000, generator=rng("shares"), top=2
    )
    assert found is not None
    assert found["frequent"] == [1, 0]
    assert found["predicted"] == pytest.approx(11 / 13)
    assert found["true"] == pytest.approx(9 / 13)
    assert found["difference"] == pytest.approx(2 / 13)
    tied = confusion_structure.predicted_shares(confusion, [5, 9, 2, 2], 9, generator=rng(), top=3)
    assert tied is not None and tied["frequent"] == [1, 0, 2]


def test_the_interval_of_the_difference_is_that_of_paired_shares() -> None:
    confusion = np.array([[300, 0, 20], [80, 100, 0], [40, 0, 60]])
    found = confusion_structure.predicted_shares(confusion, [9, 5, 1], 20_000, generator=rng("paired"), top=1)
    assert found is not None
    won, lost, n = 120, 20, 600
    error = np.sqrt(won + lost - (won - lost) ** 2 / n) / n  # McNemar's setting: most images do not move
    low, high = found["interval"]
    assert found["difference"] == pytest.approx((won - lost) / n)
    assert (low + high) / 2 == pytest.approx(found["difference"], abs=0.002)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.04)


def test_without_images_there_are_no_shares() -> None:
    assert confusion_structure.predicted_shares(np.zeros((3, 3), int), [3, 2, 1], 9, generator=rng()) is None


# expected_confusions, adjusted


def test_quasi_independence_of_three_classes_is_the_one_made_by_hand() -> None:
    # Off the diagonal a_i b_j, a = 1, 2, 3 and b = 4, 5, 6; moving 2 errors in a circle keeps all totals.
    expected = np.array([[0, 5, 6], [8, 0, 12], [12, 15, 0]])
    moved = np.array([[7, 7, 4], [6, 3, 14], [14, 13, 9]])
    assert confusion_structure.expected_confusions(moved) == pytest.approx(expected, abs=1e-6)
    assert confusion_structure.adjusted(moved)[0] == pytest.approx([0, np.log(7.5 / 5.5), np.log(4.5 / 6.5)])


@pytest.mark.parametrize("related", [False, True])
def test_expected_confusions_are_those_of_a_poisson_log_linear_model(related: bool) -> None:
    generator = rng("glm")
    confusion = generator.poisson(6, (6, 6))
    relation = generator.random((6, 6))
    rows, columns = np.nonzero(~np.eye(6, dtype=bool))
    design = np.column_stack([np.eye(6)[rows], np.eye(6)[columns][:, 1:], relation[rows, columns]])
    model = sm.GLM(
        confusion[rows, columns], design if related else design[:, :-1], family=sm.families.Poisson()
    ).fit()
    expected = confusion_structure.expected_confusions(confusion, relation if related else None)
    assert expected[rows, columns] == pytest.approx(model.mu, abs=1e-4)
    assert not expected.diagonal().any()


@settings(deadline=None)
@given(TABLES)
def test_expected_confusions_have_the_totals_of_the_errors(rows: list[list[int]]) -> None:
    errors = np.array(rows) * (1 - np.eye(len(rows), dtype=int))
    expected = confusion_structure.expected_confusions(np.array(rows))
    assert expected.sum(0) == pytest.approx(errors.sum(0), abs=0.05)
    assert expected.sum(1) == pytest.approx(errors.sum(1), abs=1e-6)
    assert (expected >= 0).all()


def test_rows_without_errors_and_answers_never_wrong_are_structural() -> None:
    confusion = np.array(
        [[9, 0, 0, 0, 0], [2, 5, 0, 3, 1], [4, 0, 7, 1, 2], [3, 0, 2, 0, 2], [1, 0, 5, 2, 0]]
    )
    expected, log_ratio = (
        confusion_structure.expected_confusions(confusion),
        confusion_structure.adjusted(confusion),
    )
    for matrix in (expected, log_ratio):
        assert not matrix[0].any()  # class 0 is always right
        assert not matrix[:, 1].any()  # class 1 is never a wrong answer
    assert (expected[1:, [0, 2, 3, 4]] + np.eye(5)[1:, [0, 2, 3, 4]] > 0).all()


@pytest.mark.parametrize(
    "confusion",
    [
        [[5, 0, 0], [7, 1, 0], [9, 0, 0]],  # one answer to everything
        [[5, 4, 3], [0, 6, 0], [0, 0, 7]],  # errors in one class alone
        [[5, 3], [4, 6]],
        [[6, 3, 2], [4, 6, 0], [1, 0, 6]],  # all errors are of class 0 or are answers 0
        [[0, 0, 0], [1, 0, 0], [2, 1, 0]],  # the diagonal leaves each error one place
        [[5, 0, 0], [0, 4, 0], [0, 0, 3]],
    ],
)
def test_totals_that_leave_no_choice_leave_no_surprise(confusion: list[list[int]]) -> None:
    assert not confusion_structure.adjusted(np.array(confusion)).any()
    assert confusion_structure.excess_confusions(np.array(confusion), level=0.99) == []


# excess_confusions


def test_without_structural_zeros_the_test_is_fishers_exact_one() -> None:
    errors = np.array([[9, 1, 2], [3, 6, 5], [2, 4, 8]])  # classes 0-2, only ever taken for 3-5
    confusion = np.zeros((6, 6), int)
    confusion[:3, 3:] = errors
    two_by_two = [
        [[errors[i, j], errors[i].sum() - errors[i, j]], [0, 0]] for i in range(3) for j in range(3)
    ]
    for (i, j), cell in zip(itertools.product(range(3), range(3)), two_by_two, strict=True):
        cell[1] = [
            errors[:, j].sum() - errors[i, j],
            errors.sum() - errors[i].sum() - errors[:, j].sum() + errors[i, j],
        ]
    p = sorted(stats.fisher_exact(cell, alternative="greater").pvalue for cell in two_by_two)
    found = confusion_structure.excess_confusions(confusion, level=0.5)
    assert (found[0]["true"], found[0]["predicted"], found[0]["count"]) == (0, 3, 9)
    assert found[0]["expected"] == pytest.approx(12 * 14 / 40)
    assert found[0]["p"] == pytest.approx(9 * p[0])  # Holm over nine cells
    assert found[1]["p"] == pytest.approx(max(9 * p[0], 8 * p[1]))


def test_errors_by_frequency_alone_seldom_give_an_excess() -> None:
    generator = rng("excess")
    weights = np.tile(np.array(TRAIN, float), (11, 1))
    false = [bool(confusion_structure.excess_confusions(drawn(weights, generator))) for _ in range(1000)]
    assert 0.005 <= np.mean(false) <= 0.05


def test_planted_confusions_are_found_most_surprising_first() -> None:
    weights = np.tile(np.array(TRAIN, float), (11, 1))
    weights[5, 10] *= 20
    weights[0, 7] *= 6
    found = confusion_structure.excess_confusions(drawn(weights, rng("planted")))
    assert [(f["true"], f["predicted"]) for f in found] == [(5, 10), (0, 7)]
    assert all(f["count"] > f["expected"] and f["p"] < 0.05 for f in found)
    assert found[0]["p"] < found[1]["p"]


def test_a_frequent_confusion_that_frequency_explains_is_no_excess() -> None:
    weights = np.tile(np.array(TRAIN, float), (11, 1))
    weights[:, 9] *= 5
    confusion = drawn(weights, rng("popular"))
    assert (confusion * (1 - np.eye(11)))[5].argmax() == 9
    assert confusion_structure.excess_confusions(confusion) == []


def test_the_names_of_classes_do_not_matter_to_excess() -> None:
    weights = np.tile(np.array(TRAIN, float), (11, 1))
    weights[5, 10] *= 20
    confusion, order = drawn(weights, rng("names")), rng("order").permutation(11)
    first = confusion_structure.excess_confusions(confusion)[0]
    second = confusion_structure.excess_confusions(relabelled(confusion, order))[0]
    assert (order[second["true"]], order[second["predicted"]]) == (first["true"], first["predicted"])
    assert second["p"] == pytest.approx(first["p"], rel=1e-4)


# mantel


def matrices(classes: int, seed: int) -> list[np.ndarray]:
    shared = rng("shared", seed).random((classes, classes))
    return [rng("matrix", seed, k).random((classes, classes)) + shared for k in range(3)]


def entries(matrix: np.ndarray) -> np.ndarray:
    return ((matrix + matrix.T) / 2)[np.triu_indices(len(matrix), 1)]


def test_mantel_is_the_correlation_off_the_diagonal_and_p_its_share_of_all_orders() -> None:
    a, b, _ = matrices(5, 1)
    found = confusion_structure.mantel(a, b, 7, generator=rng())
    assert found is not None
    outside = ~np.eye(5, dtype=bool)
    both = [((m + m.T) / 2)[outside] for m in (a, b)]
    assert found["r"] == pytest.approx(np.corrcoef(*both)[0, 1])
    orders = [np.array(o) for o in itertools.permutations(range(5))]
    r = [np.corrcoef(entries(a), entries(relabelled(b, o)))[0, 1] for o in orders]
    assert found["p"] == pytest.approx(np.mean(np.array(r) >= r[0] - 1e-12))
    assert found["permutations"] == 120


@pytest.mark.parametrize("seed", [2, 7, 8])
def test_the_partial_correlation_is_that_of_smouse_long_and_sokal(seed: int) -> None:
    a, b, c = matrices(5, seed)
    found = confusion_structure.mantel(a, b, 7, generator=rng(), partial=c)
    assert found is not None
    ab, ac, bc = (np.corrcoef(entries(x), entries(y))[0, 1] for x, y in ((a, b), (a, c), (b, c)))
    assert found["r"] == pytest.approx((ab - ac * bc) / np.sqrt((1 - ac**2) * (1 - bc**2)))
    # Dekker's regression: a on c and on the residual of b, whose classes are put in all orders.
    given_c = sm.add_constant(entries(c))
    residual = np.zeros((5, 5))
    residual[np.triu_indices(5, 1)] = sm.OLS(entries(b), given_c).fit().resid
    residual = residual + residual.T
    t = [
        sm.OLS(entries(a), np.column_stack([given_c, entries(relabelled(residual, np.array(o)))]))
        .fit()
        .tvalues[2]
        for o in itertools.permutations(range(5))
    ]
    assert found["p"] == pytest.approx(np.mean(np.array(t) >= t[0] - 1e-9))


def test_random_orders_have_the_observed_one_added() -> None:
    a = matrices(9, 3)[0]
    found = confusion_structure.mantel(a, 2 * a + 1, 999, generator=rng("added"))
    assert found == {"r": pytest.approx(1), "p": pytest.approx(1 / 1000), "permutations": 999}
    against = confusion_structure.mantel(a, -a, 999, generator=rng("against"))
    assert against is not None and against["p"] == 1


def test_more_random_orders_come_to_the_share_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = matrices(6, 4)
    exact = [confusion_structure.mantel(a, b, 1, generator=rng(), partial=partial) for partial in (None, c)]
    monkeypatch.setattr(confusion_structure, "EXACT", 2)
    drawn_orders = [
        confusion_structure.mantel(a, b, 20_000, generator=rng("many"), partial=partial)
        for partial in (None, c)
    ]
    for left, right in zip(exact, drawn_orders, strict=True):
        assert left is not None and right is not None
        assert left["r"] == right["r"]
        assert left["p"] == pytest.approx(right["p"], abs=0.012)


@pytest.mark.parametrize("partial", [False, True])
def test_the_names_of_classes_do_not_matter_to_mantel(partial: bool) -> None:
    a, b, c = matrices(6, 5)
    order = rng("names").permutation(6)
    left = confusion_structure.mantel(a, b, 1, generator=rng(), partial=c if partial else None)
    again = [relabelled(m, order) for m in (a, b, c)]
    assert confusion_structure.mantel(
        again[0], again[1], 1, generator=rng(), partial=again[2] if partial else None
    ) == pytest.approx(left)


def test_an_undefined_correlation_is_none() -> None:
    a, b, _ = matrices(5, 6)
    constant = np.full((5, 5), 0.3) + np.diag(np.arange(5.0))
    assert confusion_structure.mantel(a, constant, 9, generator=rng()) is None
    assert confusion_structure.mantel(constant, b, 9, generator=rng()) is None
    assert confusion_structure.mantel(a, b, 9, generator=rng(), partial=3 * b - 1) is None
    assert confusion_structure.mantel(a, b, 9, generator=rng(), partial=a) is None
    assert confusion_structure.mantel(a[:2, :2], b[:2, :2], 9, generator=rng()) is None
    plain, given = (
        confusion_structure.mantel(a, b, 9, generator=rng()),
        confusion_structure.mantel(a, b, 9, generator=rng(), partial=constant),
    )
    assert given == pytest.approx(plain)


# relations between classes


ROWS = (
    ("Sadly_Angry", "4+L12"),
    ("Sadly_Angry", "RB4+L4"),
    ("Sadly_Angry", "none"),
    ("Sadly_Angry", ""),
    ("Happily_Sad", "T12+25"),
    ("anger", "9+23"),
)


def test_unit_rates_are_those_counted_by_hand() -> None:
    rates = confusion_structure.unit_rates(ROWS, ("Happily_Sad", "Sadly_Angry"))
    # Columns 4, 12, 25. A unit counts once an image, whatever its sides; an image not coded counts nowhere.
    assert rates is not None
    assert rates == pytest.approx(np.array([[0, 1, 1], [2 / 3, 1 / 3, 0]]))


def test_a_class_without_coded_images_has_no_rates() -> None:
    assert (
        confusion_structure.unit_rates((*ROWS, ("Sadly_Fearful", "")), ("Sadly_Angry", "Sadly_Fearful"))
        is None
    )
    assert confusion_structure.unit_rates(ROWS, ("Sadly_Angry", "Happily_Surprised")) is None


def test_shared_units_are_cosines_and_undefined_without_active_units() -> None:
    alike = confusion_structure.shared_units(np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 0, 0.2]]))
    assert alike is not None
    assert alike == pytest.approx(np.array([[1, np.sqrt(0.5), 0], [np.sqrt(0.5), 1, 0], [0, 0, 1]]))
    assert confusion_structure.shared_units(np.array([[1, 0], [0, 0]])) is None
    assert confusion_structure.shared_units(np.zeros((3, 0))) is None


# structure


def units_of(kind: str) -> np.ndarray:
    """Units by class: at random, or each class a blend of the random units of its two emotions."""
    if kind == "random":
        return (rng("units", "random").random((11, 15)) < 0.35) + 0.05
    parts = sorted({e for c in CLASSES for e in components(c)})
    own = (rng("units", "blend").random((len(parts), 15)) < 0.35).astype(float)
    return np.array([sum(own[parts.index(e)] for e in components(c)) / 2 + 0.05 for c in CLASSES])


def following(relation: np.ndarray, strength: float) -> np.ndarray:
    """Weights of wrong answers: the frequency of the answer, times more where the relation is closer."""
    outside = ~np.eye(11, dtype=bool)
    scaled = (relation - relation[outside].mean()) / relation[outside].std()
    return np.array(TRAIN, float) * np.exp(strength * scaled)


def test_planted_confusions_are_ascribed_to_what_they_follow() -> None:
    units = units_of("random")
    alike = confusion_structure.shared_units(units)
    assert alike is not None
    for name, other, relation in (
        ("shared_emotions", "shared_units", component_overlap(CLASSES)),
        ("shared_units", "shared_emotions", alike),
    ):
        confusion = drawn(following(relation, 0.8), rng("follow", name))
        found = confusion_structure.structure(
            confusion, CLASSES, units, permutations=999, generator=rng("structure")
        )
        assert found[name]["p"] <= 0.005
        assert found[f"{name}_given_{other.removeprefix('shared_')}"]["p"] <= 0.005
        assert found[other]["p"] > 0.05
        assert found[f"{other}_given_{name.removeprefix('shared_')}"]["p"] > 0.05
        assert found["errors"] == confusion.sum() - confusion.trace()
        json.dumps(found, allow_nan=False)


def test_structure_correlates_what_is_left_beyond_the_levels_of_the_classes() -> None:
    units, emotions = units_of("blend"), component_overlap(CLASSES)
    alike = confusion_structure.shared_units(units)
    assert alike is not None
    confusion = drawn(following(emotions, 0.5), rng("levels"))
    found = confusion_structure.structure(confusion, CLASSES, units, permutations=9, generator=rng())
    first, second = np.triu_indices(11, 1)
    levels = np.eye(11)[first] + np.eye(11)[second]
    given = np.column_stack([levels, entries(emotions)])
    for name, explained, confused in (
        ("shared_units", levels, confusion_structure.adjusted(confusion)),
        ("shared_units_given_emotions", given, confusion_structure.adjusted(confusion, emotions)),
    ):
        left = [sm.OLS(entries(m), explained).fit().resid for m in (confused, alike)]
        assert found[name]["r"] == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-6)


@pytest.mark.parametrize("cause", ["emotions", "units"])
def test_a_relation_that_only_resembles_the_cause_is_not_found_given_the_cause(cause: str) -> None:
    units = units_of("blend")
    alike, emotions = confusion_structure.shared_units(units), component_overlap(CLASSES)
    assert alike is not None
    assert np.corrcoef(entries(alike), entries(emotions))[0, 1] > 0.5
    generator = rng("resembles", cause)
    weights = following(emotions if cause == "emotions" else alike, 1.0)
    other = {"emotions": "units", "units": "emotions"}[cause]
    marginal, given = [], []
    for _ in range(80):
        found = confusion_structure.structure(
            drawn(weights, generator), CLASSES, units, permutations=99, generator=generator
        )
        marginal.append(found[f"shared_{other}"]["p"] <= 0.05)
        given.append(found[f"shared_{other}_given_{cause}"]["p"] <= 0.05)
    assert np.mean(marginal) > 0.8
    assert np.mean(given) <= 0.15


@pytest.mark.parametrize("answers", ["all alike", "as in training"])
def test_errors_by_frequency_alone_follow_nothing(answers: str) -> None:
    generator = rng("nothing", answers)
    weights = np.ones((11, 11)) * (np.array(TRAIN) if answers == "as in training" else 1)
    p = np.array(
        [
            confusion_structure.structure(
                drawn(weights, generator), CLASSES, None, permutations=199, generator=generator
            )["shared_emotions"]["p"]
            for _ in range(1000)
        ]
    )
    assert 0.03 <= np.mean(p <= 0.05) <= 0.07
    assert np.mean(p <= 0.5) == pytest.approx(0.5, abs=0.06)


def test_structure_leaves_out_what_is_not_defined() -> None:
    confusion = drawn(np.ones((11, 11)), rng("undefined"))
    found = confusion_structure.structure(confusion, CLASSES, None, permutations=99, generator=rng())
    assert found["shared_emotions"] is not None
    assert [k for k, v in found.items() if v is None] == [
        "shared_units",
        "shared_emotions_given_units",
        "shared_units_given_emotions",
    ]
    right = confusion_structure.structure(
        np.diag(VAL), CLASSES, units_of("random"), permutations=99, generator=rng()
    )
    assert right.pop("errors") == 0
    assert set(right.values()) == {None}
    still = units_of("random")
    still[3] = 0
    assert (
        confusion_structure.structure(confusion, CLASSES, still, permutations=99, generator=rng())[
            "shared_units"
        ]
        is None
    )


def test_the_names_of_classes_do_not_matter_to_structure() -> None:
    picked = [0, 1, 3, 5, 7, 10]  # few enough that all orders are taken
    confusion = relabelled(drawn(np.ones((11, 11)), rng("names")), np.array(picked))
    order = rng("order").permutation(6)
    classes = [CLASSES[i] for i in picked]
    units = units_of("random")[picked]
    left = confusion_structure.structure(confusion, classes, units, permutations=1, generator=rng())
    right = confusion_structure.structure(
        relabelled(confusion, order),
        [classes[i] for i in order],
        units[order],
        permutations=1,
        generator=rng(),
    )
    assert left.pop("errors") == right.pop("errors")
    for name, test in left.items():
        assert right[name] == pytest.approx(test, rel=1e-3), name


def test_all_of_it_takes_less_than_two_seconds() -> None:
    classes = compound_classes("rafce14")
    train, val, _ = np.array([RAFCE_COUNTS[c] for c in classes]).T
    confusion = drawn(np.tile(train.astype(float), (14, 1)), rng("time"), val)
    steps: list[Callable[[], object]] = [
        lambda: confusion_structure.predicted_shares(confusion, train, 10_000, generator=rng()),
        lambda: confusion_structure.excess_confusions(confusion),
        lambda: confusion_structure.structure(
            confusion, classes, rng("u").random((14, 15)), permutations=10_000, generator=rng()
        ),
    ]
    start = time.process_time()
    for step in steps:
        step()
    assert time.process_time() - start < 2
