"""The real `dvc repro` on a tiny study, in a copy of the repository with a history of its own."""

import json
import re
from pathlib import Path

import pytest
import torch
import vl_convert
import yaml
from conftest import TINY, Study
from torchvision.models import resnet50

from emotions.taxonomy import compound_classes

RUN4 = """
  run4:
    title: Head only
    trainable_parts: [head]
    lr: {body: 1.0e-4, head: 1.0e-3}
    mixup_alpha: 0.0
    dropout: 0.0
    augmentation: none
    epochs: 1
"""
METRICS = {
    "train_accuracy",
    "val_accuracy",
    "test_accuracy",
    "val_macro_f1",
    "test_macro_f1",
    "gap",
    "last_epoch_gap",
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = Study(tmp_path_factory.mktemp("study"))
    study.params(*TINY)
    study.dvc("repro")
    study.commit("three runs")
    study.git("tag", "three")
    return study


def test_summary_is_flat_by_run(study: Study) -> None:
    summary = json.loads(study.read("metrics/summary.json"))
    assert list(summary) == ["run1", "run2", "run3"]
    for run in summary.values():
        assert set(run) >= METRICS
        assert all(isinstance(v, int | float) for v in run.values())
        assert run["gap"] == pytest.approx(run["train_accuracy"] - run["val_accuracy"], abs=2e-6)


def test_second_repro_does_nothing(study: Study) -> None:
    assert "Data and pipelines are up to date" in study.dvc("repro")
    assert study.git("status", "--porcelain") == ""


def test_training_again_gives_the_same_bytes(study: Study) -> None:
    before = study.read("dvc.lock")
    study.dvc(
        "repro", "--force", "--no-run-cache", "--single-item", "train@run2", "evaluate@run2", "gradcam@run2"
    )
    assert study.read("dvc.lock") == before


def test_best_weights_load_in_plain_torchvision(study: Study) -> None:
    weights = torch.load(study.folder / "models/best_resnet50.pth", weights_only=True)
    assert weights["classes"] == list(compound_classes("rafdb11"))
    model = resnet50(num_classes=11)
    model.load_state_dict(weights["state_dict"])
    summary = json.loads(study.read("metrics/summary.json"))
    assert summary[weights["run"]]["val_accuracy"] == max(run["val_accuracy"] for run in summary.values())


def test_no_data_no_weights_and_no_faces_are_tracked(study: Study) -> None:
    tracked = study.git("ls-files").splitlines()
    assert not [f for f in tracked if f.endswith((".pth", ".zip", ".jpg", ".jpeg", ".html"))]
    pictures = {f for f in tracked if f.endswith(".png") and not f.startswith("docs/")}
    means = {f"plots/runs/{name}/attention.png" for name in ("run1", "run2", "run3")}  # heat, no faces
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
    assert {"train@run1", "train@run2", "train@run3"} <= stages
    assert "pretrain" not in stages


def test_a_fourth_run_is_one_block_and_leaves_the_others_untouched(study: Study) -> None:
    weights = {
        name: (study.folder / f"models/runs/{name}.pth").stat().st_mtime_ns
        for name in ("run1", "run2", "run3")
    }
    lock = yaml.safe_load(study.read("dvc.lock"))["stages"]
    table = study.read("report/report.md")

    study.params(("\nevaluate:\n", RUN4 + "evaluate:\n"))
    output = study.dvc("repro")
    assert all(f"Stage 'train@{name}' didn't change" in output for name in weights)
    assert {n: (study.folder / f"models/runs/{n}.pth").stat().st_mtime_ns for n in weights} == weights
    after = yaml.safe_load(study.read("dvc.lock"))["stages"]
    untouched = [s for s in lock if s not in ("best", "compare", "report")]
    assert [after[s] for s in untouched] == [lock[s] for s in untouched]
    assert list(json.loads(study.read("metrics/summary.json"))) == ["run1", "run2", "run3", "run4"]
    assert "run4: Head only" in study.read("report/report.md")
    assert (study.folder / "plots/runs/run4/gallery.jpg").is_file()
    epochs = {n: len(study.read(f"plots/runs/{n}/history.csv").splitlines()) - 1 for n in ("run1", "run4")}
    assert epochs == {"run1": 2, "run4": 1}, "a run may have epochs of its own"
    study.commit("four runs")

    study.git("checkout", "-q", "three", "--", "params.yaml")
    study.dvc("repro")
    assert list(json.loads(study.read("metrics/summary.json"))) == ["run1", "run2", "run3"]
    assert study.read("report/report.md") == table
    study.git("checkout", "-q", "--", ".")


def test_two_commits_compare_in_a_clone_without_cache(study: Study, tmp_path: Path) -> None:
    study.params(("dropout: 0.6", "dropout: 0.3"))
    study.dvc("repro")
    study.commit("less dropout")
    study.git("clone", "-q", str(study.folder), str(tmp_path / "clone"))
    clone = object.__new__(Study)
    clone.folder = tmp_path / "clone"

    difference = json.loads(clone.dvc("metrics", "diff", "three", "HEAD", "--all", "--json"))
    assert {"run1.val_accuracy", "run2.val_accuracy", "run3.test_macro_f1"} <= set(
        difference["metrics/summary.json"]
    )
    shown = clone.dvc("exp", "show", "--csv", "--num", "2")
    assert "run1.val_accuracy" in shown
    assert "train.epochs" in shown
    assert "runs.run2.dropout" in clone.dvc("params", "diff", "three", "HEAD")
    drawn = json.loads(clone.dvc("plots", "diff", "three", "HEAD", "--json"))
    assert "errors" not in drawn
    assert (
        len(drawn["data"]) == 1 + 3 * 5 + 1 + 1
    )  # all runs; curve, confusions, F1, maps, heat by run; pretraining; matrix
    titles = [
        plot[0]["content"]["title"]["text"] for plot in drawn["data"].values() if plot[0]["type"] == "vega"
    ]
    assert {"Accuracy by epoch, all runs", "run2: accuracy by epoch", "run2: confusions, validation"} < set(
        titles
    )
    assert "<DVC_METRIC" not in json.dumps(drawn)
    for name, plot in drawn["data"].items():
        if plot[0]["type"] == "vega":
            assert vl_convert.vegalite_to_svg(plot[0]["content"]).count("<path") > 5, name


def test_an_editor_that_reads_dvc_sees_the_curve_of_a_training_that_still_runs(study: Study) -> None:
    path = study.folder / "plots/runs/run1/history.csv"
    whole = path.read_text()
    path.write_text("\n".join(whole.splitlines()[:2]) + "\n")  # as training leaves it after its first epoch
    drawn = json.loads(study.dvc("plots", "diff", "HEAD", "workspace", "--json"))
    path.write_text(whole)
    (plot,) = drawn["data"]["plots/runs/run1/history.csv"]
    epochs = {
        r: [p["epoch"] for p in plot["content"]["data"]["values"] if p["rev"] == r] for r in plot["revisions"]
    }
    assert epochs == {"HEAD": ["1", "2"], "workspace": ["1"]}


def test_the_language_of_the_report_reruns_the_report_alone_and_changes_no_number(study: Study) -> None:
    before = study.read("metrics/summary.json")
    study.params(("language: en", "language: fr"))
    output = study.dvc("repro")
    assert re.findall(r"Running stage '(.*)'", output) == ["report"]
    assert "## Synthèse" in study.read("report/report.md")
    assert study.read("metrics/summary.json") == before
    study.git("checkout", "-q", "--", ".")
    study.dvc("checkout")
