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
import yaml
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
    matrix: {run: "${study.runs}", seed: "${study.seeds}"}
    cmd: mkdir -p runs && cp start runs/${key}
    deps: [start]
    params: [train, "runs.${item.run}"]
    outs: ["runs/${key}"]
  report:
    cmd: cat runs/* > report
    deps: [runs]
    params: [study, report]
    outs: [report]
"""
WITHOUT_TORCH = """
import sys
from tools import repro
status = repro.main()
sys.exit(9 if "torch" in sys.modules else status)
"""


def ended(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What stderr says of the stages that ended, without times: `[3/24] train@run1-0`."""
    return re.findall(r"^(\[\d+/\d+\] [\w@-]+) done in \d\d:\d\d$", done.stderr, re.M)


def knob(old: str, new: str) -> None:
    text = Path("params.yaml").read_text()
    assert old in text
    Path("params.yaml").write_text(text.replace(old, new))


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A pipeline of moments with the study's stages and knobs; the command that `make repro` calls there."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    smaller = (("batch_size: 16 ", "batch_size: 2 "),)
    for old, new in (*TINY, *smaller):
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
    done = study("-m", "tools.repro", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^About \d+ minutes? on this machine \(pretrain \d+\.\d, train@run1-0 \d+\.\d, "
        r"train@run2-0 \d+\.\d, train@run3-0 \d+\.\d, the other stages 0\.3\)\.$",
        done.stderr,
        re.M,
    ), done.stderr
    everything = ["extract", "pretrain", "train@run1-0", "train@run2-0", "train@run3-0", "report"]
    assert ended(done) == [f"[{i}/6] {name}" for i, name in enumerate(everything, 1)]
    for name in everything:
        assert f"Running stage '{name}'" in Path(f"logs/stages/{name}.log").read_text()
    assert list(yaml.safe_load(Path("dvc.lock").read_text())["stages"]) == everything

    again = study("-c", WITHOUT_TORCH)
    assert (again.returncode, again.stdout, again.stderr) == (0, "Data and pipelines are up to date.\n", "")

    knob("language: en", "language: fr")
    report = study()
    assert "About" not in report.stderr
    assert ended(report) == ["[1/1] report"]

    knob("dropout: 0.6", "dropout: 0.5")
    one = study()
    assert re.search(r"\(train@run2-0 \d+\.\d, the other stages 0\.2\)", one.stderr), one.stderr
    assert ended(one) == ["[1/2] train@run2-0", "[2/2] report"]
    assert "didn't change, skipping" in Path("logs/stages/report.log").read_text(), "it read the same bytes"


def test_a_seed_more_trains_that_seed_alone_and_what_was_there_is_not_trained_again(
    study: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert study().returncode == 0
    more = study("-m", "tools.repro", "-S", "study.seeds=[0,1]", "--jobs", "1")
    assert more.returncode == 0, more.stderr
    assert ended(more) == [
        *(f"[{n}/4] train@run{n}-1" for n in (1, 2, 3)),
        "[4/4] report",
    ]
    in_place = list(yaml.safe_load(Path("dvc.lock").read_text())["stages"])
    Path("dvc.lock").unlink()
    assert study("-m", "dvc", "repro", "-q").returncode == 0
    assert in_place == list(yaml.safe_load(Path("dvc.lock").read_text())["stages"])
    assert study("-m", "tools.repro", "-S", "study.seeds=[0]").returncode == 0
    stages = yaml.safe_load(Path("dvc.lock").read_text())["stages"]
    assert [name for name in stages if name.startswith("train")] == [f"train@run{n}-0" for n in (1, 2, 3)]
    study("-m", "tools.repro", "-S", "study.seeds=[0,1]")
    assert "  seeds:" in Path("params.yaml").read_text()
    assert sorted(path.name for path in Path("runs").iterdir() if path.name.startswith("run1")) == [
        "run1-0", "run1-1"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("study.seeds=[0,0]", "0 stands there twice"),
        ("study.runs=[run9]", "study.runs names run9"),
        ("study.sedes=[0]", "Could not override 'study.sedes'"),
        ("study.seeds=[", "at input '['"),
    ],
)
def test_a_change_that_cannot_be_used_leaves_the_knobs_as_they_were(
    study: Callable[..., subprocess.CompletedProcess[str]], change: str, said: str
) -> None:
    before = Path("params.yaml").read_bytes()
    done = study("-m", "tools.repro", "-S", change)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("repro: ") and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert Path("params.yaml").read_bytes() == before


def test_a_knob_that_cannot_be_used_is_refused_before_dvc_removes_anything(
    study: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert study("-m", "dvc", "repro").returncode == 0
    knob("optimizer: adam", "optimizer: adamm")
    done = study()
    assert done.returncode == 1
    assert "repro: params.yaml: " in done.stderr and "train.optimizer" in done.stderr
    assert "Traceback" not in done.stderr and ended(done) == []
    assert Path("runs/run1-0").exists()


def test_what_dvc_refuses_is_left_to_dvc(study: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    Path("dvc.yaml").write_text("stages: [\n")
    done = study()
    assert done.returncode != 0
    assert "dvc.yaml" in done.stderr and "Traceback" not in done.stderr


def test_an_account_that_dvc_refuses_is_left_to_dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless(_: str) -> None:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    called: list[list[str]] = []

    def run(command: list[str], *, check: bool) -> SimpleNamespace:
        called.append(command)
        return SimpleNamespace(returncode=255)

    monkeypatch.setattr(repro, "Repo", nameless)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["repro", "--force"])
    assert repro.main() == 255
    assert called == [[sys.executable, "-m", "dvc", "repro", "--force"]]


def test_a_machine_that_is_busy_or_full_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: 30.0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=7.9e9))
    busy, full = repro.warnings()
    assert busy.startswith("other programs keep 1.2 of ") and "slows the study" in busy
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
    names = ["extract", "train@run1-0", "train@run3-2"]
    seconds, line = forecast.forecast(Path("params.yaml"), names)
    assert "Training speed here, images a second: train@run1-0 2, train@run3-2 4." in line
    assert seconds == {}
    (tmp_path / "metrics").mkdir()
    shutil.copy(ROOT / "metrics/data.json", "metrics/data.json")  # 600 and 250 faces
    seconds, line = forecast.forecast(Path("params.yaml"), names[1:])
    minutes = 5 * (600 * 0.5 + 500 * 0.1) / 60, 5 * (600 * 0.25 + 500 * 0.1) / 60
    assert line == (
        f"About {sum(minutes):.0f} minutes on this machine (train@run1-0 {minutes[0]:.1f}, "
        f"train@run3-2 {minutes[1]:.1f}, the other stages 0.0)."
    )
    assert seconds == pytest.approx({name: 60 * m for name, m in zip(names[1:], minutes, strict=True)})
    _, together = forecast.forecast(Path("params.yaml"), names[1:], jobs=2)
    assert together.startswith(f"About {sum(minutes) / 2:.0f} minutes on this machine, 2 at once (")
    assert forecast.forecast(Path("params.yaml"), ["report"]) == ({}, "")
    knob("epochs: 5", "epochs: many")
    with pytest.raises(ParamsError, match=r"train\.epochs"):
        forecast.forecast(Path("params.yaml"), names)


def test_a_run_that_is_longer_or_sees_fewer_images_takes_its_own_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    knob("  - run3\n", "  - run1_longer\n  - run1_half\n")
    (tmp_path / "metrics").mkdir()
    shutil.copy(ROOT / "metrics/data.json", "metrics/data.json")
    monkeypatch.setattr(forecast, "measured", lambda train, parts: (0.5, 0.1))
    names = ["train@run1-0", "train@run1_longer-0", "train@run1_half-0"]
    seconds, _ = forecast.forecast(Path("params.yaml"), names)
    own, longer, half = (seconds[name] for name in names)
    assert longer == pytest.approx(3 * own)
    assert half == pytest.approx(5 * (300 * 0.5 + (250 + 250) * 0.1))


@pytest.mark.parametrize(
    ("launcher", "threads", "gpus", "jobs"),
    [
        ("python", 1, [], 4),
        ("python", 2, [], 2),
        ("python", 8, [], 1),
        ("python", 1, ["a", "b"], 2),
        ("torchrun --standalone --nproc-per-node=2", 1, ["a", "b"], 1),
    ],
)
def test_so_many_stages_run_at_once_as_have_a_gpu_or_cores(
    monkeypatch: pytest.MonkeyPatch, launcher: str, threads: int, gpus: list[str], jobs: int
) -> None:
    monkeypatch.setattr(repro, "cores", lambda: 4)
    assert repro.at_once(launcher, threads, gpus) == jobs
