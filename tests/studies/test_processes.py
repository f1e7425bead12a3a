"""Several processes at one training: the result of one, each sample scored once, an end when one dies."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from accelerate.state import AcceleratorState
from conftest import A_WHILE, ROOT, TINY, Study, wait_for

from emotions.training import distributed
from emotions.training.distributed import ProcessesError

SCRIPT = str(ROOT / "tests" / "one_of_several.py")
STANDALONE = ("--standalone", "--nproc-per-node=2")
EXACT = 1e-5
"""Relative distance of weights that differ by the order of a sum alone, after some steps in float32."""
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}


LAST_DIGIT = 2e-6
"""Differences of a history's numbers, which have six decimals, where sums are rounded in another order."""


def start(folder: Path, *options: str, torchrun: tuple[str, ...] = STANDALONE) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    launcher = [sys.executable, "-m", "torch.distributed.run", *torchrun] if torchrun else [sys.executable]
    return subprocess.Popen(
        [*launcher, SCRIPT, str(folder), *options], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )


def whole(folder: Path, *options: str, torchrun: tuple[str, ...] = STANDALONE) -> Path:
    done = start(folder, *options, torchrun=torchrun)
    _, errors = done.communicate(timeout=A_WHILE)
    assert done.returncode == 0, errors
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole(tmp_path_factory.mktemp("two"), "frozen")


def distance(one: Path, other: Path) -> float:
    """Of the last weights, relative; without batch-norm statistics."""
    vectors = []
    for folder in (one, other):
        state = torch.load(folder / "weights.pth", weights_only=True)["last"]
        kept = [v.flatten().double() for k, v in state.items() if "running" not in k and "tracked" not in k]
        vectors.append(torch.cat(kept))
    return float((vectors[0] - vectors[1]).norm() / vectors[0].norm())


def test_with_batch_norm_frozen_two_processes_learn_what_one_does(two: Path, tmp_path: Path) -> None:
    """Mixup partners of the other process, dropout and augmentation included."""
    one = whole(tmp_path / "one", "frozen", torchrun=())
    assert distance(one, two) < EXACT
    histories = [np.loadtxt(folder / "history.csv", delimiter=",", skiprows=1) for folder in (one, two)]
    assert np.abs(histories[0] - histories[1]).max() < LAST_DIGIT


def test_with_batch_norm_training_each_process_has_statistics_of_its_share(tmp_path: Path) -> None:
    one, two = whole(tmp_path / "one", torchrun=()), whole(tmp_path / "two")
    assert distance(one, two) > 100 * EXACT


def test_two_processes_twice_give_the_same_bytes(two: Path, tmp_path: Path) -> None:
    again = whole(tmp_path / "again", "frozen")
    for name in ("weights.pth", "history.csv"):
        assert (again / name).read_bytes() == (two / name).read_bytes()


def test_every_sample_is_scored_by_one_process_and_only_the_first_is_told(two: Path) -> None:
    first, second = (json.loads((two / f"{rank}.json").read_text()) for rank in (0, 1))
    assert (first["told"], second["told"]) == ([1, 2], [])
    for split, images in (("train", 6), ("val", 6)):
        for mine, others in zip(first["scored"][split], second["scored"][split], strict=True):
            assert len(mine) + len(others) == images
            assert not set(mine) & set(others)


