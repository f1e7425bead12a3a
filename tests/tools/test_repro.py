"""`make repro` says how long the study will take here before it trains, and is quick where nothing is due."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from conftest import ROOT, TINY

from emotions.params_file import ParamsError
from tools import forecast, repro

PIPELINE = """
stages:
  extract:
    cmd: echo faces > faces
    params: [data.source]
    outs: [faces]
  pretrain:
    cmd: cp faces start
    deps: [faces]
    params: [pretrained]
    outs: [start]
  train:
    foreach: ${runs}
    do:
      cmd: cp start ${key}
      deps: [start]
      params: [train, "runs.${key}"]
      outs: ["${key}"]
  report:
    cmd: cat run1 run2 run3 > report
    deps: [run1, run2, run3]
    params: [report]
    outs: [report]
"""
WITHOUT_TORCH = """
import sys
from tools import repro
status = repro.main()
sys.exit(9 if "torch" in sys.modules else status)
"""


def knob(old: str, new: str) -> None:
    text = Path("params.yaml").read_text()
    assert old in text
    Path("params.yaml").write_text(text.replace(old, new))


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A pipeline of moments with the study's stages and knobs; the command that `make repro` calls there."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    for old, new in (*TINY, ("image_size: 64 ", "image_size: 32 "), ("batch_size: 16 ", "batch_size: 2 ")):
        knob(old, new)
    Path("dvc.yaml").write_text(PIPELINE)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *(command or ("-m", "tools.repro"))],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    run("-m", "dvc", "init", "-q", "--no-scm")
    return run


def test_what_is_due_is_foretold_then_run_and_what_is_not_costs_no_measurement(
    study: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = study()
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^About \d+ minutes? on this machine \(pretrain \d+\.\d, train@run1 \d+\.\d, train@run2 \d+\.\d, "
        r"train@run3 \d+\.\d, the other stages 0\.3\)\.$",
        done.stderr,
        re.M,
    ), done.stderr
    assert re.findall(r"Running stage '([\w@]+)'", done.stdout) == [
        "extract", "pretrain", "train@run1", "train@run2", "train@run3", "report"
    ]  # fmt: skip

    again = study("-c", WITHOUT_TORCH)
    assert (again.returncode, again.stdout, again.stderr) == (0, "Data and pipelines are up to date.\n", "")

    knob("language: en", "language: fr")
    report = study()
    assert "About" not in report.stderr
    assert re.findall(r"Running stage '([\w@]+)'", report.stdout) == ["report"]

    knob("dropout: 0.6", "dropout: 0.5")
    one = study()
    assert re.search(r"\(train@run2 \d+\.\d, the other stages 0\.2\)", one.stderr), one.stderr
    assert re.findall(r"Running stage '([\w@]+)'", one.stdout) == ["train@run2"], "report read the same bytes"


def test_a_knob_that_cannot_be_used_is_refused_before_dvc_removes_anything(
    study: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert study("-m", "dvc", "repro").returncode == 0
    knob("optimizer: adam", "optimizer: adamm")
    done = study()
    assert done.returncode == 1
    assert "repro: params.yaml: " in done.stderr and "train.optimizer" in done.stderr
    assert "Traceback" not in done.stderr and "Running stage" not in done.stdout
    assert Path("run1").exists()


def test_what_dvc_refuses_is_left_to_dvc(study: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    Path("dvc.yaml").write_text("stages: [\n")
    done = study()
    assert done.returncode != 0
    assert "dvc.yaml" in done.stderr and "Traceback" not in done.stderr


def test_a_machine_that_is_busy_or_full_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: 30.0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=7.9e9))
    busy, full = repro.warnings()
    assert busy.startswith("other programs keep 1.2 of ") and "set train.threads to 1" in busy
    assert full.startswith("7.9 GB of disk are free here")
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: 12.0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=12e9))
    assert repro.warnings() == []


def test_images_that_were_not_counted_yet_give_speeds_and_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    knob("source: synthetic ", "source: ferplus ")
    monkeypatch.setattr(
        forecast, "measured", lambda train, parts: (0.5, 0.1) if len(parts) > 3 else (0.25, 0.1)
    )
    names = ["extract", "train@run1", "train@run3"]
    assert "Training speed here, images a second: train@run1 2, train@run3 4." in forecast.forecast(
        Path("params.yaml"), names
    )
    (tmp_path / "metrics").mkdir()
    shutil.copy(ROOT / "metrics/data.json", "metrics/data.json")  # 800 and 250 faces
    told = forecast.forecast(Path("params.yaml"), names[1:])
    minutes = 10 * (800 * 0.5 + 500 * 0.1) / 60, 10 * (800 * 0.25 + 500 * 0.1) / 60
    assert told == (
        f"About {sum(minutes):.0f} minutes on this machine (train@run1 {minutes[0]:.1f}, "
        f"train@run3 {minutes[1]:.1f}, the other stages 0.0)."
    )
    assert forecast.forecast(Path("params.yaml"), ["report"]) == ""
    knob("epochs: 10", "epochs: many")
    with pytest.raises(ParamsError, match=r"train\.epochs"):
        forecast.forecast(Path("params.yaml"), names)
