"""Shared fixtures: small datasets, and copies of the repository in which the real pipeline runs."""

import atexit
import functools
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # several tests run at once, each on one core
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime reports to its makers otherwise

import numpy as np
import pytest
import warm
from filelock import FileLock
from hypothesis import settings
from imported import ROOT
from PIL import Image

from emotions.data import manifest
from emotions.data.manifest import Row
from emotions.runtime import outs
from emotions.taxonomy import BASIC, SPLITS, compound_classes

LAST_LINE = pytest.StashKey[str]()
A_WHILE = 600
"""Seconds after which a wait is given up. Nothing takes nearly so long, on a busy machine either."""

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # So it is in what a script starts in the background; what the tests start would inherit it and never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")

EXTRAS = ("test_demo", "test_report_browser", "test_backends", "test_vlm_study")
"""Test files that need an extra or a browser, marked `extra`."""
LOG = ROOT / "logs" / "tests.log"
"""What failed in the last run of tests."""
LONGEST_FIRST = (
    "test_commands",
    "test_rafce_study",
    "test_verify",
    "test_accept",
    "test_pipeline",
    "test_killed_study",
    "test_notebook",
    "test_processes",
    "test_shortcut",
)
"""Files of tests/studies that take minutes, in this order, so that at the end no worker waits long."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Keep what failed in a log, and leave the last line to `pytest_unconfigure`."""
    stats = terminalreporter.stats
    failed = [*stats.get("failed", []), *stats.get("error", [])]
    LOG.parent.mkdir(exist_ok=True)
    titled = [
        (f"{r.nodeid}\n{r.longreprtext}", *(f"--- {name}\n{text}" for name, text in r.sections))
        for r in failed
    ]
    LOG.write_text("\n\n".join("\n".join(parts) for parts in titled), encoding="utf-8")
    line = f"tests: {len(stats.get('passed', []))} passed, {len(failed)} failed"
    line += f", {len(stats.get('skipped', []))} skipped"
    where = f"; what failed stands in {LOG.relative_to(ROOT)}" if failed else ""
    terminalreporter.config.stash[LAST_LINE] = line + where


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if line := config.stash.get(LAST_LINE, ""):
        print(line)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test computes on one thread and draws from the start of its streams, whatever came before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
        torch.manual_seed(0)


def rounding(numbers: Any, layers: int = 53, terms: int = 512 * 9) -> float:
    """How far two orders of summing may move numbers of this size in float32, here those of a ResNet-50.

    Each of the layers adds sums of up to `terms` products, whose roundings (half of 2^-23 each, relative to
    the largest) add up as a random walk; those of the layers at worst all point one way.
    """
    largest = float(np.abs(np.asarray(numbers, dtype=np.float64)).max())
    return layers * terms**0.5 * 2**-24 * largest


