"""The power law of a learning curve: known laws are found; of one that levels off nothing is foretold."""

import numpy as np
import pytest
from small_study import CONFUSION, networks

from emotions.evidence.learning_curve import LEVEL, learning_curve, power_law
from emotions.evidence.single_knobs import SingleKnob

SIZES = (100, 200, 400, 800)


def errors(sizes: np.ndarray, scale: float, exponent: float, noise: float, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed).normal(size=len(sizes))
    return scale * sizes**-exponent * np.exp(noise * draw)


def test_a_law_without_noise_is_found_and_foretold_exactly() -> None:
    sizes = np.array(SIZES)
    law = power_law(sizes.tolist(), errors(sizes, 2.0, 0.35, 1e-9).tolist(), [1600, 8000])
    assert law.exponent == pytest.approx(0.35, abs=1e-6)
    assert law.scale == pytest.approx(2, rel=1e-6)
    assert law.mean_at[1600][0] == pytest.approx(2 * 1600**-0.35, rel=1e-6)
    assert law.mean_at[8000][0] == pytest.approx(2 * 8000**-0.35, rel=1e-6)


def test_its_intervals_hold_the_truth_as_often_as_they_say() -> None:
    sizes = np.repeat(SIZES, 3)
    hits = {"exponent": 0, "ahead": 0}
    for seed in range(200):
        law = power_law(sizes.tolist(), errors(sizes, 2.0, 0.35, 0.05, seed).tolist(), [8000])
        hits["exponent"] += law.interval[0] <= 0.35 <= law.interval[1]
        hits["ahead"] += law.mean_at[8000][1] <= 2 * 8000**-0.35 <= law.mean_at[8000][2]
    for name, count in hits.items():
        assert count / 200 == pytest.approx(0.95, abs=0.045), name


def test_a_plain_law_is_seldom_said_to_level_off() -> None:
    """The floor is at least 0, so the test errs in fewer cases than its level."""
    sizes = np.repeat(SIZES, 3)
    found = [power_law(sizes, errors(sizes, 2.0, 0.35, 0.05, seed), [8000]) for seed in range(200)]
    assert np.mean([not law.holds for law in found]) < LEVEL + 0.03


def test_a_curve_that_comes_to_a_floor_is_told_from_a_power_law_and_its_floor_is_found() -> None:
    sizes = np.repeat(SIZES, 3)
    exact = power_law(sizes, 0.2 + 20 / sizes, [8000])
    assert exact.floor == pytest.approx(0.2, abs=1e-3)
    draw = np.random.default_rng(1).normal(size=len(sizes))
    law = power_law(sizes.tolist(), ((0.2 + 20 / sizes) * np.exp(0.01 * draw)).tolist(), [8000])
    assert law.floor == pytest.approx(0.2, abs=0.03)
    assert law.floor_p is not None
    assert law.floor_p < 1e-4
    assert not law.holds


def test_scatter_that_hides_a_floor_leaves_it_undecided() -> None:
    """A floor far below the errors, and seeds that scatter more than it bends the curve."""
    sizes = np.repeat(SIZES, 3)
    draw = np.random.default_rng(2).normal(size=len(sizes))
    law = power_law(sizes, (0.02 + 2 * sizes**-0.35) * np.exp(0.1 * draw), [8000])
    assert law.floor_p is not None
    assert law.floor_p >= LEVEL
    assert law.holds


def test_what_cannot_be_fitted_is_an_error() -> None:
    with pytest.raises(ValueError, match="three sizes"):
        power_law([100, 100, 200], [0.5, 0.4, 0.3], [400])
    with pytest.raises(ValueError, match="no logarithm"):
        power_law([100, 200, 400], [0.5, 0.2, 0.0], [800])
    few = power_law([100, 200, 400], [0.5, 0.4, 0.3], [800])
    assert (few.floor, few.floor_p, few.holds) == (None, None, True)


def family(*images: int, key: str = "fraction") -> list[SingleKnob]:
    """Run 1 beside the same recipe on fewer images: `run1_100`."""
    return [SingleKnob(key, ("run1", f"run1_{n}"), (1.0, n / 800), (800, n), {}, {}) for n in images]


def trained(*images: int) -> dict[str, list[dict]]:
    """Their networks: the error is 0.3 at 800 images and falls with the power 0.5; the seeds agree."""
    found = {}
    for n in (800, *images):
        name = "run1" if n == 800 else f"run1_{n}"
        found[name] = networks(name, "Title", CONFUSION)
        for one in found[name]:
            one["train_images"] = n
            one["selected"]["test"]["accuracy"] = 1 - 0.3 * (800 / n) ** 0.5
    return found


def test_the_curve_of_a_run_has_all_seeds_of_all_sizes() -> None:
    found = learning_curve("run1", family(100, 200, 400), trained(100, 200, 400))
    assert found is not None
    assert found["images"] == 800
    assert found["exponent"] == pytest.approx(0.5)
    assert list(found["points"]) == [100, 200, 400, 800]
    assert found["points"][800] == pytest.approx([0.7, 0.7])
    assert [one["images"] for one in found["predicted"]] == [800, 1600, 8000, 1_000_000]
    at = found["predicted"][1]
    assert at["accuracy"] == pytest.approx(1 - 0.3 / 2**0.5)
    assert at["low"] <= at["accuracy"] <= at["high"]


def test_a_run_of_the_family_has_the_same_curve_and_another_run_has_none() -> None:
    """The best run may be one on fewer images: its siblings are found through the knob that they share."""
    by_run = trained(200, 400) | {"run2": networks("run2", "Title", CONFUSION)}
    knobs = [
        *family(200, 400),
        SingleKnob("fraction", ("run1_200", "run1_400"), (0.25, 0.5), (200, 400), {}, {}),
    ]
    whole, half = (learning_curve(name, knobs, by_run) for name in ("run1", "run1_400"))
    assert whole == half
    assert learning_curve("run2", knobs, by_run) is None


def test_two_sizes_another_knob_or_a_network_that_is_always_right_make_no_curve() -> None:
    assert learning_curve("run1", family(400), trained(400)) is None
    assert learning_curve("run1", family(200, 400, key="epochs"), trained(200, 400)) is None
    perfect = trained(200, 400)
    perfect["run1"][0]["selected"]["test"]["accuracy"] = 1
    assert learning_curve("run1", family(200, 400), perfect) is None
