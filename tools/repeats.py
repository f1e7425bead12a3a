"""The study over several seeds, as DVC experiments through DVC's queue, and a report of how far it moves.

Usage: python -m tools.repeats --seeds 0 1 2 3 4 [--data-seeds 0 1] [--set KEY=VALUE --name NAME] [--jobs 2]
       python -m tools.repeats --runs run1 run4 --named-in-advance run4 run1 test_macro_f1 --scores-only

Each seed is an experiment of its own, `repeat-<seed>` in `dvc exp show`. Run again, it goes on: an experiment
counts as finished, whatever its name, where code, pipeline, data and params are those of HEAD with the seed,
so a commit of documents makes none anew; one that was cut off begins anew. Writes OUT/report.md, scores.csv
and repeats.png. Exit status 1 where a seed failed, 2 where nothing could be started.
"""

import argparse
import contextlib
import copy
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from emotions import params_file
from emotions.evidence.knobs import DiagnosisParams
from emotions.runtime import outs
from emotions.taxonomy import SPLITS
from tools import over_seeds
from tools.referee.committed import CommittedError, Side, git, made_there

PARAMS = "params.yaml"
FURTHER = "further_runs"
"""Group of params.yaml with the runs that the study leaves out."""
METRICS = "metrics/runs/{run}.json"
SCORES = "evaluate"
"""The stages that make METRICS."""
DECIDES = ("dvc.yaml", "emotions", "stages", "data/raw")
"""With params.yaml, what the numbers depend on; `data/raw` holds DVC's pointers to the images, in git."""
CURVE = Path("learning_curve.json")
"""What `tools.learning_curve` writes for the report of the study; no score depends on it."""
EXPERIMENT = re.compile("refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/(.+)")
"""The ref of an experiment: the commit that it began from, its name. Others of DVC's, such as `temp/merge-…`,
hold the params of an experiment that has only begun."""
STOP_SECONDS = 180.0
"""Within which what is told to stop does."""
SHOW_SECONDS = 60.0
"""After which a look at the queue hangs: DVC's does now and then, beside a worker that begins."""
POLL_SECONDS = 30.0
"""Between looks at the queue, each of which takes a core for a second or two."""


class RepeatsError(RuntimeError):
    """The repeats cannot be run; the message says what to do."""


@dataclass(frozen=True)
class Repeat:
    """One experiment: its name and what it changes in params.yaml, by dotted key.

    `runs`: the blocks that stand under `runs` in it, by name; None: those of params.yaml.
    """

    name: str
    seed: int
    data_seed: int | None
    overrides: tuple[tuple[str, Any], ...]
    runs: dict[str, Any] | None = None


@dataclass(frozen=True)
class Task:
    """An experiment in DVC's queue. `state`: queued, running or failed; `pid`: of its process, None before it
    begins; `alive`: that process exists."""

    name: str
    state: str
    task: str
    pid: int | None
    alive: bool

    @property
    def ended(self) -> bool:
        """Nothing of it runs or will."""
        return self.state == "failed" or (self.state == "running" and self.pid is not None and not self.alive)


def planned(
    seeds: Sequence[int],
    data_seeds: Sequence[int],
    changes: Sequence[str],
    name: str,
    runs: dict[str, Any] | None = None,
) -> list[Repeat]:
    """The experiments: every training seed with every data seed, where such are given.

    `runs`: the blocks of the runs that each has; None: those of the study.

    Raises:
        RepeatsError: a change that is no `key=value`, a seed twice.
    """
    if len(set(seeds)) < len(seeds) or len(set(data_seeds)) < len(data_seeds):
        raise RepeatsError("a seed is named twice")
    common = []
    for change in changes:
        key, sign, value = change.partition("=")
        if not sign or not key:
            raise RepeatsError(f"--set {change}: write key=value, e.g. train.epochs=20")
        common.append((key, params_file.parse(value)))
    found = []
    for data_seed in data_seeds or (None,):
        for seed in seeds:
            own: list[tuple[str, Any]] = [("seed", seed)]
            suffix = f"{seed}"
            if data_seed is not None:
                own.append(("data.synthetic.seed", data_seed))
                suffix += f"-data-{data_seed}"
            found.append(Repeat(f"{name}-{suffix}", seed, data_seed, (*common, *own), runs))
    return found


