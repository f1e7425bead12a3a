"""What `benchmarks.throughput` measures beside this loop: other people's, and the way to the first step."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import resnet50

from emotions.model.preprocessing import MEAN, STD
from emotions.runtime.parallel import cores
from emotions.training.augment import JITTER, MAX_ROTATION

ROOT = Path(__file__).parent.parent
WORKERS = (0, 1, 2) if cores() < 8 else (4, 8, cores())
"""Processes of the DataLoader; more would only take turns on few cores."""
LR = 1e-4
NEVER = "1000000"


class LoopError(RuntimeError):
    """A loop of others that did not run; the message is the end of what it printed."""


class Fastest:
    """Of several settings of a loop the fastest: the first call tries all, later ones that one."""

    def __init__(self, settings: Mapping[str, Callable[[], float]]) -> None:
        self.settings, self.tried = dict(settings), dict[str, float]()

    def __call__(self) -> float:
        speeds = {name: measure() for name, measure in self.settings.items()}
        self.tried = self.tried or speeds
        best = max(speeds, key=speeds.__getitem__)
        self.settings = {best: self.settings[best]}
        return speeds[best]


def notebook(tree: Path, size: int, batch: int, device: torch.device) -> Fastest:
    """The usual loop of a notebook: ImageFolder, PIL transforms in a DataLoader, float32, Adam."""
    return Fastest({f"{n} workers": partial(_notebook_epoch, tree, size, batch, device, n) for n in WORKERS})


def _notebook_epoch(tree: Path, size: int, batch: int, device: torch.device, workers: int) -> float:
    """The second epoch."""
    steps = [
        transforms.Resize((size, size)),
        transforms.RandomHorizontalFlip(),
        transforms.RandomRotation(MAX_ROTATION),
        transforms.ColorJitter(JITTER, JITTER, JITTER),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    data = ImageFolder(str(tree / "train"), transforms.Compose(steps))
    loader = DataLoader(data, batch, shuffle=True, num_workers=workers, pin_memory=device.type == "cuda")
    model = resnet50(num_classes=len(data.classes)).to(device)
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), LR)
    model.train()
    # A notebook would not ask for deterministic algorithms, which fill all new memory.
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        for _ in range(2):
            begun, total, right = time.perf_counter(), 0.0, 0
            for images, labels in loader:
                images, labels = images.to(device), labels.to(device)
                optimizer.zero_grad()
                logits = model(images)
                loss = criterion(logits, labels)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(labels)
                right += (logits.argmax(1) == labels).sum().item()
            seconds = time.perf_counter() - begun
    finally:
        torch.use_deterministic_algorithms(before)
    return len(data) / seconds


def torchvision_references(
    where: Path, tree: Path, size: int, batch: int, device: torch.device, images: int
) -> Fastest:
    """torchvision's `references/classification/train.py`, in float32: its `--amp` is CUDA's, and it offers no
    channels_last. AdamW, as it knows no Adam."""
    common = {
        "data-path": tree,
        "device": device.type,
        "model": "resnet50",
        "batch-size": batch,
        "epochs": 2,
        "opt": "adamw",
        "lr": LR,
        "train-crop-size": size,
        "val-crop-size": size,
        "val-resize-size": size,
        "print-freq": NEVER,
        "output-dir": "",
    }
    backends: dict[str, list[str]] = {"PIL": [], "tensor, v2": ["--backend", "tensor", "--use-v2"]}
    lines = r"^Test: .*Acc@1", r"^Epoch: \[1\] Total time"
    settings = {
        f"{name}, {n} workers": [*flags, "--workers", str(n)]
        for name, flags in backends.items()
        for n in WORKERS
    }
    return _scripts(where, _flags(common), settings, images, *lines)


def timm_loop(
    where: Path, tree: Path, size: int, batch: int, device: torch.device, images: int, compiled: bool
) -> Fastest:
    """timm's `train.py` in bfloat16 (autocast) and channels_last, with Adam and without label smoothing; it
    needs a worker."""
    common = {
        "data-dir": tree,
        "train-split": "train",
        "val-split": "",
        "device": device.type,
        "model": "resnet50",
        "num-classes": len(list((tree / "train").iterdir())),
        "batch-size": batch,
        "epochs": 2,
        "warmup-epochs": 0,
        "val-interval": NEVER,
        "opt": "adam",
        "lr": LR,
        "color-jitter": JITTER,
        "smoothing": 0,
        "train-interpolation": "bilinear",
        "amp-dtype": "bfloat16",
        "log-interval": NEVER,
        "output": tree.parent / "timm",
    }
    flags = [*_flags(common), "--input-size", "3", str(size), str(size), "--amp", "--channels-last"]
    # Compiling takes minutes: with one setting only.
    loaders: dict[str, list[str]] = {"prefetcher": [], "no prefetcher": ["--no-prefetcher"]}
    choices = [("prefetcher", 1)] if compiled else [(name, n) for name in loaders for n in WORKERS[1:]]
    flags += ["--torchcompile"] if compiled else []
    lines = r"Skipping eval and checkpointing", r"Train: 1 \[.*\(100%\)\]"
    settings = {f"{name}, {n} workers": [*loaders[name], "--workers", str(n)] for name, n in choices}
    return _scripts(where, flags, settings, images, *lines)


def _scripts(
    where: Path, common: list[str], settings: Mapping[str, list[str]], images: int, begins: str, ends: str
) -> Fastest:
    """`train.py` with each of these flags beside the common ones."""

    def speed(flags: list[str]) -> float:
        return images / _epoch_seconds(where, [*common, *flags], begins, ends)

    return Fastest({name: partial(speed, flags) for name, flags in settings.items()})


def _flags(values: Mapping[str, object]) -> list[str]:
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def _epoch_seconds(where: Path, flags: list[str], begins: str, ends: str) -> float:
    """Run `train.py` and take the time between two lines that it prints: the whole second epoch, with the
    waiting for its first batch, which the scripts leave out of the images/s they print."""
    environment = os.environ | {
        "PYTHONPATH": str(where),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    command = [sys.executable, str(where.resolve() / "train.py"), *flags]
    seconds, begun, printed = None, None, []
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            now = time.perf_counter()
            printed.append(line)
            if re.search(begins, line) and seconds is None:
                begun = now
            elif re.search(ends, line) and begun is not None:
                seconds = now - begun
    if process.returncode or seconds is None:
        raise LoopError(f"{where}/train.py failed: {''.join(printed[-15:])}")
    return seconds


HOOK = """
import importlib.util, os, sys, time

