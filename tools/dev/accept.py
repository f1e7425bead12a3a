"""Record a refactoring in dvc.lock without retraining, if a study of seconds keeps the same bytes.

Usage: python -m tools.dev.accept

Runs the study of seconds at the last commit and in the working tree and compares every output. If all are
the same, `dvc commit` records the working tree's code. Refuses where more than code moved, where dvc.lock
does not match the last commit's code, and where an output does not match dvc.lock (DVC would record it).
`make verify` has the last word: it runs the whole study.
Exit status: 0 recorded, 1 an output changed, 2 refused or could not be run.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides

from emotions.params_file import ParamsError
from emotions.runtime import outs
from tools.referee import rerun
from tools.referee.committed import (
    CODE,
    CommittedError,
    Side,
    Stage,
    changes,
    commit_of,
    contradictions,
    flat,
    git,
    hashes,
    lock_of,
    yaml,
)
from tools.referee.rerun import CannotVerifyError

SECONDS: Final = [
    "data.source=synthetic",
    "data.synthetic.train=64",
    "data.synthetic.val=33",
    "data.synthetic.test=33",
    "data.synthetic.basic=64",
    "pretrained.weights=none",
    "pretrained.basic_emotions.epochs=1",
    "train.image_size=64",
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
    if moved := changes(knobs, flat(now.parsed("params.yaml", yaml))):
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


def outputs_are_recorded(root: Path) -> None:
    """Raises:
    RefusedError: an out of the study is missing, or does not match dvc.lock."""
    with Repo(str(root)) as repo:
        for stage in repo.index.stages:
            if stage.is_data_source or stage.path_in_repo != "dvc.yaml":
                continue
            for out in stage.outs:
                if state := out.status():
                    raise RefusedError(
                        f"{out.def_path} of {stage.name} is {', '.join(state.values())}: `dvc repro` or "
                        "`dvc checkout` first"
                    )


def study_of_seconds(folder: Path) -> dict[str, tuple[str, str]]:
    """Run the study of seconds in a clone: path of each out -> its stage and hash.

    Raises:
        CannotVerifyError: a stage failed.
    """
    apply_overrides(folder / "params.yaml", SECONDS)
    rerun.dvc(folder, "repro", "--force", "--no-run-cache", "--no-commit")
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
    outputs_are_recorded(root)
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

    recorded = now.read("dvc.lock")
    outputs_are_recorded(root)  # nothing touched them meanwhile
    rerun.dvc(root, "commit", "--force", "dvc.yaml")
    new = lock_of(Side(root, ""))
    same = {n: s.outs for n, s in lock.items() if n in new} == {
        n: s.outs for n, s in new.items() if n in lock
    }
    if not same:
        outs.write_bytes(root / "dvc.lock", recorded)
        raise RefusedError("`dvc commit` recorded other outputs; dvc.lock is as it was")
    print(f"All {len(second)} outputs of the study of seconds are the same; dvc.lock has the new code.")
    print("`make verify` has the last word: it runs the whole study at a commit.")
    return 0


def main() -> int:
    try:
        return accept(Path(git(Path(), "rev-parse", "--show-toplevel").decode().rstrip("\n")))
    except KeyboardInterrupt:
        print("accept: interrupted; nothing was recorded", file=sys.stderr)
        return 130
    except (RefusedError, CannotVerifyError, CommittedError, ParamsError, DvcException) as error:
        text = " ".join(re.sub(r"\S*/verify_\w+/study/", "", str(error)).split())
        print(f"accept: {text[:500]}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
