"""Shared fixtures: small datasets, and copies of the repository in which the real pipeline runs."""

import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # several tests run at once, each on one core
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime reports to its makers otherwise

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from rafce import manifest, outs
from rafce.manifest import Row
from rafce.taxonomy import BASIC, SPLITS, compound_classes

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")

ROOT = Path(__file__).parent.parent
STUDIES = (
    "test_commands",
    "test_rafce_study",
    "test_verify",
    "test_pipeline",
    "test_killed_study",
    "test_notebook",
    "test_repeats",
    "test_processes",
    "test_shortcut",
)
"""Test files that take minutes, marked `study`; in this order, so that at the end no worker waits long."""


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in STUDIES:
            item.add_marker("study")
    items.sort(key=lambda item: STUDIES.index(item.path.stem) if item.path.stem in STUDIES else len(STUDIES))


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

    def dvc(self, *arguments: str) -> str:
        return self._run([sys.executable, "-m", "dvc", *arguments], self.folder)

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
        return self._run(["git", *identity, *arguments], self.folder)

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    @staticmethod
    def _run(command: list[str], folder: Path) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1"}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout


TINY = (
    (
        "    train: 800\n    val: 250\n    test: 250\n    basic: 800",
        "    train: 64\n    val: 33\n    test: 33\n    basic: 64",
    ),
    ("basic_emotions: {epochs: 8", "basic_emotions: {epochs: 1"),
    ("image_size: 96 ", "image_size: 64 "),
    ("  epochs: 10", "  epochs: 2"),
    ("threads: 2 ", "threads: 1 "),
    ("min_grid: 12", "min_grid: 8"),
    ("replicates: 1000 ", "replicates: 100 "),
    ("simulations: 1000 ", "simulations: 100 "),
    ("permutations: 9999 ", "permutations: 99 "),
)
"""Replacements in params.yaml that make a study of seconds."""
