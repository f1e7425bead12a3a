"""`dvc repro` killed at random moments of a training, then run again: the same bytes as never interrupted."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import TINY, Study

KILLS = 20
RUN = "run1"


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Study]:
    """Two equal studies that have come as far as the pretrained weights; a run has six epochs."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "whole").mkdir()
    whole = Study(folder / "whole")
    whole.params(*TINY, ("  epochs: 2", "  epochs: 6"))
    whole.dvc("repro", "pretrain")
    shutil.copytree(folder / "whole", folder / "killed", symlinks=True)
    killed = object.__new__(Study)
    killed.folder = folder / "killed"
    return whole, killed


def processes_in(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cwd", "status"]):
        if process.info["cwd"] == str(folder) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def test_a_training_killed_at_20_random_moments_ends_byte_identical(studies: tuple[Study, Study]) -> None:
    whole, killed = studies
    begun = time.monotonic()
    whole.dvc("repro", f"evaluate@{RUN}")
    seconds = time.monotonic() - begun
    draw = random.Random(0)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    checkpoints = killed.folder / ".checkpoints" / f"train@{RUN}"
    for number in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro", f"train@{RUN}"],
            cwd=killed.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + draw.uniform(0.2, 0.6) * seconds
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        if number % 2:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()  # DVC alone: the stage sees that and ends, too
        process.wait()
        begun = time.monotonic()
        while processes_in(killed.folder):
            assert time.monotonic() - begun < 10, "a stage goes on without its dvc"
            time.sleep(0.05)
        assert len(list(checkpoints.rglob("*.pt"))) <= 3
        assert len([p for p in checkpoints.rglob("*") if p.name.endswith(".part")]) <= 1
    killed.dvc("repro", f"evaluate@{RUN}")

    log = killed.read(f"logs/train@{RUN}.log")
    assert "going on after epoch" in log
    trained = [line for line in log.splitlines() if " epoch 1/6 " in line]
    assert len(trained) < KILLS / 2, "epochs were trained again and again"
    assert yaml.safe_load(killed.read("dvc.lock")) == yaml.safe_load(whole.read("dvc.lock"))
    for name in (f"models/runs/{RUN}.pth", f"models/last_epoch/{RUN}.pth", f"plots/runs/{RUN}/history.csv"):
        assert (killed.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert not list((killed.folder / ".checkpoints").iterdir())


def test_ctrl_c_ends_a_training_at_once_and_loses_no_step(studies: tuple[Study, Study]) -> None:
    whole, _ = studies
    before = yaml.safe_load(whole.read("dvc.lock"))["stages"][f"train@{RUN}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.train", RUN], cwd=whole.folder, stderr=subprocess.PIPE, text=True
    )
    checkpoints = whole.folder / ".checkpoints"
    while not list(checkpoints.rglob("*.pt")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"train@{RUN} interrupted after" in errors
    assert "Traceback" not in errors
    assert list(checkpoints.rglob("*.pt"))
    whole.dvc("repro", "--force", "--single-item", f"train@{RUN}")
    assert "going on after epoch" in whole.read(f"logs/train@{RUN}.log")
    assert yaml.safe_load(whole.read("dvc.lock"))["stages"][f"train@{RUN}"] == before
