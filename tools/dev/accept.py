"""Record a refactoring in dvc.lock without retraining, if a study of seconds keeps the same bytes.

Usage: python -m tools.dev.accept

Runs the study of seconds at the last commit and in the working tree and compares every output. If all are
the same, dvc.lock gets the hashes of the working tree's code and the values of new knobs; its outputs stay as
they are recorded, and need not be here. Refuses where more than code and new knobs moved, and where dvc.lock
does not match the last commit's code. `make verify` has the last word: it runs the whole study.
Exit status: 0 recorded, 1 an output changed, 2 refused or could not be run.
"""

import copy
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import modify_yaml

from emotions.params_file import ParamsError
from tools.referee import rerun
from tools.referee.committed import (
    CODE,
    CommittedError,
    Entry,
    Side,
    Stage,
    changes,
    commit_of,
    contradictions,
    flat,
    hashes,
    lock_of,
    top,
    yaml,
)
from tools.referee.rerun import CannotVerifyError, Declared

SECONDS: Final = [
    "study.seeds=[0]",
    "data.source=synthetic",
    "data.synthetic.train=64",
    "data.synthetic.val=33",
    "data.synthetic.test=33",
    "data.synthetic.basic=64",
    "pretrained.weights=none",
    "pretrained.basic_emotions.epochs=1",
    "train.image_size=32",
    "train.epochs=2",
    "train.batch_size=16",
    "train.threads=1",
    "gradcam.min_grid=8",
    "faithfulness.measure=true",
    "faithfulness.images=16",
    "uncertainty.replicates=100",
    "uncertainty.simulations=100",
    "uncertainty.permutations=99",
]
"""Params of the study of seconds, which runs all stages; the others are those of the working tree."""
PACKAGES: Final = "requirements.txt"


class RefusedError(Exception):
    """More than code moved, or that cannot be told; the message names it and the remedy."""


def only_code_moved(before: Side, now: Side, lock: dict[str, Stage]) -> None:
    """Raises:
    RefusedError: params, packages or data moved, or dvc.lock did not match the code before."""
    knobs = flat(before.parsed("params.yaml", yaml))
    moved = [c for c in changes(knobs, flat(now.parsed("params.yaml", yaml))) if c[1] is not None]
    if moved:  # a knob that is new is code: the study of seconds runs with it
        names = ", ".join(key for key, _, _ in moved)
        raise RefusedError(f"params.yaml changed as well ({names}): `dvc repro` and commit")
    if before.read(PACKAGES) != now.read(PACKAGES):
        raise RefusedError(f"{PACKAGES} changed as well: `dvc repro` and commit")
    if found := contradictions(knobs, lock, hashes(before, lock)):
        names = ", ".join(sorted({f"{c.key} of {c.stage}" for c in found})[:5])
        raise RefusedError(f"dvc.lock does not match {before.name} ({names}): `dvc repro` there and commit")
    held = hashes(now, lock)
    for name, stage in lock.items():
        for entry in stage.deps:
            if not entry.path.startswith(CODE) and held.get(entry.path, entry.md5) != entry.md5:
                raise RefusedError(
                    f"{entry.path}, which {name} reads, changed as well: `dvc repro` and commit"
                )


def record(now: Side, stages: Mapping[str, Declared]) -> None:
    """Write the working tree's code and knobs into dvc.lock, as DVC would; outputs stay as they are.

    Raises:
        RefusedError: dvc.yaml names other stages, commands, params or outputs, or a dep that is not code.
    """
    knobs = now.parsed("params.yaml", yaml)
    with modify_yaml(now.root / "dvc.lock") as content:
        lock = content["stages"]
        for name, declared in stages.items():
            entry = lock.get(name, {})
            deps = {dep["path"]: dep for dep in entry.get("deps", [])}
            params = entry.get("params", {}).get("params.yaml", {})
            outputs = {out["path"] for out in entry.get("outs", [])}
            there = (entry.get("cmd"), params.keys(), outputs)
            foreign = [path for path in declared.deps - deps.keys() if not path.startswith(CODE)]
            if foreign or there != (declared.cmd, declared.params, declared.outs.keys()):
                raise RefusedError(f"dvc.yaml changed more than code of {name}: `dvc repro` and commit")
            entry["deps"] = [
                hashed(now, path) if path.startswith(CODE) else deps[path] for path in sorted(declared.deps)
            ]
            for key in params:
                value: Any = knobs
                for part in key.split("."):
                    value = value[part]
                params[key] = copy.deepcopy(value)  # one object under two stages would be written as an alias


