"""The stage `compare` on made-up answers: one run or several, one seed or several."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from emotions.data import dataset as datasets
from emotions.evidence.knobs import UncertaintyParams
from emotions.params_file import StudyParams
from emotions.taxonomy import compound_classes
from stages import compare

CLASSES = compound_classes("rafdb11")
RIGHT = {"run1": 0.7, "run2": 0.6, "run3": 0.1}
"""Share of right answers; run 3 differs from the others beyond chance."""


def compared(folder: Path, dataset: Path, study: StudyParams) -> dict[str, Any]:
    """What the stage writes, run in `folder`."""
    (folder / "data/predictions").mkdir(parents=True)
    shutil.copy(dataset, folder / compare.DATASET)
    rows = [r for r in datasets.read_manifest(dataset) if r.role == "compound" and r.label in CLASSES]
    labels = np.array([CLASSES.index(r.label) for r in rows])
    for run, names in study.networks.items():
        for name, seed in zip(names, study.seeds, strict=True):
            draws = np.random.default_rng([int(run[-1]), seed])
            said = np.where(draws.random(len(rows)) < RIGHT[run], labels, draws.integers(0, 11, len(rows)))
            table = pd.DataFrame(
                {
                    "image": [r.image for r in rows],
                    "split": [r.split for r in rows],
                    "label": [r.label for r in rows],
                    "predicted": [CLASSES[i] for i in said],
                }
            )
            # The order of lines is no matter.
            table.sample(frac=1, random_state=seed).to_csv(
                folder / f"data/predictions/{name}.csv", index=False
            )
    uncertainty = UncertaintyParams(replicates=100, simulations=100, permutations=99)
    compare.main({"seed": 0, "study": study, "data.classes": "rafdb11", "uncertainty": uncertainty})
    return json.loads((folder / "metrics/comparisons.json").read_text())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_pair_of_runs_is_tested_over_images_and_seeds(folder: Path, dataset: Path) -> None:
    found = compared(folder, dataset, StudyParams(runs=["run2", "run1", "run3"], seeds=[0, 1, 2]))
    assert list(found["pairs"]) == ["run2 - run1", "run2 - run3", "run1 - run3"], "in the order of the study"
    for pair in found["pairs"].values():
        assert pair["macro_f1"]["p_holm"] >= pair["macro_f1"]["p"]
        assert "p_holm" not in pair["accuracy"], "only macro-F1 is of the family"
        assert pair["macro_f1"]["seeds"] == 3
    assert found["pairs"]["run1 - run3"]["macro_f1"]["difference"] > 0
    assert found["pairs"]["run1 - run3"]["macro_f1"]["p_holm"] < 0.05
    assert found["power"]["scatter"] > 0
    assert [one["difference"] for one in found["power"]["power"]] == [0.05, 0.1, 0.15]
    assert list(found["errors"]) == ["run2", "run1", "run3"]


def test_one_run_alone_has_no_pairs_and_no_power(folder: Path, dataset: Path) -> None:
    found = compared(folder, dataset, StudyParams(runs=["run1"], seeds=[0, 1]))
    assert (found["pairs"], found["power"]) == ({}, None)
    assert list(found["errors"]) == ["run1"]


def test_one_seed_is_compared_over_images_alone(folder: Path, dataset: Path) -> None:
    found = compared(folder, dataset, StudyParams(runs=["run1", "run3"], seeds=[5]))
    pair = found["pairs"]["run1 - run3"]["macro_f1"]
    assert (pair["seeds"], pair["df"]) == (1, None)
    assert found["power"]["scatter"] == 0


def test_tables_for_plots_hold_the_answers_of_all_seeds(folder: Path, dataset: Path) -> None:
    compared(folder, dataset, StudyParams(runs=["run1"], seeds=[0, 1]))
    answers = [pd.read_csv(f"data/predictions/run1-{seed}.csv").query("split == 'val'") for seed in (0, 1)]
    lines = pd.read_csv("plots/confusion/run1.csv")
    assert list(lines.columns) == ["actual", "predicted"]
    assert len(lines) == sum(map(len, answers))
    right = (lines["actual"] == lines["predicted"]).sum()
    assert right == sum((one["label"] == one["predicted"]).sum() for one in answers)
    by_class = pd.read_csv("plots/per_class/run1.csv")
    assert list(by_class["class"]) == [compare.numbered(label) for label in CLASSES]
    assert by_class["support"].sum() == len(answers[0])
    recall = np.mean(
        [(one.query("label == 'Sadly_Angry'")["predicted"] == "Sadly_Angry").mean() for one in answers]
    )
    assert by_class["recall"][CLASSES.index("Sadly_Angry")] == pytest.approx(recall, abs=1e-6)