def wait_for(state: Callable[[], object]) -> None:
    """Wait until `state` holds."""
    until = time.monotonic() + A_WHILE
    while not state():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in EXTRAS:
            item.add_marker("extra")
    order = {stem: place for place, stem in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def class_picture(index: int, number: int, size: int = 48) -> bytes:
    """A noisy picture that shows its class: a bright bar whose place depends on the class."""
    pixels = np.random.default_rng(100 * index + number).integers(0, 80, (size, size, 3), np.uint8)
    start = 4 * index
    pixels[:, start : start + 4] = 255
    return png(pixels)


def write_dataset(path: Path, per_class: int = 3, size: int = 48) -> list[Row]:
    """A dataset zip with `per_class` pictures of each class of rafdb11 and each basic emotion in every
    split."""
    rows = []
    with zipfile.ZipFile(path, "w") as archive:
        for role, labels in (("compound", compound_classes("rafdb11")), ("basic", BASIC)):
            for number, split in enumerate(SPLITS):
                for index, label in enumerate(labels):
                    for i in range(per_class):
                        name = f"images/{role}/{split}/{label}/{index:02d}_{i}.png"
                        outs.add_to_zip(archive, name, class_picture(index, 10 * number + i, size))
                        rows.append(
                            Row(name, label, role, split, "", "", "", "", f"{role}{split}{index}_{i}")
                        )
        outs.add_to_zip(archive, manifest.FILE_NAME, manifest.write(rows).encode())
    return rows


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dataset") / "dataset_resnet_224.zip"
    write_dataset(path)
    return path


@functools.cache
def warm_python() -> str:
    """A Python whose `-m dvc` and `-m stages.NAME` are forks of a warm one (tests/warm.py)."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/warm.py"), str(folder / "socket")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout and server.stdout.readline() == "ready\n"
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.terminate)
    return str(warm.install(folder / "venv", folder / "socket"))


def warm_path() -> str:
    """A PATH on which `python` is the warm one."""
    return os.pathsep.join(
        [str(Path(warm_python()).parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    )


class Study:
    """A copy of the repository's tracked files in a folder and a git history of its own, where `dvc` runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = self._run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT)
        outs_of_study = ("dvc.lock", "metrics/", "plots/", "report/", "models/")
        for name in listed.split("\0"):
            if name and (ROOT / name).is_file() and not name.startswith(outs_of_study):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        self.git("init", "-q")
        self.commit("start")

    def params(self, *replacements: tuple[str, str]) -> None:
        """Replace text in params.yaml; each text must stand there."""
        path = self.folder / "params.yaml"
        text = path.read_text()
        for old, new in replacements:
            assert old in text, f"{old!r} is not in params.yaml"
            text = text.replace(old, new)
        path.write_text(text)

    def set(self, *changes: str) -> None:
        """Change knobs, `study.seeds=[0]`, as `dvc exp run -S` does."""
        from dvc.utils.hydra import apply_overrides  # takes a second, and few tests need it

        apply_overrides(self.folder / "params.yaml", list(changes))

    def dvc(self, *arguments: str) -> str:
        """Run a DVC command; stages are forks of a warm Python."""
        command = [warm_python(), "-m", "dvc", *arguments]
        return self._run(command, self.folder, PATH=warm_path(), DVC_NO_ANALYTICS="1")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
        return self._run(["git", *identity, *arguments], self.folder)

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    @staticmethod
    def _run(command: list[str], folder: Path, **environment: str) -> str:
        environment = os.environ | environment
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout


TINY = (
    (
        "    train: 600\n    val: 250\n    test: 250\n    basic: 2400",
        "    train: 64\n    val: 33\n    test: 33\n    basic: 64",
    ),
    ("\n  image_size: 64 ", "\n  image_size: 32 "),
    ("basic_emotions: {epochs: 3", "basic_emotions: {epochs: 1"),
    ("\n  epochs: 5", "\n  epochs: 2"),
    ("    epochs: 15", "    epochs: 3"),
    ("  - 0\n  - 1\n  - 2\n", "  - 0\n"),
    ("replicates: 1000 ", "replicates: 100 "),
    ("simulations: 1000 ", "simulations: 100 "),
    ("permutations: 9999 ", "permutations: 99 "),
    ("  images: 64 ", "  images: 8 "),
)
"""Replacements in params.yaml that make a study of seconds, with one seed."""
ONE_TRAINING = ("study.runs=[run1]", "study.seeds=[0]")
"""Changes of knobs that leave one run with one seed."""


@pytest.fixture(scope="session")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A tiny study of one run and one seed, run and committed: one for all workers, not to be written to."""
    folder = tmp_path_factory.getbasetemp().parent / "one_run"
    with FileLock(f"{folder}.lock"):
        if Path(f"{folder}.done").exists():
            return study_in(folder)
        shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
        study = Study(folder)
        study.params(*TINY)
        tolerance = (f"verify.tolerance.{kind}=0.5" for kind in ("accuracy", "macro_f1", "heat"))
        study.set(*ONE_TRAINING, *tolerance)
        study.dvc("repro")
        study.commit("one run")
        Path(f"{folder}.done").touch()
    return study


def study_in(folder: Path) -> Study:
    """The study that is there already, a copy or a clone of another."""
    study = object.__new__(Study)
    study.folder = folder
    return study
