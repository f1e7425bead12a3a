"""Ablation: which runs it makes of two blocks, and what it says of their scores."""

import pandas as pd
import pytest
import yaml
from conftest import ROOT

from emotions.training.knobs import RunParams
from tools import ablation, repeats
from tools.repeats import RepeatsError

BASE = {"title": "Base", "lr": {"body": 1e-4, "head": 1e-4}, "augmentation": "standard", "dropout": 0.0}
WHOLE = {
    "title": "Whole",
    "lr": {"body": 1e-4, "head": 1e-3, "decay": 0.5},
    "augmentation": "strong",
    "dropout": 0.0,
    "schedule": "cosine",
    "warmup_epochs": 1.0,
    "epochs": None,
}


def test_each_difference_is_an_ingredient_and_a_schedule_has_its_warm_up() -> None:
    assert ablation.ingredients(BASE, WHOLE) == [
        ("lr.head",),
        ("augmentation",),
        ("lr.decay",),
        ("schedule", "warmup_epochs"),
    ]
    with pytest.raises(RepeatsError, match="do not differ"):
        ablation.ingredients(BASE, BASE | {"title": "Other"})


def test_an_ingredient_is_added_alone_and_left_out_alone() -> None:
    runs = ablation.variants("run4", "run1", {"run1": BASE, "run4": WHOLE}, ablation.WAYS)
    assert list(runs)[:2] == ["run1", "run4"]
    assert len(runs) == 2 + 2 * 4
    assert runs["with_schedule"] == BASE | {
        "title": "with schedule and warmup_epochs",
        "schedule": "cosine",
        "warmup_epochs": 1.0,
    }
    assert runs["with_lr_decay"]["lr"] == BASE["lr"] | {"decay": 0.5}
    assert runs["without_lr_decay"]["lr"] == {"body": 1e-4, "head": 1e-3}
    assert runs["without_augmentation"] == WHOLE | {
        "title": "without augmentation",
        "augmentation": "standard",
    }
    assert "schedule" not in runs["without_schedule"]
    assert BASE["lr"] == {"body": 1e-4, "head": 1e-4}, "the blocks are not changed"


def test_every_run_that_the_study_leaves_out_is_valid_and_so_is_its_ablation() -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, block in values["further_runs"].items():
        RunParams.model_validate(block)
        blocks = repeats.chosen_runs(values, ["run1", name])
        assert blocks is not None
        for variant in ablation.variants(name, "run1", blocks, ablation.WAYS).values():
            RunParams.model_validate(variant)


def test_the_report_compares_each_variant_with_what_it_was_made_from() -> None:
    rows = []
    for seed in (0, 1, 2):
        for run, score in (
            ("run1", 0.3),
            ("run4", 0.5),
            ("with_ema_decay", 0.4),
            ("without_ema_decay", 0.45),
        ):
            value = score + 0.01 * seed * (run != "run1")
            rows.append({"experiment": f"a-{seed}", "seed": seed, "run": run, "val_macro_f1": value,
                         "val_accuracy": value, "test_macro_f1": 0.987, "test_accuracy": 0.987})  # fmt: skip
    text = ablation.report(pd.DataFrame(rows), "run1", "run4", "make ablation", "abc", [])
    lines = {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if line.startswith("|")}
    assert "| run1 | +0.210 (+0.185 to +0.235) |" in lines["run4"]
    assert lines["run4"].endswith("| 3 of 3 |")
    assert "| run1 | +0.110 (+0.085 to +0.135) |" in lines["with_ema_decay"]
    assert "| run4 | -0.050 (-0.050 to -0.050) |" in lines["without_ema_decay"]
    assert lines["without_ema_decay"].endswith("| 0 of 3 |")
    assert "98.7" not in text, "test is not looked at"
