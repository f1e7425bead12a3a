"""Knobs, lock, scores and verdicts of the study in one state of the repository, read from git alone.

The state is a commit or the working tree; neither DVC's cache nor a remote is needed.
"""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field, PositiveInt, TypeAdapter

from emotions import params_file

CODE = ("emotions/", "stages/")

Share = Annotated[float, Field(ge=0, le=1)] | None
Change = tuple[str, Any, Any]
"""Key, old value, new value; None where a side has no such key."""


class CommittedError(ValueError):
    """The two sides cannot be compared; the message names commit, file and remedy."""


class Scores(BaseModel):
    """A run in metrics/summary.json: means over seeds, as fractions; None where it has no such metric.

    `val_accuracy_sd`, `test_accuracy_sd`: standard deviations over seeds.
    """

    val_macro_f1: Share = None
    val_balanced_accuracy: Share = None
    val_accuracy: Share = None
    test_macro_f1: Share = None
    test_balanced_accuracy: Share = None
    test_accuracy: Share = None
    train_accuracy: Share = None
    gap: Annotated[float, Field(ge=-1, le=1)] | None = None
    last_epoch_gap: Annotated[float, Field(ge=-1, le=1)] | None = None
    val_accuracy_sd: Share = None
    test_accuracy_sd: Share = None


class Split(BaseModel):
    """Size of a split."""

    images: PositiveInt


class Selected(BaseModel):
    """The epoch whose scores count."""

    val: Split
    test: Split


class Verdict(BaseModel):
    """One verdict on a run."""

    outcome: str
    evidence: dict[str, float] = {}


class Run(BaseModel):
    """The part of metrics/runs/<run>-<seed>.json that is needed."""

    selected: Selected


class Entry(BaseModel):
    """A file or folder in dvc.lock; the hash of a folder ends in `.dir`."""

    path: str
    md5: str = ""
    nfiles: int = 0


class Stage(BaseModel):
    """A stage in dvc.lock: its command, what it read, with which params, and what it wrote."""

    cmd: str | list[str] = ""
    deps: list[Entry] = []
    outs: list[Entry] = []
    params: dict[str, dict[str, Any]] = {}


@dataclass(frozen=True)
class Side:
    """The repository in one state: a commit, or the working tree where `commit` is empty."""

    root: Path
    commit: str

    @property
    def name(self) -> str:
        """Name of this side in error messages."""
        return f"commit {self.commit[:7]}" if self.commit else "the working tree"

    @cached_property
    def files(self) -> frozenset[str]:
        """Paths of all files that git tracks or would add."""
        listing = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        command = ("ls-tree", "-r", "-z", "--name-only", self.commit) if self.commit else listing
        names = os.fsdecode(git(self.root, *command)).split("\0")
        return frozenset(n for n in names if n and (self.commit or (self.root / n).is_file()))

    def read(self, path: str) -> bytes:
        """Content of one of `files`."""
        if self.commit:
            return git(self.root, "cat-file", "blob", f"{self.commit}:{path}")
        return (self.root / path).read_bytes()

    def parsed(self, path: str, parse: Callable[[bytes], Any]) -> Any:
        """Content of `path` through `parse`.

        Raises:
            CommittedError: the file is missing, or `parse` raises a ValueError.
        """
        if path not in self.files:
            raise CommittedError(f"{self.name} has no {path}: `dvc repro` there and commit what it writes")
        try:
            return parse(self.read(path))
        except (ValueError, TypeError, RecursionError) as error:
            what_to_do = "repair it, or `dvc repro` and commit"
            raise CommittedError(f"{path} of {self.name} cannot be read: {what_to_do} ({error})") from error


STAGES, SUMMARY = TypeAdapter(dict[str, Stage]), TypeAdapter(dict[str, Scores])
VERDICTS = TypeAdapter(dict[str, dict[str, Verdict]])


