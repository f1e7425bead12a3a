"""Checkpoints of a training, so that it goes on where it was killed.

A checkpoint belongs to a key: all that decides the result. One made under another key is never used. Files
are written whole or not at all; two of the key at work are kept, one of the key before it, and none of a
training that is finished.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from filelock import FileLock, Timeout

from emotions.params_file import Group
from emotions.runtime import outs
from emotions.runtime.console import log

KEPT: Final = 2
"""Checkpoints of one training: where the newest is damaged, the one before serves."""
PACKAGES: Final = ("torch", "torchvision", "numpy", "accelerate", "pillow", "scikit-learn")
CODE: Final = ("emotions", "stages")
"""Packages of this repository, whose loaded modules count."""
NEUTRAL: Final = {"store_gb"}
"""Params that change memory and speed, not the result."""
WAIT: Final = 10.0
"""Seconds to wait for a process that was killed a moment ago to be gone."""


class CheckpointError(RuntimeError):
    """A training that cannot have its checkpoints to itself."""


def result_key(
    params: Mapping[str, Any], inputs: Mapping[str, str], device: torch.device, *, processes: int
) -> dict[str, Any]:
    """All that decides what a training yields, by name, as plain values.

    Args:
        params: validated groups or values by key. inputs: hashes of the data and weights it starts from.
    """
    plain = {
        name: value.model_dump(mode="json", exclude=NEUTRAL) if isinstance(value, Group) else value
        for name, value in params.items()
    }
    root = Path(__file__).parents[2]
    files = {Path(file) for m in list(sys.modules.values()) if (file := getattr(m, "__file__", None))}
    folders = [root / package for package in CODE]
    code = sorted(f for f in files if any(f.is_relative_to(folder) for folder in folders))
    gpu = torch.cuda.get_device_name() if device.type == "cuda" else ""
    return {
        "params": plain,
        **inputs,
        "code": {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in code},
        "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
        "device": [device.type, gpu, torch.backends.cpu.get_cpu_capability()],
        "processes": processes,
    }


class Checkpoints:
    """The checkpoints of one training, in a folder of its own.

    `key`: what decides the result, as plain values by name.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self.folder, self.key = folder, key
        text = json.dumps(key, sort_keys=True)
        self.own = folder / hashlib.sha256(text.encode()).hexdigest()[:16]

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Hold the folder while training: two processes that train the same run would ruin each other's.

        Raises:
            CheckpointError: another process holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "lock", timeout=WAIT)
        try:
            lock.acquire()
        except Timeout as error:
            raise CheckpointError(
                f"{self.folder} is in use: another process is at this training; wait for it or end it"
            ) from error
        try:
            self._make_room()
            yield
        finally:
            lock.release()

    def newest(self) -> dict[str, Any] | None:
        """The newest whole checkpoint of this key; a damaged one is named in the log and passed over."""
        for path in sorted(self.own.glob("*.pt"), reverse=True):
            try:
                with zipfile.ZipFile(path) as records:  # torch.load takes changed bytes without a word
                    damaged = records.testzip()
                if damaged is None:
                    return torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:  # zipfile and torch.load raise a dozen types on a broken file
                damaged = str(error)
            log.warning(f"{path} is damaged ({damaged}); going on from the one before, if there is one")
        return None

    def save(self, epochs: int, steps: int, state: dict[str, Any]) -> None:
        """Write the state after so many whole epochs and further steps.

        Raises:
            OutsError: no space left; the checkpoints before it remain.
        """
        if not self.own.exists():
            self.own.mkdir(parents=True)
            outs.write_text(self.own / "key.json", json.dumps(self.key, indent=1, sort_keys=True) + "\n")
        with outs.new_file(self.own / f"{epochs:06d}-{steps:08d}.pt") as temporary, temporary.open("wb") as f:
            torch.save(state, f)
        for path in sorted(self.own.glob("*.pt"))[:-KEPT]:
            path.unlink()

    def discard(self) -> None:
        """The training is finished: leave nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_room(self) -> None:
        """Of trainings under another key keep the newest checkpoint of the newest; say why it is not used."""
        for left_over in self.folder.rglob(".*.part"):  # of a process killed while it wrote
            left_over.unlink()
        others = [p for p in self.folder.iterdir() if p.is_dir() and p != self.own]
        others.sort(key=lambda p: p.stat().st_mtime, reverse=True)
        for path in others[1:]:
            shutil.rmtree(path)
        for path in others[:1]:
            for older in sorted(path.glob("*.pt"))[:-1]:
                older.unlink()
            log.info(f"{path} is not used: other {', '.join(self._differences(path)) or 'key'}")

    def _differences(self, other: Path) -> list[str]:
        """The names in `key` that the checkpoints in `other` were made with another value of."""
        try:
            key = json.loads((other / "key.json").read_text())
        except (OSError, ValueError):
            return []
        own = json.loads(json.dumps(self.key))
        return sorted(name for name in own.keys() | key.keys() if own.get(name) != key.get(name))