def test_two_agents_that_meet_at_a_rendezvous_train_as_one_with_two_processes(
    two: Path, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    agent = (
        "--nnodes=2",
        "--nproc-per-node=1",
        "--rdzv-id=test",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint=localhost:{port}",
    )
    agents = [start(tmp_path / "agents", "frozen", torchrun=agent) for _ in range(2)]
    for done in agents:
        _, errors = done.communicate(timeout=A_WHILE)
        assert done.returncode == 0, errors
    assert (tmp_path / "agents" / "weights.pth").read_bytes() == (two / "weights.pth").read_bytes()


def alive(folder: Path) -> list[psutil.Process]:
    """Processes that have `folder` in their command line."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line, status = process.info["cmdline"], process.info["status"]
        if line and str(folder) in line and status != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole(tmp_path_factory.mktemp("unharmed"), "long", "frozen")


@pytest.mark.parametrize("victim", ["worker", "first worker", "agent"])
def test_a_dead_process_ends_the_training_which_then_goes_on_exactly(
    unharmed: Path, tmp_path: Path, victim: str
) -> None:
    folder = tmp_path / "killed"
    agent = start(folder, "stuck", "frozen")
    wait_for(lambda: len(list(folder.rglob("*.pt"))) > 1)
    names = {"worker": "pid1", "first worker": "pid0"}
    pid = agent.pid if victim == "agent" else int((folder / names[victim]).read_text())
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: agent.poll() is not None and not alive(folder))
    assert agent.returncode != 0
    agent = start(folder, "long", "frozen")
    _, errors = agent.communicate(timeout=A_WHILE)
    assert agent.returncode == 0, errors
    assert (folder / "weights.pth").read_bytes() == (unharmed / "weights.pth").read_bytes()


@pytest.fixture
def one_of_two(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("one_of_two")
def test_processes_that_are_not_connected_do_not_train_each_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What accelerate does where it finds no way to connect them."""

    class Alone:
        num_processes = 1

    monkeypatch.setattr(distributed, "Accelerator", lambda **_: Alone())
    with pytest.raises(ProcessesError, match="2 processes were started, but they are not connected"):
        distributed.start(torch.device("cpu"), torch.float32)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ProcessesError, match=r"launcher starts 2 processes on a machine with 1 GPU\(s\)"):
        distributed.start(torch.device("cuda"), torch.float32)


def test_each_process_takes_an_equal_share_of_the_batch_and_all_take_the_whole() -> None:
    shares = [distributed.share(12, 3, index) for index in range(3)]
    assert [i for share in shares for i in range(12)[share]] == list(range(12))
    with pytest.raises(ProcessesError, match=r"batch_size is 13, which 3 processes .* set it to 12"):
        distributed.share(13, 3, 0)


LOG_OF_WRITES = """
import os, sys
def note(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if writes and str(arguments[0]).startswith(("/", ".")) or event in ("os.rename", "os.remove", "os.mkdir"):
        with_log(str(arguments[0]))
def with_log(path):
    path = os.path.abspath(path)
    if path.startswith(os.environ["STUDY"]):
        log = os.environ["WRITES"] + os.environ["RANK"]
        descriptor = os.open(log, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, (path + "\\n").encode())
        os.close(descriptor)
if "RANK" in os.environ and os.environ.get("STUDY"):
    sys.addaudithook(note)
"""


def test_a_study_under_torchrun_trains_in_two_processes_of_which_the_first_alone_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study").mkdir()
    study = Study(tmp_path / "study")
    study.params(*TINY, ("launcher: python ", "launcher: torchrun --standalone --nproc-per-node=2 "))
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(LOG_OF_WRITES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hook"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("STUDY", str(study.folder))
    monkeypatch.setenv("WRITES", str(tmp_path / "writes-"))
    study.dvc("repro", "evaluate@run2-0")
    written = (tmp_path / "writes-0").read_text()
    for name in (
        "models/.pretrained.pth.part",
        "models/runs/.run2-0.pth.part",
        "history/.run2-0.csv",
        ".checkpoints",
    ):
        assert name in written
    # Decoded images are for all processes, and whichever comes first decodes them.
    others = (tmp_path / "writes-1").read_text().splitlines() if (tmp_path / "writes-1").exists() else []
    assert not [path for path in others if "/.decoded" not in path]
    assert "process 0 of 2" in study.read("logs/train@run2-0.log")
    assert not list((study.folder / ".checkpoints").iterdir())
    scores = json.loads(study.read("metrics/runs/run2-0.json"))
    assert scores["selected"]["val"]["images"] == 33
