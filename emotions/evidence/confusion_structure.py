"""Bias towards frequent classes, and the confusions beyond it.

Everything starts from a confusion matrix: counts int [C, C] of one split, rows true, columns predicted.
Classes are indices into the class list, fractions are in [0, 1], results are plain dicts of Python numbers.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import optimize, special

from emotions.evidence.metrics import component_overlap
from emotions.taxonomy import unit_numbers

EXACT = 7
"""Largest number of classes whose orders are all tried: 7! = 5,040."""
TIE = 1e-9
"""Relative difference below which quantities are equal but for rounding."""
FITTED = 1e-6
"""Fitting residue: smaller log ratios of counts to expectations, or shares of the errors, count as zero."""
SWEEPS = 1000
"""Maximum sweeps in fitting. Usual are 10; 20,000 sparse tables of up to 7 classes took at most 76."""
STEEPEST = 5.0
"""Bound of s in `expected_confusions`, per deviation of the relation: e^5 = 148 times as often."""


def _off_diagonal(confusion: np.ndarray) -> np.ndarray:
    """The errors: the confusion matrix as float [C, C], zero on its diagonal."""
    errors = np.array(confusion, float)
    np.fill_diagonal(errors, 0)
    return errors


def _orders(classes: int, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Orders of the classes, int [P, C]: all of them up to EXACT classes, else `draws` random ones."""
    if classes <= EXACT:
        return np.array(list(itertools.permutations(range(classes))))
    return generator.permuted(np.tile(np.arange(classes), (draws, 1)), axis=1)


def _p_value(at_least: np.ndarray, classes: int) -> float:
    """Share of orders that are at least as extreme as the observed one, from bool [P].

    All orders include the observed one; random ones have it added (Phipson & Smyth 2010).
    """
    if classes <= EXACT:
        return float(at_least.mean())
    return float((1 + at_least.sum()) / (1 + len(at_least)))


def predicted_shares(
    confusion: np.ndarray,
    train_counts: Sequence[int],
    replicates: int,
    *,
    generator: np.random.Generator,
    top: int = 3,
) -> dict[str, Any] | None:
    """Shares of predictions and of images in the `top` most frequent training classes.

    Returns:
        `frequent` (indices of these classes, most frequent first, ties in class order), `predicted` and
        `true` (shares of all images), `difference` (predicted - true), `interval` ([low, high], 95 %, of
        the difference: percentiles over `replicates` bootstrap samples of images; [0, 0] where no image
        crosses). None without images.
    """
    table = np.array(confusion)
    images = int(table.sum())
    if images == 0:
        return None
    frequent = sorted(range(len(table)), key=lambda c: -train_counts[c])[:top]
    inside = np.isin(np.arange(len(table)), frequent)
    lost, won = int(table[inside][:, ~inside].sum()), int(table[~inside][:, inside].sum())
    # A sample changes only this: images drawn into the frequent classes count +1, those drawn out -1.
    shares = [lost / images, won / images, 1 - (lost + won) / images]
    samples = generator.multinomial(images, np.clip(shares, 0, 1), size=replicates)
    low, high = np.quantile((samples[:, 1] - samples[:, 0]) / images, (0.025, 0.975))
    return {
        "frequent": frequent,
        "predicted": float(table[:, inside].sum() / images),
        "true": float(table[inside].sum() / images),
        "difference": (won - lost) / images,
        "interval": [float(low), float(high)],
    }