def hashed(side: Side, path: str) -> dict[str, Any]:
    """The entry of a file or folder in dvc.lock."""
    inside = [f for f in side.files if f == path or f.startswith(f"{path}/")]
    (held,) = hashes(side, {"": Stage(deps=[Entry(path=path)])}).values()
    entry = {"path": path, "hash": "md5", "md5": held, "size": sum(len(side.read(f)) for f in inside)}
    return entry | ({"nfiles": len(inside)} if held.endswith(".dir") else {})


def study_of_seconds(folder: Path) -> dict[str, tuple[str, str]]:
    """Run the study of seconds in a clone: path of each out -> its stage and hash.

    Raises:
        CannotVerifyError: a stage failed.
    """
    apply_overrides(folder / "params.yaml", SECONDS)
    rerun.run(folder, [])
    lock = lock_of(Side(folder, ""))
    return {out.path: (name, out.md5) for name, stage in lock.items() for out in stage.outs}


def bring_working_tree(now: Side, folder: Path) -> None:
    """Replace the clone's files by those of the working tree."""
    for name in Side(folder, "").files - now.files:
        (folder / name).unlink()
    for name in now.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(now.root / name, folder / name)


def different(before: dict[str, tuple[str, str]], after: dict[str, tuple[str, str]]) -> Iterator[str]:
    """A line for each out that only one side has, or whose bytes differ."""
    for path in sorted(before.keys() | after.keys()):
        if before.get(path, ("", ""))[1] != after.get(path, ("", ""))[1]:
            stage = (after.get(path) or before[path])[0]
            what = "other bytes" if path in before and path in after else "on one side only"
            yield f"{path} ({stage}): {what}"


def accept(root: Path) -> int:
    """Record the code if nothing else moved, and return the exit status.

    Raises:
        RefusedError, CannotVerifyError, CommittedError, ParamsError, DvcException: nothing was recorded.
    """
    _, commit = commit_of(root, "HEAD")
    before, now = Side(root, commit), Side(root, "")
    lock = lock_of(before)
    if now.read("dvc.lock") != before.read("dvc.lock"):
        raise RefusedError("dvc.lock is not that of the last commit: commit it, or `git checkout dvc.lock`")
    only_code_moved(before, now, lock)

    print(f"the study of seconds at {commit[:12]}", file=sys.stderr, flush=True)
    with rerun.clean_clone(root, commit) as folder:
        first = study_of_seconds(folder)
    print("the study of seconds in the working tree", file=sys.stderr, flush=True)
    with rerun.clean_clone(root, commit) as folder:
        bring_working_tree(now, folder)
        second = study_of_seconds(folder)
    if moved := list(different(first, second)):
        print("\n".join(moved))
        print(
            f"Not recorded: {len(moved)} of {len(second)} outputs changed. `dvc repro` runs the study again."
        )
        return 1

    record(now, rerun.declared_stages(root))
    print(f"All {len(second)} outputs of the study of seconds are the same; dvc.lock has the new code.")
    print("`make verify` has the last word: it runs the whole study at a commit.")
    return 0


def main() -> int:
    try:
        return accept(top(Path()))
    except KeyboardInterrupt:
        print("accept: interrupted; nothing was recorded", file=sys.stderr)
        return 130
    except (RefusedError, CannotVerifyError, CommittedError, ParamsError, DvcException) as error:
        text = " ".join(re.sub(r"\S*/verify_\w+/study/", "", str(error)).split())
        print(f"accept: {text[:500]}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
