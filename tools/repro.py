"""Run the study as `dvc repro` does, its stages side by side, and say first how long that will take here.

Usage: python -m tools.repro [--jobs N] [--force] [-S KEY=VALUE ...] [--name NAME] [--with 'srun -N1']

Where trainings are due, measures a second of steps of each, and warns about busy cores and a nearly full
disk. Where nothing is due, nothing is measured. The outputs have the bytes that `dvc repro` gives them.
Exit status: 0 done, 1 a stage failed or a knob cannot be used, 130 interrupted: the same command goes on.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import get_active_graph, plan_repro
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import load_yaml, modify_yaml

from emotions import knobs, params_file
from emotions.params_file import ParamsError
from emotions.runtime.parallel import cores
from tools import side_by_side

PIPELINE: Final = "dvc.yaml"
PARAMS_FILE: Final = Path("params.yaml")
LOCK: Final = Path("dvc.lock")
NEEDED_GB: Final = 12
"""Disk for environment, data, cache and weights, in GB."""
STAGE_GB: Final = 2.5
"""Memory that a stage may take, in GB."""
BUSY_CORES: Final = 0.5
"""Cores kept busy by other programs, above which a warning is due."""


def due(repo: Repo, *, force: bool = False) -> dict[str, list[str]]:
    """Stages that `dvc repro` may run, in its order, each with those among them that come before it.

    They are the stages with a change and all after them; with `force` all stages.
    """
    stages = {s.addressing: s for s in repo.index.stages if s.path_in_repo == PIPELINE or s.is_data_source}
    changed = list(stages.values()) if force else [stages[name] for name in repo.status(targets=[PIPELINE])]
    if not changed:
        return {}
    graph = get_active_graph(repo.index.graph)
    names = {s.addressing for s in plan_repro(graph, changed, downstream=not force)} & stages.keys()
    order = [s for s in plan_repro(graph) if s.addressing in names]
    return {s.addressing: [n.addressing for n in graph.successors(s) if n.addressing in names] for s in order}


def order(repo: Repo) -> list[str]:
    """All stages in the order of a whole `dvc repro`; that of some of them alone varies from call to call."""
    planned = plan_repro(get_active_graph(repo.index.graph))
    return [s.name for s in planned if s.path_in_repo == PIPELINE and not s.is_data_source]


def warnings() -> list[str]:
    """Warnings about busy cores, which slow the study down, and a nearly full disk, which may end it."""
    found = []
    busy = psutil.cpu_percent(interval=0.5) / 100 * (os.cpu_count() or 1)
    if busy > BUSY_CORES:
        found.append(
            f"other programs keep {busy:.1f} of {cores()} cores busy, which slows the study; end them"
        )
    free = shutil.disk_usage(".").free / 1e9
    if free < NEEDED_GB:
        found.append(
            f"{free:.1f} GB of disk are free here; the study with its environment takes up to {NEEDED_GB} GB"
        )
    return found


def gpus() -> list[str]:
    """Ids of the GPUs that stages may use; none where CUDA_VISIBLE_DEVICES hides them."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [gpu for gpu in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if gpu.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    asked = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    listed = subprocess.run(asked, capture_output=True, check=False)
    if listed.returncode:
        why = listed.stderr.decode(errors="replace").strip()
        print(f"warning: no GPU is used: nvidia-smi failed: {why}", file=sys.stderr)
        return []
    return listed.stdout.decode(errors="replace").split()