def expected_confusions(confusion: np.ndarray, relation: np.ndarray | None = None) -> np.ndarray:
    """Errors that frequency alone explains: quasi-independence, float [C, C], diagonal 0.

    Off the diagonal, entry (i, j) is a_i b_j with the observed errors' row and column totals. It fits how
    often a class is missed and how often it is a wrong answer, but not which is taken for which (Bishop,
    Fienberg & Holland 1975, ch. 5). It is found by iterative proportional fitting. With a `relation` between
    classes, float [C, C], the entry is a_i b_j exp(s relation_ij): the errors that frequency and the relation
    explain. There s also fits the sum of the errors' relations. Rows without errors and columns that are
    never a wrong answer are 0.
    """
    errors = _off_diagonal(confusion)
    missed, wrong = errors.sum(1), errors.sum(0)
    possible = _off_diagonal(np.outer(missed > 0, wrong > 0))
    if np.any(missed + wrong == errors.sum()):
        # All errors have one true class or one wrong answer. The estimate lies on the model's edge, where
        # fitting converges slowly; every error is as expected there.
        return errors

    def fit(weights: np.ndarray) -> np.ndarray:
        expected = possible * weights
        for _ in range(SWEEPS):
            for axis, totals in ((0, wrong), (1, missed)):
                sums = expected.sum(axis, keepdims=True)
                target = np.expand_dims(totals, axis)
                expected *= np.divide(target, sums, out=np.zeros_like(sums), where=sums > 0)
            if np.abs(expected.sum(0) - wrong).max() <= TIE * errors.sum():
                break
        return expected

    if relation is None:
        return fit(np.ones_like(errors))
    outside = ~np.eye(len(errors), dtype=bool)
    centred = np.where(outside, relation - relation[outside].mean(), 0)
    scaled = centred / max(float(centred[outside].std()), TIE)

    def unexplained(steepness: float) -> float:
        return float((scaled * (errors - fit(np.exp(steepness * scaled)))).sum())

    # Where the relation separates confused pairs from the others, no steepness is enough.
    if unexplained(-STEEPEST) <= 0:
        return fit(np.exp(-STEEPEST * scaled))
    if unexplained(STEEPEST) >= 0:
        return fit(np.exp(STEEPEST * scaled))
    return fit(np.exp(optimize.brentq(unexplained, -STEEPEST, STEEPEST, xtol=1e-6) * scaled))


def adjusted(confusion: np.ndarray, relation: np.ndarray | None = None) -> np.ndarray:
    """Confusions adjusted for frequency, float [C, C]: log((count + 0.5) / (expected + 0.5)), diagonal 0.

    Positive: confused more often than `expected_confusions` of the same arguments. Rows without errors and
    columns that are never a wrong answer are 0.
    """
    expected = expected_confusions(confusion, relation)
    log_ratio = np.log((_off_diagonal(confusion) + 0.5) / (expected + 0.5))
    return np.where(np.abs(log_ratio) > FITTED, log_ratio, 0)


def _at_least(count: int, total: int, row: int, *, column: int, odds: float) -> float:
    """Probability of `count` or more in a cell of a 2 x 2 table, by Fisher's noncentral hypergeometric law.

    `scipy.stats.nchypergeom_fisher` crashes the process where rounding makes `odds` 1 - 2e-16.
    """
    possible = np.arange(max(0, row + column - total), min(row, column) + 1)
    cells = np.stack([possible, row - possible, column - possible, total - row - column + possible])
    log_weight = possible * math.log(odds) - special.gammaln(cells + 1).sum(0)
    weight = np.exp(log_weight - log_weight.max())
    return float(weight[possible >= count].sum() / weight.sum())


def excess_confusions(confusion: np.ndarray, level: float = 0.05) -> list[dict[str, Any]]:
    """Confusions that are more frequent than `expected_confusions`, most surprising first.

    Each cell is tested one-sided given its row total, its column total and all errors. The 2 x 2 table (this
    true class or another, this answer or another) then has Fisher's noncentral hypergeometric distribution.
    Its odds ratio is that of the expected table, which structural zeros move off 1. A Poisson test would find
    less: it takes the expectation as given, though the cell itself has raised it.

    Holm's adjustment covers all cells that could hold an error. Each confusion returned is a claim of its
    own, so the chance that any is false is controlled, whatever the dependence from the margins. Cells whose
    row has no error or whose column is never a wrong answer are not tested.

    Returns:
        A dict for each confusion whose adjusted p is below `level`: `true`, `predicted` (class indices),
        `count`, `expected`, `p` (adjusted).
    """
    errors, expected = _off_diagonal(confusion), expected_confusions(confusion)
    missed, wrong = errors.sum(1), errors.sum(0)
    rows, columns = np.nonzero(_off_diagonal(np.outer(missed > 0, wrong > 0)))
    if len(rows) == 0:
        return []
    count, both = errors[rows, columns], expected[rows, columns]
    row_only, column_only = missed[rows] - both, wrong[columns] - both
    neither = errors.sum() - both - row_only - column_only
    # Not tested: cells not above expectation, or the only place for their errors.
    tested = np.min([count - both, row_only, column_only, neither], axis=0) > FITTED * errors.sum()
    odds = both[tested] * neither[tested] / (row_only[tested] * column_only[tested])
    p = np.ones(len(rows))
    p[tested] = [
        _at_least(int(n), int(errors.sum()), int(missed[i]), column=int(wrong[j]), odds=ratio)
        for n, i, j, ratio in zip(count[tested], rows[tested], columns[tested], odds, strict=True)
    ]
    order = np.argsort(p, kind="stable")
    # statsmodels' multipletests first collects garbage: 0.3 s with torch loaded, a hundred times the rest.
    holm = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return [
        {
            "true": int(rows[k]),
            "predicted": int(columns[k]),
            "count": int(count[k]),
            "expected": float(both[k]),
            "p": min(float(adjusted_p), 1.0),
        }
        for k, adjusted_p in zip(order, holm, strict=True)
        if adjusted_p < level
    ]