def note(what):
    with open(os.environ["MARKS"], "a") as file:
        file.write(f"{what} {time.monotonic()}\\n")

def noting(holder, name, before="", after=""):
    work = getattr(holder, name)
    def noted(*arguments, **named):
        if before: note(before)
        result = work(*arguments, **named)
        if after: note(after)
        return result
    setattr(holder, name, noted)

class Watch:
    def find_spec(self, name, path, target=None):
        if name != "emotions.training.loop":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            noting(sys.modules["emotions.inference"], "prepare_device", before="imported")
            noting(sys.modules["emotions.data.dataset"], "load_split", after="decoded")
            noting(module._Training, "step", before="built", after="step")
        spec.loader.exec_module = exec_module
        return spec

if "stages.train" in sys.orig_argv:
    note("started")
    sys.meta_path.insert(0, Watch())
"""
"""Notes, in the stage's process, when it gets where."""
SPANS = {
    "started": "dvc, until the stage starts",
    "imported": "imports, params",
    "decoded": "decoding",
    "built": "network, weights, checkpoint key, live metrics, first batch",
    "step": "first step",
}


def first_step(rounds: int) -> dict[str, list[float]]:
    """Seconds from `dvc repro train@run1-0` to the end of the first step, all of them and in parts.

    In a copy of the repository with a study of a few images, where all before that stage is up to date.
    """
    sys.path.append(str(ROOT / "tests"))
    with mock.patch.dict(os.environ), tempfile.TemporaryDirectory() as place:
        from conftest import TINY, Study  # type: ignore[import-not-found]

        (Path(place) / "hook").mkdir()
        (Path(place) / "hook" / "sitecustomize.py").write_text(HOOK)
        (Path(place) / "study").mkdir()
        study = Study(Path(place) / "study")
        study.params(*TINY)
        study.dvc("repro", "pretrain")
        taken: dict[str, list[float]] = defaultdict(list)
        for number in range(rounds):
            # Another rate each time, so that the stage is out of date and its run is not in DVC's cache.
            rate = f"1.{number}1e-4"
            text = study.read("params.yaml")
            changed = re.sub(r"(lr: \{body: 1\.0e-4, head: )[\d.e-]+", rf"\g<1>{rate}", text, count=1)
            (study.folder / "params.yaml").write_text(changed)
            marks = Path(place) / f"marks{number}"
            environment = {"MARKS": str(marks), "PYTHONPATH": str(Path(place) / "hook")}
            begun = time.monotonic()
            with mock.patch.dict(os.environ, environment):
                study.dvc("repro", "train@run1-0")
            found = [line.split() for line in marks.read_text().splitlines()]
            before = begun
            for what, title in SPANS.items():
                # Both splits are decoded; of the steps the first counts.
                at = [float(at) for name, at in found if name == what][-1 if what == "decoded" else 0]
                taken[title].append(at - before)
                before = at
            taken["all"].append(before - begun)
    return taken
