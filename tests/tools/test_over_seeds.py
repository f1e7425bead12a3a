"""Statistics over seeds against those of scipy, and a report that says what it rests on."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats
from small_study import DIAGNOSIS

from emotions.evidence.knobs import DiagnosisParams
from tools import over_seeds

THRESHOLDS = DiagnosisParams(**DIAGNOSIS)
ACCURACIES = {
    "run1": [0.60, 0.62, 0.61, 0.64, 0.58],
    "run2": [0.50, 0.52, 0.49, 0.55, 0.50],
    "run3": [0.51, 0.40, 0.49, 0.30, 0.60],
}


def frame(
    accuracies: dict[str, list[float]] = ACCURACIES, data_seeds: tuple[int | None, ...] = (None,)
) -> pd.DataFrame:
    rows = []
    for data_seed in data_seeds:
        for run, values in accuracies.items():
            for seed, value in enumerate(values):
                scores = dict.fromkeys(over_seeds.METRICS, value)
                rows.append({"experiment": f"repeat-{seed}-{data_seed}", "seed": seed, "data_seed": data_seed,
                             "run": run, **scores})  # fmt: skip
    return pd.DataFrame(rows)


def test_mean_and_interval_are_those_of_students_t() -> None:
    values = ACCURACIES["run1"]
    found = over_seeds.spread(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.interval == pytest.approx(tuple(expected))
    assert found.deviation == pytest.approx(np.std(values, ddof=1))
    with pytest.raises(ValueError, match="needs two"):
        over_seeds.spread([0.5])


def test_what_a_change_moved_is_compared_seed_by_seed() -> None:
    before = frame({"run1": [0.5, 0.6, 0.7], "run2": [0.4, 0.4, 0.4]})
    after = frame({"run1": [0.55, 0.64, 0.76, 0.9], "run3": [0.1, 0.1, 0.1]})
    read = pd.read_csv(
        io.StringIO(before.to_csv(index=False))
    )  # where a seed of data that is not there is NaN
    lines = over_seeds.against(after, read, "before.csv")
    (found,) = [line for line in lines if "| validation macro-F1 |" in line]
    expected = stats.ttest_rel([0.55, 0.64, 0.76], [0.5, 0.6, 0.7])
    low, high = expected.confidence_interval(0.95)
    assert found == (
        f"| run1 | validation macro-F1 | 3 | 0.650 | 0.600 | 3 | +0.050 ({low:+.3f} to {high:+.3f}) | "
        f"{expected.pvalue:.3f} |"
    )
    with pytest.raises(ValueError, match=r"before\.csv has no run and seed of these"):
        over_seeds.against(frame({"run9": [0.1, 0.2]}), read, "before.csv")


def test_the_comparison_that_was_named_in_advance_has_the_p_of_a_paired_t_test() -> None:
    expected = stats.ttest_rel(ACCURACIES["run2"], ACCURACIES["run1"])
    said = over_seeds.in_advance(frame(), "run2", "run1", "test_accuracy")
    low, high = (100 * limit for limit in expected.confidence_interval(0.95))
    assert f"-9.8 ({low:+.1f} to {high:+.1f}), run2 better in 0 of 5" in said
    assert said.endswith("p < 0.001: **run1 is better**.")
    turned = over_seeds.in_advance(frame(), "run1", "run2", "test_accuracy")
    assert f"+9.8 ({-high:+.1f} to {-low:+.1f}), run1 better in 5 of 5" in turned
    undecided = over_seeds.in_advance(frame(), "run2", "run3", "test_accuracy")
    assert undecided.endswith("no difference beyond chance.")
    with pytest.raises(ValueError, match="run9 is none of the runs"):
        over_seeds.in_advance(frame(), "run9", "run1", "test_accuracy")
    with pytest.raises(ValueError, match="f1 is no metric"):
        over_seeds.in_advance(frame(), "run2", "run1", "f1")


def test_runs_are_compared_seed_by_seed() -> None:
    first, _, third = over_seeds.pairs(frame(), "val_accuracy")
    assert (first["first"], first["second"]) == ("run1", "run2")
    assert (first["wins"], first["ties"], first["losses"]) == (5, 0, 0)
    assert (third["wins"], third["ties"], third["losses"]) == (2, 1, 2)
    test = stats.ttest_rel(ACCURACIES["run1"], ACCURACIES["run2"])
    assert first["difference"].interval == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert first["p"] == pytest.approx(3 * test.pvalue), "the smallest of three, by Holm"
    assert third["p"] >= stats.ttest_rel(ACCURACIES["run2"], ACCURACIES["run3"]).pvalue


def test_a_difference_that_does_not_vary_has_no_p() -> None:
    same = {"run1": [0.5, 0.6], "run2": [0.4, 0.5]}
    (pair,) = over_seeds.pairs(frame(same), "val_accuracy")
    assert pair["p"] is None
    assert "| 2, 0, 0 | +10.0 (+10.0 to +10.0) | - |" in over_seeds.report(
        frame(same), THRESHOLDS, "c", "d", []
    )


def test_pairs_are_of_the_same_experiment() -> None:
    table = frame()
    lacking = table[~((table["run"] == "run2") & (table["seed"] == 0))]
    first = over_seeds.pairs(lacking, "val_accuracy")[0]
    assert first["wins"] == 4


def test_the_report_says_what_its_intervals_are_about() -> None:
    text = over_seeds.report(frame(), THRESHOLDS, 'make repeats SEEDS="0 1 2 3 4"', "a" * 40, ["repeat-9"])
    assert "# Over 5 seeds" in text
    assert "not what other images would give" in text
    assert "`aaaaaaaaaaaa`" in text
    assert "**Failed and left out: repeat-9**" in text
    assert "holds in 2 of 5" in text
    assert "- run3: **supported** (11.4 points, 6.8 to 32.8)" in text
    assert "- run1: **undecided** (2.2 points, 1.3 to 6.4)" in text
    both = over_seeds.report(frame(data_seeds=(0, 1)), THRESHOLDS, "c", "a" * 40, [])
    assert "Training and the drawn faces differ" in both
    assert "# Over 10 seeds" in both


def test_a_study_without_the_three_runs_has_no_order() -> None:
    two = {name: ACCURACIES[name] for name in ("run1", "run2")}
    assert over_seeds.in_original_order(frame(two)) is None
    assert "original's order" not in over_seeds.report(frame(two), THRESHOLDS, "c", "d", [])


def test_one_run_is_held_against_none() -> None:
    said = {
        runs: over_seeds.report(frame({r: ACCURACIES[r] for r in runs}), THRESHOLDS, "c", "d", [])
        for runs in (("run1",), ("run1", "run2"))
    }
    assert ["Run against run" in text for text in said.values()] == [False, True]


def test_the_picture_is_one_and_the_same_twice() -> None:
    first, second = over_seeds.picture(frame()), over_seeds.picture(frame())
    assert first == second
    assert Image.open(io.BytesIO(first)).width == 1200