def chosen_runs(values: dict[str, Any], names: Sequence[str]) -> dict[str, Any] | None:
    """The blocks of these runs, from `runs` and `further_runs` of params.yaml; None for no names.

    Raises:
        RepeatsError: a name that stands in neither, or in both for different runs.
    """
    further = values.get(FURTHER) or {}
    blocks = values["runs"] | further
    if twice := [
        n for n in names if n in values["runs"] and n in further and values["runs"][n] != further[n]
    ]:
        raise RepeatsError(
            f"{twice[0]} is two different runs of {PARAMS}, under runs and {FURTHER}: rename one of them"
        )
    if unknown := [name for name in names if name not in blocks]:
        raise RepeatsError(
            f"{unknown[0]} is no run of {PARAMS}; it has {', '.join(blocks)}, under runs and {FURTHER}"
        )
    return {name: blocks[name] for name in names} or None


def leaves(block: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The values of nested dicts by dotted key."""
    found: dict[str, Any] = {}
    for key, value in block.items():
        name = f"{prefix}.{key}"
        found |= leaves(value, name) if isinstance(value, dict) else {name: value}
    return found


def with_overrides(values: dict[str, Any], repeat: Repeat) -> dict[str, Any]:
    """`values` of params.yaml as the experiment has them.

    Raises:
        RepeatsError: a key that params.yaml does not have.
    """
    values = copy.deepcopy(values)
    if repeat.runs is not None:
        values["runs"] = copy.deepcopy(repeat.runs)
    for key, value in repeat.overrides:
        *groups, last = key.split(".")
        node: Any = values
        for group in groups:
            node = node.get(group) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            raise RepeatsError(f"{key} is no key of {PARAMS}")
        node[last] = value
    return values


def refuse_idle_data_seeds(values: dict[str, Any], repeats: Sequence[Repeat]) -> None:
    """Raises:
    RepeatsError: data seeds for images that are not drawn: all of them would be the same study.
    """
    for repeat in repeats:
        source = with_overrides(values, repeat)["data"]["source"] if repeat.data_seed is not None else ""
        if source not in ("", "synthetic"):
            raise RepeatsError(
                f"data seeds are of drawn faces; with data.source={source} they change nothing"
            )


def values_at(root: Path, commit: str) -> dict[str, Any]:
    """params.yaml of a commit."""
    return params_file.parse(git(root, "show", f"{commit}:{PARAMS}").decode())


def finished(root: Path, repeats: Sequence[Repeat]) -> dict[str, str]:
    """Name -> commit of an experiment that holds what HEAD would yield, on whichever commit made.

    Raises:
        RepeatsError: one of these names is taken on HEAD, by an experiment with other params.
    """
    head, base = git(root, "rev-parse", "HEAD").decode().strip(), values_at(root, "HEAD")
    wanted = {r.name: with_overrides(base, r) for r in repeats}
    found: dict[str, str] = {}
    taken = set()
    listed = git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").decode()
    for line in listed.splitlines():
        commit, ref = line.split()
        if not (experiment := EXPERIMENT.fullmatch(ref)):
            continue
        values = values_at(root, commit)
        names = [one for one, expected in wanted.items() if expected == values]
        same = names and not git(root, "diff", "--name-only", commit, "HEAD", "--", *DECIDES)
        if same and made_there(Side(root, commit), [METRICS.format(run=run) for run in values["runs"]]):
            found |= dict.fromkeys(names, commit)
        elif experiment[1] + experiment[2] == head:
            taken.add(experiment[3])
    if clash := sorted(taken & (wanted.keys() - found.keys())):
        raise RepeatsError(
            f"experiment {clash[0]} of this commit has other params, or scores that were not made with them; "
            f"choose another --name, or remove it: dvc exp remove {clash[0]}"
        )
    return found


def dvc(root: Path, *arguments: str, seconds: float | None = None) -> str:
    """Output of a DVC command.

    Raises:
        RepeatsError: it failed, with its own words, or took longer than `seconds`.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Files, not pipes: a worker that `queue start` leaves behind would hold a pipe open to its end.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        environment = os.environ | {"PATH": path}
        try:
            done = subprocess.run(
                command, cwd=root, env=environment, stdout=out, stderr=errors, check=False, timeout=seconds
            )
        except subprocess.TimeoutExpired as error:
            raise RepeatsError(f"dvc {' '.join(arguments)} gave no answer in {seconds:g} seconds") from error
        for file in (out, errors):
            file.seek(0)
        said, complaint = out.read(), errors.read()
    if done.returncode:
        raise RepeatsError(f"dvc {' '.join(arguments)} failed: {complaint.strip() or said.strip()}")
    return said


def tasks(root: Path) -> list[Task]:
    """What DVC's queue holds of HEAD, the finished ones aside."""
    found = []
    for baseline in json.loads(_shown(root)):
        for experiment in baseline.get("experiments") or []:
            executor = experiment.get("executor") or {}
            local = executor.get("local") or {}
            state = executor.get("state")
            if state in ("queued", "running", "failed"):
                task, pid = local.get("task_id") or "", local.get("pid")
                found.append(Task(experiment["name"], state, task, pid, _alive(pid, task)))
    return found


def _shown(root: Path) -> str:
    """What `dvc exp show` says. A worker at its files at that moment can make it fail or hang: not thrice."""
    for _ in range(2):
        with contextlib.suppress(RepeatsError):
            return dvc(root, "exp", "show", "--json", seconds=SHOW_SECONDS)
        time.sleep(2)
    return dvc(root, "exp", "show", "--json", seconds=SHOW_SECONDS)


def _alive(pid: int | None, task: str) -> bool:
    if pid is None:
        return False
    try:
        return any(task in part for part in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def options(values: dict[str, Any], repeat: Repeat) -> list[str]:
    """Of `dvc exp run`, which make `values` of params.yaml those of the experiment."""
    changes = []
    if repeat.runs is not None:
        changes += [f"~runs.{name}" for name in values["runs"] if name not in repeat.runs]
        there = leaves(values["runs"], "runs")
        wanted = leaves(repeat.runs, "runs")
        changes += [f"~{key}" for key in there if key.split(".")[1] in repeat.runs and key not in wanted]
        changes += [
            f"++{key}={json.dumps(value)}"
            for key, value in wanted.items()
            if key not in there or there[key] != value  # a key may be null, which is not the same as none
        ]
    changes += [f"{key}={json.dumps(value)}" for key, value in repeat.overrides]
    return [part for change in changes for part in ("-S", change)]


def enqueue(root: Path, repeats: Sequence[Repeat], jobs: int, stages: Sequence[str] = ()) -> None:
    """Put experiments into DVC's queue and start its workers. Those that run already are left alone; what
    failed, was cut off or only waits is put in anew. `stages`: what they run; all where none is named."""
    running, values = set(), values_at(root, "HEAD")
    for task in tasks(root):
        if task.name not in {r.name for r in repeats}:
            continue
        if task.alive:
            running.add(task.name)
            continue
        if task.state == "running":  # its process is gone: to DVC it runs until one says that it does not
            dvc(root, "queue", "kill", task.task)
        dvc(root, "queue", "remove", task.task)
    for repeat in repeats:
        if repeat.name not in running:
            dvc(root, "exp", "run", "--queue", "--name", repeat.name, *options(values, repeat), *stages)
    dvc(root, "queue", "start", "--jobs", str(jobs))


def run(
    root: Path,
    repeats: Sequence[Repeat],
    jobs: int,
    written: Sequence[Path],
    show: Callable[[str], None],
    stages: Sequence[str] = (),
) -> dict[str, str]:
    """Run the experiments that are not finished, and wait. The commits of all that are, by name.

    `written`: what the report is written to, which may differ from HEAD. `stages`: as of `enqueue`.

    Raises:
        RepeatsError: changes that are not committed, or DVC's own complaint.
    """
    reports = [f":(exclude){path}" for path in (*written, CURVE)]
    if git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *reports).strip():
        raise RepeatsError("tracked files are changed: commit first, repeats are of a commit (git status)")
    refuse_idle_data_seeds(values_at(root, "HEAD"), repeats)
    done = finished(root, repeats)
    missing = [r for r in repeats if r.name not in done]
    show(f"{len(done)} of {len(repeats)} finished before")
    if not missing:
        return done
    gone: set[str] = set()
    try:
        enqueue(root, missing, jobs, stages)
        while missing:
            time.sleep(POLL_SECONDS)
            now = finished(root, missing)
            for name in now:
                done[name] = now[name]
                show(f"{name} finished ({len(done)} of {len(repeats)})")
            missing = [r for r in missing if r.name not in now]
            if not missing:
                break
            # Twice in a row: a process that has just ended is about to be recorded.
            idle = {t.name for t in tasks(root) if t.ended}
            for repeat in [r for r in missing if r.name in idle & gone]:
                show(f"{repeat.name} failed; what it said: dvc queue logs {repeat.name}")
                missing.remove(repeat)
            gone = idle
    except KeyboardInterrupt:
        show("interrupted: stopping the workers; the same command goes on with what is missing")
        stop(root, missing)
        raise
    return done


def stop(root: Path, repeats: Sequence[Repeat]) -> None:
    """End these experiments, waiting and running; others in the queue are left alone.

    Raises:
        RepeatsError: one of them still runs after STOP_SECONDS.
    """
    names, begun, quiet = {r.name for r in repeats}, time.monotonic(), 0
    while quiet < 2:  # one that a worker takes while DVC looks is neither waiting nor running to it
        late = time.monotonic() - begun > STOP_SECONDS
        try:
            own = [t for t in tasks(root) if t.name in names and not t.ended]
        except RepeatsError:
            if late:
                raise
            continue
        quiet = 0 if own else quiet + 1
        if own and late:
            raise RepeatsError(f"{own[0].name} does not stop; end it yourself: dvc queue kill {own[0].name}")
        for one in own:
            # It may have ended, or begun, since DVC was asked; then the next look tells.
            with contextlib.suppress(RepeatsError):
                if one.state == "queued":
                    dvc(root, "queue", "remove", one.task)
                elif one.alive:
                    dvc(root, "queue", "kill", one.task)
        time.sleep(1)


def scores(root: Path, repeats: Sequence[Repeat], commits: dict[str, str]) -> pd.DataFrame:
    """Scores of the finished experiments, a row for each and each run: `experiment`, `seed`, `data_seed`,
    `run`, accuracy and macro-F1 of each split at the selected epoch (`val_macro_f1`), and the number of
    training `images`."""
    rows = []
    for repeat in repeats:
        if repeat.name not in commits:
            continue
        commit = commits[repeat.name]
        for name in values_at(root, commit)["runs"]:
            selected = json.loads(git(root, "show", f"{commit}:{METRICS.format(run=name)}"))["selected"]
            own = {"experiment": repeat.name, "seed": repeat.seed, "data_seed": repeat.data_seed, "run": name}
            metrics = {
                f"{split}_{metric}": selected[split][metric]
                for split in SPLITS
                for metric in ("accuracy", "macro_f1")
            }
            rows.append({**own, "images": selected["train"]["images"], **metrics})
    return pd.DataFrame(rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What every command that runs experiments takes."""
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all of them")
    parser.add_argument(
        "--runs", nargs="+", default=[], help=f"blocks under runs and {FURTHER}; else those under runs"
    )
    parser.add_argument("--scores-only", action="store_true", help="no maps, comparisons, report of each")
    parser.add_argument("--jobs", type=int, default=1, help="experiments at once")


def typed(arguments: argparse.Namespace) -> list[str]:
    """The variables of `make` that stand for the arguments of `add_arguments` which decide the numbers."""
    words = []
    if arguments.runs:
        words.append(f'RUNS="{" ".join(arguments.runs)}"')
    if arguments.set:
        words.append(f'SET="{" ".join(arguments.set)}"')
    if arguments.scores_only:
        words.append("SCORES_ONLY=1")
    return words


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="tools.repeats"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="of training (`seed`)")
    parser.add_argument("--data-seeds", type=int, nargs="+", default=[], help="of the synthetic faces, too")
    parser.add_argument("--name", default="repeat", help="what the experiments are called")
    parser.add_argument(
        "--named-in-advance",
        nargs=3,
        metavar=("FIRST", "SECOND", "METRIC"),
        help="the one comparison that decides: it comes first, its p is not adjusted for the others",
    )
    parser.add_argument(
        "--against", type=Path, metavar="SCORES.CSV", help="of other repeats: what moved, seed by seed"
    )
    add_arguments(parser)
    parser.add_argument("--out", type=Path, help="repeats, or repeats/NAME where a name is given")
    arguments = parser.parse_args()
    root = Path.cwd()
    default = Path("repeats") if arguments.name == "repeat" else Path("repeats") / arguments.name
    arguments.out = arguments.out or default
    try:
        blocks = chosen_runs(values_at(root, "HEAD"), arguments.runs)
        repeats = planned(arguments.seeds, arguments.data_seeds, arguments.set, arguments.name, blocks)
        stages = [SCORES] if arguments.scores_only else []
        commits = run(
            root, repeats, arguments.jobs, [arguments.out], lambda line: print(line, flush=True), stages
        )
        if len(commits) < 2:
            raise RepeatsError(f"{len(commits)} finished: a spread needs two")
        frame = scores(root, repeats, commits)
        thresholds = params_file.read(root / PARAMS, {"diagnosis": DiagnosisParams})["diagnosis"]
        command = f"make repeats {_as_typed(arguments)}"
        failed = [r.name for r in repeats if r.name not in commits]
        head = git(root, "rev-parse", "HEAD").decode().strip()
        compared = []
        if arguments.against is not None:
            other = pd.read_csv(arguments.against)
            compared = over_seeds.against(frame, other, str(arguments.against))
        text = over_seeds.report(
            frame, thresholds, command, head, failed, arguments.named_in_advance, compared
        )
        outs.write_text(arguments.out / "report.md", text)
        outs.write_text(arguments.out / "scores.csv", frame.to_csv(index=False, lineterminator="\n"))
        outs.write_bytes(arguments.out / "repeats.png", over_seeds.picture(frame))
    except KeyboardInterrupt:
        return 130
    except (RepeatsError, CommittedError, params_file.ParamsError, OSError, ValueError) as error:
        print(f"repeats: {error}", file=sys.stderr)
        return 2
    print(f"The report: {arguments.out / 'report.md'}")
    return 1 if failed else 0


def _as_typed(arguments: argparse.Namespace) -> str:
    """The variables of `make repeats` that stand for these arguments."""
    words = [f'SEEDS="{" ".join(map(str, arguments.seeds))}"']
    if arguments.data_seeds:
        words.append(f'DATA_SEEDS="{" ".join(map(str, arguments.data_seeds))}"')
    if arguments.name != "repeat":
        words.append(f"NAME={arguments.name}")
    if arguments.named_in_advance:
        words.append(f'IN_ADVANCE="{" ".join(arguments.named_in_advance)}"')
    if arguments.against:
        words.append(f"AGAINST={arguments.against}")
    return " ".join([*words, *typed(arguments)])


if __name__ == "__main__":
    sys.exit(main())