@dataclass(frozen=True)
class Results:
    """What one side of a comparison (a commit, or the working tree) has recorded.

    `knobs`: params by dotted key. `lock`: stages of dvc.lock by name. `held`: path -> hash, as DVC computes
    it, of the file or folder in git; an empty hash for code that is gone. `verdicts`: run -> verdict name ->
    verdict; empty in commits before verdicts were recorded. `images`: hashes that change with the images.
    """

    knobs: dict[str, Any]
    lock: dict[str, Stage]
    held: dict[str, str]
    summary: dict[str, Scores]
    runs: dict[str, Run]
    verdicts: dict[str, dict[str, Verdict]]
    images: list[str]

    @property
    def seeds(self) -> int:
        """Seeds of each run; 1 in commits before there were several."""
        return len(self.knobs.get("study.seeds", [0]))

    @property
    def best(self) -> str:
        """The best run by mean validation macro-F1, then accuracy, then the first."""
        merit = {r: (s.val_macro_f1 or 0, s.val_accuracy or 0) for r, s in self.summary.items()}
        return max(merit, key=merit.__getitem__, default="")


def git(root: Path, *arguments: str, no: int = 0) -> bytes:
    """Output of a git command. `no`: the exit status that is an answer, too, as 1 is of some.

    Raises:
        CommittedError: the command failed; it quotes git.
    """
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, env=at_home(), capture_output=True, check=False)
    except OSError as error:
        raise CommittedError(f"git cannot be run: {error}") from error
    if done.returncode not in (0, no):
        said = os.fsdecode(done.stderr).strip() or f"exit status {done.returncode}"
        raise CommittedError(f"git {' '.join(arguments)} failed: {said}")
    return done.stdout


def at_home() -> dict[str, str]:
    """The environment, without what makes git work on another repository than the one it is called in."""
    foreign = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"}
    return {name: value for name, value in os.environ.items() if name not in foreign}


def top(folder: Path) -> Path:
    """The working tree of the repository in which `folder` lies."""
    return Path(os.fsdecode(git(folder, "rev-parse", "--show-toplevel").removesuffix(b"\n")))


def commit_of(root: Path, name: str) -> tuple[str, str]:
    """Name and hash of a commit; a branch missing here is looked up on the remote `origin`."""
    for candidate in (name, f"origin/{name}"):
        verify = ("rev-parse", "--verify", "--quiet", "--end-of-options")
        if found := git(root, *verify, candidate + "^{commit}", no=1):
            return candidate, found.decode().strip()
    what_to_do = "`git fetch origin`, or name a branch, tag or hash that exists"
    raise CommittedError(f"no commit {name!r} here: {what_to_do}")


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested params by dotted key; a list is one value."""
    if not isinstance(tree, dict) or not tree:
        return {prefix: "null" if tree is None else tree}
    leaves = (flat(node, f"{prefix}.{name}".lstrip(".")) for name, node in tree.items())
    return {key: value for leaf in leaves for key, value in leaf.items()}


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """What differs, in the order of `new`, then what only `old` has."""
    keys = [*new, *(key for key in old if key not in new)]
    return [(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def yaml(content: bytes) -> dict[str, Any]:
    """Content of a YAML file, read as `emotions.params_file` reads params.yaml, in JSON types."""
    try:
        return json.loads(json.dumps(params_file.groups_of(content.decode(), "it"), default=str))
    except params_file.ParamsError as error:
        raise CommittedError(str(error)) from error


def md5(content: bytes) -> str:
    """The hash by which DVC identifies a file."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def hashes(side: Side, lock: Mapping[str, Stage]) -> dict[str, str]:
    """DVC's hash of what git holds at the paths in `lock`, empty for code that is gone. Folders that git
    holds only in part are left out."""
    found = {}
    for entry in {e.path: e for stage in lock.values() for e in (*stage.deps, *stage.outs)}.values():
        is_code = entry.path.startswith(CODE)
        inside = sorted(f for f in side.files if f.startswith(f"{entry.path}/"))
        if entry.path in side.files:
            found[entry.path] = md5(side.read(entry.path))
        elif inside and (is_code or len(inside) == entry.nfiles):
            listing = [{"md5": md5(side.read(f)), "relpath": f[len(entry.path) + 1 :]} for f in inside]
            found[entry.path] = md5(json.dumps(listing).encode()) + ".dir"
        elif is_code:
            found[entry.path] = ""
    return found