def at_once(launcher: str, threads: int, found: list[str]) -> int:
    """Stages that run at once where nobody says how many: one a GPU, or as many as have cores and memory.

    A launcher such as torchrun uses the whole machine for one training.
    """
    if shlex.split(launcher) != ["python"]:
        return 1
    memory = psutil.virtual_memory().available / 1e9 / STAGE_GB
    return len(found) or max(1, int(min(cores() // threads, memory)))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="stages at once (default: one a GPU, or by cores and memory)"
    )
    parser.add_argument("--force", action="store_true", help="run stages without a change, too")
    parser.add_argument("--no-run-cache", action="store_true", help="compute what an earlier run computed")
    parser.add_argument("--no-commit", action="store_true", help="put nothing into DVC's cache")
    parser.add_argument("-S", dest="changes", action="append", default=[], metavar="KEY=VALUE", help="a knob")
    parser.add_argument("--name", help="save the result as a DVC experiment of this name")
    parser.add_argument("--with", dest="wrapper", default="", metavar="COMMAND", help="put before each stage")
    arguments = parser.parse_args()
    if arguments.jobs is not None and arguments.jobs < 1:
        parser.error("--jobs: at least 1")
    if arguments.wrapper and shutil.which(word := shlex.split(arguments.wrapper)[0]) is None:
        parser.error(f"--with: {word!r} is not a command here")
    return arguments


def main() -> int:
    arguments = parsed()
    before = PARAMS_FILE.read_bytes() if PARAMS_FILE.exists() else b""
    try:
        if arguments.changes:
            apply_overrides(PARAMS_FILE, arguments.changes)
        knobs.check(PARAMS_FILE)
    except (ParamsError, DvcException) as error:
        if arguments.changes:
            PARAMS_FILE.write_bytes(before)
        # What is wrong with a change stands in the cause of DVC's error.
        why = error.__cause__ if isinstance(error, DvcException) and error.__cause__ else error
        print(f"repro: {str(why).splitlines()[0]}", file=sys.stderr)
        return 1
    flags = {name: getattr(arguments, name) for name in ("force", "no_run_cache", "no_commit")}
    dvc_options = [f"--{name.replace('_', '-')}" for name, given in flags.items() if given]
    whole = [sys.executable, "-m", "dvc", "repro", *dvc_options]
    try:
        with Repo(".") as repo:
            needs, whole_order = due(repo, force=arguments.force), order(repo)
    except (DvcException, OSError, KeyError, RuntimeError, UnicodeError):
        # It says what is wrong, of an account without a name or a home, too.
        return subprocess.run(whole, check=False).returncode
    if needs:
        values = params_file.load(PARAMS_FILE)
        devices = gpus()
        jobs = arguments.jobs or at_once(values["launcher"], values["train"]["threads"], devices)
        seconds = foretell(list(needs), jobs)
        options = side_by_side.Options(jobs, devices, shlex.split(arguments.wrapper), dvc_options)
        outcome = side_by_side.run(needs, options, seconds=seconds)
        put_in_order(whole_order)
        if not arguments.no_commit:
            remember(outcome.done)
        if outcome.stopped:
            return 130
        if outcome.failed:
            waiting = f"; not run: {', '.join(outcome.waiting)}" if outcome.waiting else ""
            print(f"repro: {', '.join(outcome.failed)} failed{waiting}", file=sys.stderr)
            return 1
    else:
        print("Data and pipelines are up to date.")
    if arguments.name:  # it finds nothing to run; `dvc exp save` would want the second pipeline's outs, too
        save = [sys.executable, "-m", "dvc", "exp", "run", "--quiet", "--name", arguments.name]
        return subprocess.run(save, check=False).returncode
    return 0


def put_in_order(names: Iterable[str]) -> None:
    """Entries of dvc.lock as a whole `dvc repro` in a fresh clone writes them: in this order, whichever stage
    ended first, and without those of stages that are no more, of a seed that params no longer name."""
    stages = load_yaml(LOCK)["stages"] if LOCK.exists() else {}
    kept = [name for name in names if name in stages]
    if kept != list(stages):
        with modify_yaml(LOCK) as content:
            content["stages"] = {name: stages[name] for name in kept}


def remember(names: Iterable[str]) -> None:
    """Put these stages into DVC's run cache, from which a seed or knob that returns is taken.

    `dvc repro` does that for a stage whose outs are cached, metrics or plots. Most of ours also write a table
    to git that is neither, since `dvc exp show` would show each of its numbers.
    """
    with Repo(".") as repo, repo.lock:
        for stage in repo.index.stages:
            if stage.addressing in names:
                repo.stage_cache.save(stage)


def foretell(names: list[str], jobs: int) -> dict[str, float]:
    """Print warnings and a forecast where trainings are due; return the seconds that each stage may take."""
    if not any(name.partition("@")[0] in ("pretrain", "train") for name in names):
        return {}
    for warning in warnings():
        print(f"warning: {warning}", file=sys.stderr)
    from tools.forecast import forecast  # torch takes seconds to import, and no training may be due

    seconds, line = forecast(PARAMS_FILE, names, jobs)
    print(line, file=sys.stderr, flush=True)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
