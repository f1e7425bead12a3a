"""Run the study as `dvc repro` does, and say first how long that will take on this machine.

Usage: python -m tools.repro

Where trainings are due, measures a second of steps of each, and warns about busy cores and a nearly full
disk. Where nothing is due, nothing is measured.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

import psutil
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import get_active_graph, plan_repro

from emotions import knobs
from emotions.params_file import ParamsError
from emotions.runtime.parallel import cores

PIPELINE: Final = "dvc.yaml"
PARAMS_FILE: Final = Path("params.yaml")
NEEDED_GB: Final = 12
"""Disk for environment, data, cache and weights, in GB."""
BUSY_CORES: Final = 0.5
"""Cores kept busy by other programs, above which a warning is due."""


def due(repo: Repo) -> list[str]:
    """Names of the stages that `dvc repro` may run: those with a change, and all after them."""
    stages = {stage.addressing: stage for stage in repo.index.stages}
    changed = [stages[name] for name in repo.status(targets=[PIPELINE])]
    if not changed:
        return []
    order = plan_repro(get_active_graph(repo.index.graph), changed, downstream=True)
    return [stage.addressing for stage in order if stage.path_in_repo == PIPELINE]


def warnings() -> list[str]:
    """Warnings about busy cores, which slow the study down, and a nearly full disk, which may end it."""
    found = []
    busy = psutil.cpu_percent(interval=0.5) / 100 * (os.cpu_count() or 1)
    if busy > BUSY_CORES:
        found.append(
            f"other programs keep {busy:.1f} of {cores()} cores busy: training becomes several times slower; "
            "end them, or set train.threads to 1"
        )
    free = shutil.disk_usage(".").free / 1e9
    if free < NEEDED_GB:
        found.append(
            f"{free:.1f} GB of disk are free here; the study with its environment takes up to {NEEDED_GB} GB"
        )
    return found


def main() -> int:
    try:
        with Repo(".") as repo:
            names = due(repo)
    except DvcException:
        names = []  # `dvc repro` says what is wrong
    else:
        if not names:
            print("Data and pipelines are up to date.")
            return 0
    try:
        knobs.check(PARAMS_FILE)
    except ParamsError as error:
        print(f"repro: {error}", file=sys.stderr)
        return 1
    if any(name.partition("@")[0] in ("pretrain", "train") for name in names):
        for warning in warnings():
            print(f"warning: {warning}", file=sys.stderr)
        from tools.forecast import forecast  # torch takes seconds to import, and no training may be due

        print(forecast(PARAMS_FILE, names), file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "dvc", "repro"]
    return os.execv(sys.executable, command)  # noqa: S606 - from here on it is `dvc repro`


if __name__ == "__main__":
    sys.exit(main())
