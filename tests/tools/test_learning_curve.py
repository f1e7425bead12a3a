"""The power law of a learning curve: known laws are found, from bent curves nothing is foretold."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tools import learning_curve
from tools.learning_curve import power_law
from tools.repeats import RepeatsError

SIZES = (100, 200, 400, 800)


def errors(sizes: np.ndarray, scale: float, exponent: float, noise: float, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed).normal(size=len(sizes))
    return scale * sizes**-exponent * np.exp(noise * draw)


def frame(curved: bool = False) -> pd.DataFrame:
    rows = []
    for run, exponent in (("run1", 0.3), ("run2", 0.05)):
        for n in SIZES:
            for seed in range(3):
                error = 3 * n**-exponent * np.exp(0.01 * np.sin(seed + n)) / 4
                if curved and run == "run1":
                    error = 0.2 + 20 / n
                rows.append({"experiment": f"curve-{n}-{seed}", "seed": seed, "run": run, "images": n,
                             "test_accuracy": 1 - error})  # fmt: skip
    return pd.DataFrame(rows)


def test_a_law_without_noise_is_found_and_foretold_exactly() -> None:
    sizes = np.array(SIZES)
    law = power_law(sizes.tolist(), errors(sizes, 2.0, 0.35, 1e-9).tolist(), [1600, 8000])
    assert law.exponent == pytest.approx(0.35, abs=1e-6)
    assert law.mean_at[1600][0] == pytest.approx(2 * 1600**-0.35, rel=1e-6)
    assert law.mean_at[8000][0] == pytest.approx(2 * 8000**-0.35, rel=1e-6)


def test_its_intervals_hold_the_truth_as_often_as_they_say() -> None:
    sizes = np.repeat(SIZES, 3)
    hits = {"exponent": 0, "ahead": 0, "straight": 0}
    for seed in range(400):
        law = power_law(sizes.tolist(), errors(sizes, 2.0, 0.35, 0.05, seed).tolist(), [8000])
        hits["exponent"] += law.interval[0] <= 0.35 <= law.interval[1]
        hits["ahead"] += law.mean_at[8000][1] <= 2 * 8000**-0.35 <= law.mean_at[8000][2]
        hits["straight"] += law.holds
    for name, count in hits.items():
        assert count / 400 == pytest.approx(0.95, abs=0.03), name


def test_a_curve_that_comes_to_a_floor_is_not_taken_for_a_power_law() -> None:
    sizes = np.repeat(SIZES, 3)
    draw = np.random.default_rng(1).normal(size=len(sizes))
    law = power_law(sizes.tolist(), ((0.2 + 20 / sizes) * np.exp(0.01 * draw)).tolist(), [8000])
    assert law.bend_p is not None
    assert law.bend_p < 1e-4
    assert not law.holds
    text = learning_curve.report(frame(curved=True), "make learning-curve", "a" * 40, [])
    (row,) = [
        line for line in text.splitlines() if line.startswith("| run1 | ") and "not a power law" in line
    ]
    assert row.count("not a power law") == 3
    assert text.count("not a power law*") == 3, "run2 has a law"


def test_what_cannot_be_fitted_is_an_error() -> None:
    with pytest.raises(ValueError, match="three sizes"):
        power_law([100, 100, 200], [0.5, 0.4, 0.3], [400])
    with pytest.raises(ValueError, match="no logarithm"):
        power_law([100, 200, 400], [0.5, 0.2, 0.0], [800])
    assert power_law([100, 200, 400], [0.5, 0.4, 0.3], [800]).bend_p is None


def test_the_report_has_every_size_and_says_what_it_assumes() -> None:
    text = learning_curve.report(frame(), 'make learning-curve SEEDS="0 1 2"', "b" * 40, ["curve-1-2"])
    assert "| run | 100 images | 200 images | 400 images | 800 images |" in text
    assert "2 times as many | 10 times as many" in text
    assert "law goes on, which no data here can show" in text
    assert "**Failed and left out: curve-1-2**" in text
    assert "`bbbbbbbbbbbb`" in text


def test_the_picture_is_one_and_the_same_twice() -> None:
    first, second = learning_curve.picture(frame()), learning_curve.picture(frame())
    assert first == second
    assert Image.open(io.BytesIO(first)).width == 640


@pytest.mark.parametrize("fractions", [[0.5, 1.0], [0.5, 0.5, 1.0], [0.0, 0.5, 1.0], [0.5, 1.0, 2.0]])
def test_fractions_that_make_no_curve_are_refused(fractions: list[float]) -> None:
    with pytest.raises(RepeatsError, match="fractions"):
        learning_curve.planned(fractions, [0])


def test_every_fraction_meets_every_seed() -> None:
    found = learning_curve.planned([0.125, 0.5, 1.0], [0, 1])
    assert [one.name for one in found] == [
        "curve-0.125-0", "curve-0.125-1", "curve-0.5-0", "curve-0.5-1", "curve-1-0", "curve-1-1",
    ]  # fmt: skip
    assert found[0].overrides == (("train.fraction", 0.125), ("seed", 0))
