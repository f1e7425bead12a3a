"""Checkpoints of a training, so that it resumes where it was killed.

A checkpoint belongs to a key: all that decides the result. A checkpoint with another key is never used. Files
are written whole or not at all. Two checkpoints of the current key are kept, one of the key before it, and
none of a finished training.
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
"""Checkpoints kept of one training: if the newest is damaged, the one before is used."""
PACKAGES: Final = ("torch", "torchvision", "numpy", "accelerate", "pillow", "scikit-learn")
CODE: Final = ("emotions", "stages")
"""This repository's packages whose loaded modules are part of the key."""
NEUTRAL: Final = {"store_gb"}
"""Params that change memory and speed, not the result."""
WAIT: Final = 10.0
"""Seconds allowed for a process just killed to exit."""


class CheckpointError(RuntimeError):
    """A training whose checkpoints another process holds."""


def result_key(
    params: Mapping[str, Any], inputs: Mapping[str, str], device: torch.device, *, processes: int
) -> dict[str, Any]:
    """All that decides the result of a training, by name, as plain values.

    Args:
        params: validated groups or values by key. inputs: hashes of the data and starting weights.
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
        """Lock the folder while training: two processes training one run would ruin each other's checkpoints.

        Raises:
            CheckpointError: another process holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "lock", timeout=WAIT)
        try:
            lock.acquire()
        except Timeout as error:
            raise CheckpointError(
                f"{self.folder} is in use: another process trains this run; wait for it or end it"
            ) from error
        try:
            self._make_room()
            yield
        finally:
            lock.release()

    def newest(self) -> dict[str, Any] | None:
        """The newest intact checkpoint of this key; damaged ones are logged and skipped."""
        for path in sorted(self.own.glob("*.pt"), reverse=True):
            try:
                with zipfile.ZipFile(path) as records:  # torch.load accepts changed bytes silently
                    damaged = records.testzip()
                if damaged is None:
                    return torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:  # zipfile and torch.load raise a dozen types on a broken file
                damaged = str(error)
            log.warning(f"{path} is damaged ({damaged}); going on from the one before, if there is one")
        return None

    def save(self, epochs: int, steps: int, state: dict[str, Any]) -> None:
        """Write the state after `epochs` whole epochs and `steps` more steps.

        Raises:
            OutsError: no space left; earlier checkpoints remain.
        """
        if not self.own.exists():
            self.own.mkdir(parents=True)
            outs.write_text(self.own / "key.json", json.dumps(self.key, indent=1, sort_keys=True) + "\n")
        outs.stream_torch(self.own / f"{epochs:06d}-{steps:08d}.pt", state)
        for path in sorted(self.own.glob("*.pt"))[:-KEPT]:
            path.unlink()

    def discard(self) -> None:
        """Remove all checkpoints once the training is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_room(self) -> None:
        """Delete other keys' checkpoints, except the newest key's newest; log why that one is not used."""
        for left_over in self.folder.rglob(".*.part"):  # from a process killed while writing
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
        """Names in the key whose values differ from those of the checkpoints in `other`."""
        try:
            key = json.loads((other / "key.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        own = json.loads(json.dumps(self.key))
        return sorted(name for name in own.keys() | key.keys() if own.get(name) != key.get(name))
