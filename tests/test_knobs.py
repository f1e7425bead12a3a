"""params.yaml is refused as a whole, before anything is computed, with every fault at once."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from emotions import knobs, params_file
from emotions.params_file import ParamsError

GIVEN = params_file.load(ROOT / "params.yaml")


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The default params with values set by dotted key; `...` removes one."""
    params = copy.deepcopy(GIVEN)
    for key, value in changes.items():
        *groups, last = key.split(".")
        group = params
        for name in groups:
            group = group[name]
        if value is ...:
            del group[last]
        else:
            group[last] = value
    return params


def refusal(tmp_path: Path, changes: dict[str, Any]) -> str:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(changed(changes)))
    with pytest.raises(ParamsError) as refused:
        knobs.check(path)
    return str(refused.value)


def test_the_default_study_is_accepted_and_nothing_is_returned() -> None:
    assert knobs.check(ROOT / "params.yaml") is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs.head-only": GIVEN["runs"]["run1"]}, "'head-only': a run's name becomes a file name"),
        ({"report.language": "de"}, "report.language: Input should be 'en' or 'fr' (got 'de')"),
        ({"gradcam.method": "gradcam++"}, "gradcam.method: Input should be 'gradcam' or 'layercam'"),
        ({"gradcam.min_grid": 50}, "gradcam.min_grid is 50, at 64 px the finest grid is 16"),
        ({"runs.run1.warmup_epochs": 5.0}, "runs.run1.warmup_epochs is 5 of 5 epochs; lower it"),
        (
            {"runs.run1.epochs": 2, "runs.run1.warmup_epochs": 2.5},
            "runs.run1.warmup_epochs is 2.5 of 2 epochs",
        ),
        ({"runs.run2.soft_labels": 0.5}, "runs.run2.soft_labels is 0.5, but images of data.source synthetic"),
        ({"launcher": "torchrunn"}, "launcher: 'torchrunn' is not a command here"),
        (
            {"launcher": f"{sys.executable} --nproc-per-node=3"},
            "train.batch_size is 16, which 3 processes cannot share evenly; set it to 15",
        ),
        (
            {"launcher": f"{sys.executable} --nnodes 2 --nproc_per_node 2", "train.batch_size": 4},
            "each of 4 processes would give batch norm 1 image; set it to 8 or more",
        ),
        ({"train.optimiser": "adam"}, "train.optimiser is not a knob; did you mean 'optimizer'?"),
        ({"trian": {}}, "trian is not a knob; did you mean 'train'?"),
        ({"runs.run1.dropot": 0.5}, "runs.run1.dropot is not a knob; did you mean 'dropout'?"),
        ({"runs.run1.lr.haed": 0.5}, "runs.run1.lr.haed is not a knob; did you mean 'head'?"),
        ({"data.synthetic.trane": 5}, "data.synthetic.trane is not a knob; did you mean 'train'?"),
        ({"runs.run4.zzz": 5}, "runs.run4.zzz is not a knob; remove it"),
        (
            {"study.runs": ["run1", "run1_ema2"]},
            "study.runs names run1_ema2, which `runs` does not have; did",
        ),
        ({"study.runs": ["run1_longr"]}, "did you mean 'run1_longer'?"),
        ({"study.runs": ["zzz"]}, "study.runs names zzz, which `runs` does not have; runs are run1, "),
        ({"study.runs": []}, "study.runs: List should have at least 1 item"),
        ({"study.seeds": []}, "study.seeds: List should have at least 1 item"),
        ({"study.seeds": [0, 1, 0]}, "study: Value error, seeds: 0 stands there twice"),
        ({"study.runs": ["run1", "run1"]}, "study: Value error, runs: run1 stands there twice"),
        ({"study.seeds": [-1]}, "study.seeds.0: Input should be greater than or equal to 0 (got -1)"),
        ({"study.seeds": 3}, "study.seeds: Input should be a valid list (got 3)"),
        ({"study.sedes": [0]}, "study.sedes is not a knob; did you mean 'seeds'?"),
        ({"diagnosis.plateau": ...}, "key 'diagnosis.plateau' is missing"),
        ({"seed": 0.5}, "seed: Input should be a valid integer"),
    ],
)
def test_a_knob_that_a_late_stage_would_refuse_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    found = refusal(tmp_path, changes)
    assert message in found
    assert found.startswith(f"{tmp_path}/params.yaml: ")


def test_a_fault_in_a_run_that_the_study_does_not_train_waits_until_it_does(tmp_path: Path) -> None:
    """Two knobs that do not go together: runs that wait are recipes for other sources and lengths."""
    waiting = {"runs.run1_warmup.epochs": 1, "runs.run1_votes.soft_labels": 0.5}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(changed(waiting)))
    knobs.check(tmp_path / "params.yaml")
    found = refusal(tmp_path, waiting | {"study.runs": ["run1_warmup", "run1_votes"]})
    assert "runs.run1_warmup.warmup_epochs" in found
    assert "runs.run1_votes.soft_labels" in found


def test_what_processes_share_evenly_is_accepted(tmp_path: Path) -> None:
    for launcher, batch in (
        (f"{sys.executable} --nproc-per-node=2", 16),
        (f"{sys.executable} --nproc-per-node=gpu", 15),  # as many as there are: known only there
        (f"{sys.executable} --num_processes 4", 8),
    ):
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(changed({"launcher": launcher, "train.batch_size": batch})))
        knobs.check(path)


def test_one_image_a_process_is_enough_where_no_batch_norm_trains(tmp_path: Path) -> None:
    head = {f"runs.{name}.trainable_parts": ["head"] for name in GIVEN["runs"]}
    alone = {"launcher": f"{sys.executable} --nproc-per-node=2", "train.batch_size": 2}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(changed(head | alone | {"pretrained.basic_emotions.epochs": 0})))
    knobs.check(path)
    assert "batch norm" in refusal(tmp_path, head | alone)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    found = refusal(tmp_path, {"report.language": "de", "trian": {}, "data.leakage": "maybe"})
    assert all(part in found for part in ("report.language", "trian", "data.leakage"))
    both = refusal(tmp_path, {"gradcam.min_grid": 50, "launcher": "nothing-here"})
    assert "min_grid" in both and "launcher" in both


def test_the_first_stage_refuses_what_only_the_last_one_uses(tmp_path: Path) -> None:
    for name in ("versions.txt",):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(changed({"report.language": "de"})))
    done = subprocess.run(
        [sys.executable, "-m", "stages.extract"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml: report.language: Input should be")
    assert {p.name for p in tmp_path.iterdir()} == {"params.yaml", "versions.txt", "logs"}
