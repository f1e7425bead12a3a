"""Rerun of a commit of the study in a clean clone, with the data it needs and without DVC's run cache."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dvc.config import Config
from dvc.config_schema import RelPath
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from dvc.repo.checkout import CheckoutError

from tools.referee.committed import CODE, Side, at_home, git, overlap, yaml

SITE: Final = "DVC_SITE_CACHE_DIR"
"""Where DVC keeps what it knows of a repository, outside of it."""


class CannotVerifyError(Exception):
    """The study cannot be run again; the message says what to do."""


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Repo]:
    """DVC's view of a repository.

    Raises:
        CannotVerifyError: DVC cannot work with this account or this path.
    """
    try:
        os.fspath(folder).encode()
        repo = Repo(os.fspath(folder))
    except UnicodeEncodeError as error:
        said = f"DVC cannot read {str(folder)!a} in this locale: set PYTHONUTF8=1"
        raise CannotVerifyError(said) from error
    except (OSError, KeyError, RuntimeError) as error:  # of an account without a name or a home
        what_to_do = "set USER to a name and HOME to a folder of yours"
        raise CannotVerifyError(f"DVC cannot work here ({error}): {what_to_do}") from error
    with repo:
        yield repo


@dataclass(frozen=True)
class Declared:
    """A stage of dvc.yaml with every expression resolved; `outs`: path -> whether it lies in DVC's cache."""

    cmd: str | list[str]
    deps: frozenset[str]
    params: frozenset[str]
    outs: dict[str, bool]


@contextlib.contextmanager
def clean_clone(root: Path, commit: str) -> Iterator[Path]:
    """A clone of the commit that reads this repository's DVC cache, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="verify_", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary).resolve() / "study"
        git(root, "clone", "--quiet", "--shared", "--no-checkout", str(root), str(folder))
        git(folder, "checkout", "--quiet", "--detach", commit)
        with opened(root) as repo:
            cache = Path(repo.cache.local_cache_dir)
        link = folder.parent / "cache"
        link.symlink_to(cache) if cache.exists() else link.mkdir()
        with Config(str(folder / ".dvc"), validate=False).edit("local") as config:
            # relative, for DVC writes no path with an accent into a config
            config["cache"] = {"dir": RelPath(link), "type": ["copy"]}
            config["core"] = {"analytics": False}
        before = os.environ.get(SITE)
        os.environ[SITE] = str(folder.parent / "site")
        try:
            yield folder
        finally:
            os.environ.pop(SITE)
            os.environ |= {SITE: before} if before else {}


def declared_stages(folder: Path) -> dict[str, Declared]:
    """Stages of dvc.yaml, in its order, as DVC resolves them; other pipelines are left out."""
    found = {}
    with opened(folder) as repo:
        for stage in repo.index.stages:
            if stage.is_data_source or stage.path_in_repo != "dvc.yaml":
                continue
            knobs = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
            found[stage.name] = Declared(
                cmd=stage.cmd,
                deps=frozenset(dep.def_path for dep in stage.deps if dep not in knobs),
                params=frozenset(key for dep in knobs for key in dep.params),
                outs={out.def_path: out.use_cache for out in stage.outs},
            )
    return found


def bring(
    root: Path, folder: Path, side: Side, *, stages: Mapping[str, Declared], chosen: Sequence[str]
) -> None:
    """Put into the clone those deps of the chosen stages that git does not hold. Data tracked with .dvc files
    come from the cache or the working tree, outputs of the other stages from the cache.

    Raises:
        CannotVerifyError: a dep is not available.
    """
    deps = {dep for name in chosen for dep in stages[name].deps if not dep.startswith(CODE)}
    others = {p: cached for n, stage in stages.items() if n not in chosen for p, cached in stage.outs.items()}
    with opened(folder) as repo:
        for file in sorted(f for f in side.files if f.endswith(".dvc")):
            data = str(Path(file).parent / yaml(side.read(file))["outs"][0]["path"])
            if not any(overlap(data, dep) for dep in deps):
                continue
            with contextlib.suppress(CheckoutError):
                repo.checkout([str(folder / file)], force=True)
                continue
            here, there = root / data, folder / data
            without = f"DVC's cache does not have all of {data}, and the working tree has"
            if not here.exists():
                raise CannotVerifyError(f"{without} nothing there: `dvc pull {file}`")
            shutil.rmtree(there, ignore_errors=True)
            (shutil.copytree if here.is_dir() else shutil.copy2)(here, there)
            if repo.find_outs_by_path(str(there))[0].changed_checksum():
                what_to_do = f"`dvc pull {file}`, or, to keep these files, `dvc add {data}`"
                raise CannotVerifyError(f"{without} other files than {file} records: {what_to_do}")
        needed = [p for p, cached in others.items() if cached and any(overlap(p, dep) for dep in deps)]
        try:
            if needed:
                repo.checkout([str(folder / path) for path in needed], force=True)
        except CheckoutError as error:
            lacking = ", ".join(os.path.relpath(p, folder) for p in error.target_infos)
            raise CannotVerifyError(
                f"DVC's cache lacks inputs of {' and '.join(chosen)}: {lacking}; "
                "verify the whole study, or `dvc pull`"
            ) from error
    written = [path for stage in stages.values() for path in stage.outs]
    for dep in sorted(deps):
        if not (folder / dep).exists() and not any(overlap(dep, path) for path in written):
            raise CannotVerifyError(
                f"the commit does not have {dep}: `dvc add {dep}`, then commit {dep}.dvc and dvc.lock"
            )


def run(folder: Path, chosen: Sequence[str]) -> None:
    """Run the whole study in the clone, side by side where the commit can, or the chosen stages; without the
    run cache, and with all output on stderr. Ctrl-C ends all processes that it started.

    Raises:
        CannotVerifyError: a stage failed.
    """
    anew = ["--force", "--no-run-cache", "--no-commit"]
    if chosen:
        command = ["dvc", "repro", *anew, "--single-item", *chosen]
    elif (folder / "tools/side_by_side.py").exists():
        command = ["tools.repro", *anew]
    else:
        command = ["dvc", "repro", *anew]
    environment = at_home()
    environment.pop("PYTHONPATH", None)  # it points outside the clone
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=2,
        start_new_session=True,
    )
    try:
        if process.wait():
            raise CannotVerifyError("a stage failed in the rerun; fix the error above")
    except KeyboardInterrupt:
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=20)
            os.killpg(process.pid, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