class Contradiction(NamedTuple):
    """A param, dep or out (`kind`) of a stage that contradicts dvc.lock; None: not there."""

    stage: str
    kind: str
    key: str
    recorded: Any
    found: Any


def contradictions(
    knobs: Mapping[str, Any], lock: Mapping[str, Stage], held: Mapping[str, str]
) -> list[Contradiction]:
    """Where `knobs` and `held` (see `Results`) differ from `lock`."""
    found = []
    for name, stage in lock.items():
        for group, recorded in stage.params.get("params.yaml", {}).items():
            now = {k: v for k, v in knobs.items() if k == group or k.startswith(f"{group}.")}
            found += [Contradiction(name, "param", *change) for change in changes(flat(recorded, group), now)]
        for kind, entries in (("dep", stage.deps), ("out", stage.outs)):
            for entry in entries:
                if held.get(entry.path, entry.md5) != entry.md5:
                    now_held = held[entry.path] or None
                    found.append(Contradiction(name, kind, entry.path, entry.md5, now_held))
    return found


def lock_of(side: Side) -> dict[str, Stage]:
    """The stages in dvc.lock."""
    return side.parsed("dvc.lock", lambda content: STAGES.validate_python(yaml(content).get("stages")))


def overlap(path: str, other: str) -> bool:
    """Whether two paths are the same, or one lies in the other."""
    return f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/")


def made_there(side: Side, paths: Sequence[str]) -> bool:
    """Whether `side` has these files and, by its dvc.lock, made them with its own params and code, in the
    stages that wrote them and all before. False where only a stage before them was run with new params."""
    if not {"dvc.lock", *paths} <= side.files:
        return False
    lock, makers, sought = lock_of(side), dict[str, Stage](), [*paths]
    while sought:
        path = sought.pop()
        found = {n: s for n, s in lock.items() if any(overlap(out.path, path) for out in s.outs)}
        sought += [dep.path for name in found.keys() - makers.keys() for dep in found[name].deps]
        makers |= found
    written = {out.path: out.md5 for stage in makers.values() for out in stage.outs}
    as_written = all(written.get(d.path, d.md5) == d.md5 for stage in makers.values() for d in stage.deps)
    is_made = all(any(overlap(out, path) for out in written) for path in paths)
    knobs = flat(side.parsed("params.yaml", yaml))
    return is_made and as_written and not contradictions(knobs, makers, hashes(side, makers))


def _metrics_of(side: Side, run: str) -> str:
    """Path of the metrics of a run's first network; commits before there were seeds have one file a run."""
    of_run = re.compile(rf"metrics/runs/{re.escape(run)}(-\d+)?\.json")
    return min(filter(of_run.fullmatch, side.files), default=f"metrics/runs/{run}-0.json")


def results(side: Side) -> Results:
    """All that the report needs of a side."""
    lock = lock_of(side)
    summary = side.parsed("metrics/summary.json", SUMMARY.validate_json)
    runs = {run: side.parsed(_metrics_of(side, run), Run.model_validate_json) for run in summary}
    diagnosed = "metrics/diagnosis.json"
    verdicts = side.parsed(diagnosed, VERDICTS.validate_json) if diagnosed in side.files else {}
    images = [out.md5 for stage in lock.values() for out in stage.outs if out.path == "data/extracted"]
    if "metrics/data.json" in side.files:
        images.append(md5(side.read("metrics/data.json")))
    knobs = flat(side.parsed("params.yaml", yaml))
    return Results(knobs, lock, hashes(side, lock), summary, runs, verdicts, sorted(images))