def mantel(
    a: np.ndarray,
    b: np.ndarray,
    permutations: int,
    *,
    generator: np.random.Generator,
    partial: np.ndarray | None = None,
) -> dict[str, Any] | None:
    """Whether two relations between classes go together: Mantel's test (1967), for positive association.

    Both matrices are made symmetric by averaging with their transpose. The correlation of their off-diagonal
    entries is compared with those for other class orders of `b`, rows and columns alike. With `partial` it is
    the partial correlation given a third matrix (Smouse, Long & Sokal 1986). Only the part of `b` that
    `partial` does not explain is then permuted, which keeps the test's level even where `b` and `partial` are
    alike (double semi-partialling: Dekker, Krackhardt & Snijders 2007).

    Args:
        a, b, partial: float [C, C], diagonals are ignored. permutations: number of random orders; up to 7
            classes, all C! orders are taken.

    Returns:
        `r`, `p` (one-sided) and the number of `permutations` tried. None where a correlation is not defined:
        a matrix is constant off its diagonal, as below 3 classes, or `partial` explains it entirely.
    """
    if len(a) < 3:
        return None
    upper = np.triu_indices(len(a), 1)

    def symmetric(matrix: np.ndarray) -> np.ndarray:
        return (np.array(matrix, float) + np.transpose(matrix)) / 2

    entries = symmetric(a)[upper]
    explained = [np.ones(len(entries))] + ([] if partial is None else [symmetric(partial)[upper]])
    basis = np.linalg.svd(np.stack(explained, 1), full_matrices=False)
    given = basis.U[:, basis.S / basis.S[0] > TIE]

    def unexplained(x: np.ndarray) -> np.ndarray:
        return x - (x @ given) @ given.T

    rest_a, rest_b = unexplained(entries), unexplained(symmetric(b)[upper])
    for rest, whole in ((rest_a, entries), (rest_b, symmetric(b)[upper])):
        if np.linalg.norm(rest) <= TIE * np.linalg.norm(whole):
            return None
    unit = rest_a / np.linalg.norm(rest_a)
    square = np.zeros((len(a), len(a)))
    square[upper] = rest_b
    square += square.T

    def correlation(of_b: np.ndarray) -> np.ndarray:
        rest = unexplained(of_b)
        length = np.linalg.norm(rest, axis=1)
        # Where `partial` explains all of b in an order, nothing is left to correlate.
        return rest @ unit / np.where(length > TIE * np.linalg.norm(rest_b), length, np.inf)

    observed = correlation(rest_b[None])[0]
    orders = _orders(len(a), permutations, generator)
    permuted = correlation(square[orders[:, upper[0]], orders[:, upper[1]]])
    return {
        "r": float(observed),
        "p": _p_value(permuted >= observed - TIE, len(a)),
        "permutations": len(orders),
    }


def unit_rates(rows: Iterable[tuple[str, str]], classes: Sequence[str]) -> np.ndarray | None:
    """Share of a class's coded images in which each action unit is active, float [C, U].

    Args:
        rows: label and action units of each image, as in `manifest.Row`: `1+4+L12`; prefixes of side
            and strength are ignored; `none` = coded, none active; empty = not coded, left out. Labels
            beyond `classes` are left out.

    Returns:
        Columns are the U units that occur, by number. None where a class has no coded image.
    """
    coded: dict[str, list[frozenset[int]]] = {c: [] for c in classes}
    for label, text in rows:
        units = unit_numbers(text)
        if label in coded and units is not None:
            coded[label].append(units)
    if not all(coded.values()):
        return None
    occurring = sorted(frozenset[int]().union(*itertools.chain.from_iterable(coded.values())))
    return np.array([[np.mean([u in image for image in coded[c]]) for u in occurring] for c in classes])


