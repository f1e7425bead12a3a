"""The real `dvc repro` on a tiny study, in a copy of the repository with a history of its own."""

import json
import os
import re
import shutil
import statistics
import subprocess
from pathlib import Path

import pytest
import torch
import vl_convert
import yaml
from conftest import TINY, Study, study_in, warm_path, warm_python
from torchvision.models import resnet50

from emotions.taxonomy import compound_classes

HEAD_ONLY = """
  head_only:
    title: Head only
    trainable_parts: [head]
    lr: {body: 1.0e-4, head: 1.0e-3}
    mixup_alpha: 0.0
    dropout: 0.0
    augmentation: none
    epochs: 1
"""
RUNS, SEEDS = ("run1", "run2"), (0, 1)
NETWORKS = tuple(f"{run}-{seed}" for run in RUNS for seed in SEEDS)
MEANS = (
    *(
        f"{split}_{score}"
        for split in ("val", "test")
        for score in ("macro_f1", "balanced_accuracy", "accuracy")
    ),
    *("train_accuracy", "gap", "last_epoch_gap", "selected_epoch"),
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = Study(tmp_path_factory.mktemp("study"))
    study.params(*TINY)
    study.set("study.runs=[run1,run2]", "study.seeds=[0,1]")
    study.dvc("repro")
    study.commit("two runs, two seeds")
    study.git("tag", "two")
    return study


def test_summary_is_flat_by_run_with_means_and_deviations_over_seeds(study: Study) -> None:
    summary = json.loads(study.read("metrics/summary.json"))
    assert list(summary) == list(RUNS)
    for name, run in summary.items():
        assert list(run) == [key for mean in MEANS for key in (mean, f"{mean}_sd")]
        assert run["gap"] == pytest.approx(run["train_accuracy"] - run["val_accuracy"], abs=2e-6)
        scores = [json.loads(study.read(f"metrics/runs/{name}-{seed}.json")) for seed in SEEDS]
        by_seed = [one["selected"]["test"]["macro_f1"] for one in scores]
        assert run["test_macro_f1"] == pytest.approx(statistics.fmean(by_seed), abs=2e-6)
        assert run["test_macro_f1_sd"] == pytest.approx(statistics.stdev(by_seed), abs=2e-6)


def test_seeds_of_a_run_differ_and_share_their_start(study: Study) -> None:
    weights = {name: (study.folder / f"models/runs/{name}.pth").read_bytes() for name in NETWORKS}
    assert len(set(weights.values())) == len(weights)
    lock = yaml.safe_load(study.read("dvc.lock"))["stages"]
    starts = {
        dep["md5"]
        for n in NETWORKS
        for dep in lock[f"train@{n}"]["deps"]
        if dep["path"] == "models/pretrained.pth"
    }
    assert len(starts) == 1


def test_second_repro_does_nothing(study: Study) -> None:
    assert "Data and pipelines are up to date" in study.dvc("repro")
    assert study.git("status", "--porcelain") == ""


def test_training_again_gives_the_same_bytes(study: Study) -> None:
    before = study.read("dvc.lock")
    study.dvc(
        "repro",
        "--force",
        "--no-run-cache",
        "--single-item",
        "train@run2-1",
        "evaluate@run2-1",
        "gradcam@run2",
    )
    assert study.read("dvc.lock") == before


def test_best_weights_load_in_plain_torchvision(study: Study) -> None:
    weights = torch.load(study.folder / "models/best_resnet50.pth", weights_only=True)
    assert weights["classes"] == list(compound_classes("rafdb11"))
    model = resnet50(num_classes=11)
    model.load_state_dict(weights["state_dict"])
    summary = json.loads(study.read("metrics/summary.json"))
    assert summary[weights["run"]]["val_macro_f1"] == max(run["val_macro_f1"] for run in summary.values())
    assert weights["seed"] == SEEDS[0]
    scores = json.loads(study.read(f"metrics/runs/{weights['run']}-0.json"))["selected"]
    assert weights["accuracy"]["test"] == pytest.approx(scores["test"]["accuracy"], abs=1e-6)


def test_no_data_no_weights_and_no_faces_are_tracked(study: Study) -> None:
    tracked = study.git("ls-files").splitlines()
    assert not [f for f in tracked if f.endswith((".pth", ".zip", ".jpg", ".jpeg", ".html"))]
    pictures = {f for f in tracked if f.endswith(".png") and not f.startswith("docs/")}
    means = {f"plots/runs/{name}/attention.png" for name in RUNS}  # heat, no faces
    assert means < pictures
    assert all(f.startswith("plots/") and f.count("/") == 1 for f in pictures - means)
    stray = [f for f in tracked if f.startswith(("data/extracted", "data/predictions", "models"))]
    assert all(f.endswith(".gitignore") for f in stray)


def test_a_report_setting_reruns_the_report_alone(study: Study) -> None:
    study.params(("three training regimes", "three regimes"))
    status = study.dvc("status", "dvc.yaml")
    study.git("checkout", "-q", "params.yaml")
    assert [line for line in status.splitlines() if line and not line[0].isspace()] == ["report:"]


def test_a_threshold_of_a_verdict_reruns_the_report_alone(study: Study) -> None:
    study.params(("overfitting_gap: 0.15", "overfitting_gap: 0.5"))
    status = study.dvc("status", "dvc.yaml")
    study.git("checkout", "-q", "params.yaml")
    stages = {line.rstrip(":") for line in status.splitlines() if line and not line[0].isspace()}
    assert stages == {"report"}


def test_the_epochs_of_the_runs_do_not_rerun_pretraining(study: Study) -> None:
    study.params(("  epochs: 2", "  epochs: 3"))
    status = study.dvc("status", "dvc.yaml")
    study.git("checkout", "-q", "params.yaml")
    stages = {line.rstrip(":") for line in status.splitlines() if line and not line[0].isspace()}
    assert {f"train@{name}" for name in NETWORKS} <= stages
    assert "pretrain" not in stages


def modified(study: Study) -> dict[str, int]:
    """When each network's weights were written."""
    return {n: (study.folder / f"models/runs/{n}.pth").stat().st_mtime_ns for n in NETWORKS}


def test_a_third_run_is_one_block_and_leaves_the_others_untouched(study: Study) -> None:
    weights = modified(study)
    lock = yaml.safe_load(study.read("dvc.lock"))["stages"]
    table = study.read("report/report.md")

    study.params(("\nevaluate:\n", HEAD_ONLY + "evaluate:\n"))
    study.set("study.runs=[run1,run2,head_only]")
    output = study.dvc("repro")
    assert all(f"Stage 'train@{name}' didn't change" in output for name in weights)
    assert modified(study) == weights
    after = yaml.safe_load(study.read("dvc.lock"))["stages"]
    untouched = [s for s in lock if s not in ("best", "compare", "report")]
    assert [after[s] for s in untouched] == [lock[s] for s in untouched]
    assert list(json.loads(study.read("metrics/summary.json"))) == [*RUNS, "head_only"]
    assert "head_only: Head only" in study.read("report/report.md")
    assert (study.folder / "plots/runs/head_only/gallery.jpg").is_file()
    epochs = {n: len(study.read(f"plots/history/{n}-0.csv").splitlines()) - 1 for n in ("run1", "head_only")}
    assert epochs == {"run1": 2, "head_only": 1}, "a run may have epochs of its own"
    study.commit("three runs")

    study.git("checkout", "-q", "two", "--", "params.yaml")
    study.dvc("repro")
    assert list(json.loads(study.read("metrics/summary.json"))) == list(RUNS)
    assert study.read("report/report.md") == table
    study.git("reset", "-q", "--hard", "two")


def test_a_seed_more_trains_that_seed_and_a_seed_less_is_as_if_it_had_never_been(study: Study) -> None:
    study.dvc("checkout", "-q")
    before = modified(study)
    side_by_side(study, "-S", "study.seeds=[0,1,2]")
    assert trained(study) == [f"{run}-2" for run in RUNS]
    assert modified(study) == before
    assert "over 3 seeds" in study.read("report/report.md")

    side_by_side(study, "-S", "study.seeds=[0,1]")
    assert trained(study) == []
    assert study.git("diff", "two") == ""
    folders = ("metrics/runs", "metrics/probe", "plots/history", "data/predictions", "models/runs")
    assert not [path for folder in folders for path in (study.folder / folder).glob("*-2.*")]

    side_by_side(study, "-S", "study.seeds=[0,1,2]")
    assert trained(study) == [], "a seed that returns comes from the run cache"
    study.git("checkout", "-q", "--", ".")
    study.dvc("checkout", "-q")
    assert study.git("diff", "two") == ""


def side_by_side(study: Study, *options: str) -> str:
    """What `tools.repro` says with these options; stages are forks of a warm Python."""
    shutil.rmtree(study.folder / "logs/stages", ignore_errors=True)
    done = subprocess.run(
        [warm_python(), "-m", "tools.repro", "--jobs", "2", *options],
        cwd=study.folder,
        env=os.environ | {"PATH": warm_path(), "DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def trained(study: Study) -> list[str]:
    """Networks that the last `side_by_side` trained."""
    logs = sorted((study.folder / "logs/stages").glob("train@*.log"))
    return [log.stem.removeprefix("train@") for log in logs if "Running stage" in log.read_text()]


def test_one_seed_has_no_deviation_and_the_report_says_what_that_leaves_out(study: Study) -> None:
    study.set("study.seeds=[0]")
    study.dvc("repro")
    summary = json.loads(study.read("metrics/summary.json"))
    assert not [key for run in summary.values() for key in run if key.endswith("_sd")]
    report = study.read("report/report.md")
    assert "the chance of training is not covered" in report and "±" not in report
    study.git("checkout", "-q", "--", ".")
    study.dvc("checkout", "-q")


def test_stages_side_by_side_make_the_bytes_of_dvc_repro(study: Study, tmp_path: Path) -> None:
    study.git("clone", "-q", "--branch", "two", str(study.folder), str(tmp_path / "clone"))
    clone = study_in(tmp_path / "clone")
    assert re.search(r"^\[\d+/\d+\] report done in ", side_by_side(clone, "--force"), re.M)
    assert clone.git("status", "--porcelain") == ""


def test_two_commits_compare_in_a_clone_without_cache(study: Study, tmp_path: Path) -> None:
    study.params(("dropout: 0.6", "dropout: 0.3"))
    study.dvc("repro")
    study.commit("less dropout")
    study.git("clone", "-q", str(study.folder), str(tmp_path / "clone"))
    clone = study_in(tmp_path / "clone")

    difference = json.loads(clone.dvc("metrics", "diff", "two", "HEAD", "--all", "--json"))
    moved = set(difference["metrics/summary.json"])
    assert {"run1.val_macro_f1", "run2.val_macro_f1_sd", "run2.test_accuracy"} <= moved
    shown = clone.dvc("exp", "show", "--csv", "--num", "2")
    assert "run1.val_macro_f1" in shown and "run1.val_macro_f1_sd" in shown
    assert "train.epochs" in shown
    assert "runs.run2.dropout" in clone.dvc("params", "diff", "two", "HEAD")
    drawn = json.loads(clone.dvc("plots", "diff", "two", "HEAD", "--json"))
    assert "errors" not in drawn
    by_run = {f"{what}/{run}.csv" for what in ("plots/confusion", "plots/per_class") for run in RUNS}
    by_run |= {f"plots/runs/{run}/attention.{kind}" for run in RUNS for kind in ("csv", "png")}
    others = {
        "Training curves of all runs",
        "plots/pretrain_history.csv",
        "plots/resnet_final_confusion_matrix.png",
    }
    assert set(drawn["data"]) == by_run | others
    assert "<DVC_METRIC" not in json.dumps(drawn)
    for name, plot in drawn["data"].items():
        if plot[0]["type"] == "vega":
            assert vl_convert.vegalite_to_svg(plot[0]["content"]).count("<path") > 5, name


def test_the_language_of_the_report_reruns_the_report_alone_and_changes_no_number(study: Study) -> None:
    before = study.read("metrics/summary.json")
    study.params(("language: en", "language: fr"))
    output = study.dvc("repro")
    assert re.findall(r"Running stage '(.*)'", output) == ["report"]
    assert "## Synthèse" in study.read("report/report.md")
    assert study.read("metrics/summary.json") == before
    study.git("checkout", "-q", "--", ".")
    study.dvc("checkout")