def shared_units(units_by_class: np.ndarray) -> np.ndarray | None:
    """Cosine similarity of the classes' action units (`unit_rates`, float [C, U]), float [C, C] in [0, 1].

    The result is None if any class has no active unit: a zero vector has no direction.
    """
    length = np.linalg.norm(units_by_class, axis=1, keepdims=True)
    if not length.all():
        return None
    return (units_by_class / length) @ (units_by_class / length).T


def _beyond_classes(relation: np.ndarray) -> np.ndarray:
    """Part of a relation between classes that the levels of the two classes do not explain.

    Off the diagonal, residuals of relation[i, j] = level[i] + level[j], float [C, C], symmetric,
    diagonal 0.
    """
    first, second = np.triu_indices(len(relation), 1)
    pairs = (relation[first, second] + relation[second, first]) / 2
    levels = np.eye(len(relation))[first] + np.eye(len(relation))[second]
    residual = pairs - levels @ np.linalg.lstsq(levels, pairs)[0]
    square = np.zeros((len(relation), len(relation)))
    if np.linalg.norm(residual) > TIE * np.linalg.norm(pairs):
        square[first, second] = residual
    return square + square.T


def structure(
    confusion: np.ndarray,
    classes: Sequence[str],
    units: np.ndarray | None,
    *,
    permutations: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Test whether classes that share basic emotions or action units are confused beyond frequency.

    `mantel` tests the `adjusted` confusions against each relation, alone and partial given the other. A class
    similar to all others gives no reason for one confusion over another. Adjusting leaves no such levels in
    the confusions, so they are removed from all three matrices. A partial test also puts the other
    relation into the expectation: it multiplies confusions, so log ratios, flattened at small counts, do not
    follow it linearly.

    tests/evidence/test_confusion_structure.py simulates the tests' false-positive rate.

    Args:
        units: `unit_rates` of the classes, float [C, U], or None where they are unknown.

    Returns:
        `shared_emotions`, `shared_units`, `shared_emotions_given_units`, `shared_units_given_emotions`:
        `mantel`'s result each, None where it is not defined: without errors, without known units, below 4
        classes. `errors`: misclassified images.
    """
    emotions = component_overlap(classes)
    alike = None if units is None else shared_units(units)

    def test(relation: np.ndarray | None, given: np.ndarray | None = None) -> dict[str, Any] | None:
        if relation is None:
            return None
        confused = _beyond_classes(adjusted(confusion, given))
        partial = None if given is None else _beyond_classes(given)
        return mantel(confused, _beyond_classes(relation), permutations, generator=generator, partial=partial)

    both = emotions is not None and alike is not None
    return {
        "shared_emotions": test(emotions),
        "shared_units": test(alike),
        "shared_emotions_given_units": test(emotions, alike) if both else None,
        "shared_units_given_emotions": test(alike, emotions) if both else None,
        "errors": int(_off_diagonal(confusion).sum()),
    }


def class_bias(
    run: Mapping[str, Any], classes: Sequence[str], train_counts: Mapping[str, int]
) -> dict[str, Any]:
    """A run's bias by class frequency, on validation: the three most frequent training classes, recall of the
    most and least frequent class present, and the classes never predicted."""
    confusion = np.array(run["selected"]["val"]["confusion"])
    by_count = sorted(classes, key=lambda c: -train_counts[c])
    per_class = run["selected"]["val"]["per_class"]
    present = [c for c in by_count if per_class[c]["support"]]
    return {
        "frequent": by_count[:3],
        "largest": present[0],
        "largest_recall": per_class[present[0]]["recall"],
        "smallest": present[-1],
        "smallest_recall": per_class[present[-1]]["recall"],
        "never": [c for i, c in enumerate(classes) if not confusion[:, i].any()],
    }


def most_confused(run: Mapping[str, Any], classes: Sequence[str], most: int = 5) -> list[dict[str, Any]]:
    """The most frequent confusions of a run on validation: true and predicted class, count, and its share of
    the true class."""
    confusion = np.array(run["selected"]["val"]["confusion"])
    wrong = confusion * (1 - np.eye(len(classes), dtype=int))
    pairs = sorted(((-int(wrong[i, j]), int(i), int(j)) for i, j in np.argwhere(wrong)))
    return [
        {"true": classes[i], "predicted": classes[j], "count": -n, "share": float(-n / confusion[i].sum())}
        for n, i, j in pairs[:most]
    ]
