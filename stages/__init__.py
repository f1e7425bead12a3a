"""What the scripts of all stages share: command line, params, log, and the stage's place among all."""

import argparse
import importlib.metadata
import logging
import multiprocessing
import platform
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

if multiprocessing.current_process().name != "MainProcess":
    # Ctrl-C reaches the worker processes of a stage, too, even while they import; the stage ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

from rafce import console, parallel, params

log = logging.getLogger("rafce.stages")

PARAMS_FILE = Path("params.yaml")
DVC_FILE = Path("dvc.yaml")
LOGS = Path("logs")
PACKAGES = ("torch", "torchvision", "numpy")
"""Whose versions decide the numbers, in the log."""


def command(main: Callable[..., None], groups: Mapping[str, Any], usage: str | None) -> None:
    """Run a stage as its command line says: `main(values)`, or `main(values, run)` where a group is a run's.

    `values` are the validated params of `groups` (see `rafce.params.read`).
    """
    stage = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{stage}",
        description=usage,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if any("{run}" in key for key in groups):
        parser.add_argument("run", help="a block under `runs` in params.yaml")
    named = vars(parser.parse_args())
    name = "@".join([stage, *named.values()])
    file_name = re.sub(r"[^\w@]", "_", name)

    parallel.end_with_launcher()
    with console.session(name, LOGS / f"{file_name}.log"):
        console.show(headline(name))
        log.info(f"{shlex.join(sys.orig_argv)}{_commit()}")
        versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in PACKAGES)
        log.info(f"python {platform.python_version()}, {versions}, {platform.platform()}")
        values = params.read(PARAMS_FILE, groups, **named)
        for key, value in values.items():
            log.info(f"{key.format(**named)}: {value}")
        main(values, *named.values())


def headline(name: str) -> str:
    """A stage with its place among all: `train@run2 (stage 5 of 14): Mixup, frozen layers, dropout`."""
    if not DVC_FILE.exists():
        return name
    values = params.load(PARAMS_FILE)
    try:
        titles = stage_titles(yaml.safe_load(DVC_FILE.read_text(encoding="utf-8")), values)
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):  # of another form: no place, no harm
        return name
    if name not in titles:
        return name
    return f"{name} (stage {list(titles).index(name) + 1} of {len(titles)}): {titles[name]}"


def stage_titles(pipeline: dict[str, Any], values: dict[str, Any]) -> dict[str, str]:
    """Every stage and its `desc`, in the order in which `dvc repro` runs them.

    DVC visits the stages as the file lists them, each after those it depends on. As no stage stands in the
    file before one it depends on, that is the file's order.
    """
    titles = {}
    for name, stage in pipeline["stages"].items():
        if "foreach" not in stage:
            titles[name] = stage.get("desc", "")
            continue
        for key, item in _looked_up(stage["foreach"], values).items():
            desc = stage["do"].get("desc", "")
            for expression in re.findall(r"\$\{[\w.]+\}", desc):
                desc = desc.replace(expression, str(_looked_up(expression, {"key": key, "item": item})))
            titles[f"{name}@{key}"] = desc.removeprefix(f"{key}: ")
    return titles


def _looked_up(expression: str, values: Any) -> Any:
    """What `${a.b}` stands for."""
    for part in expression.removeprefix("${").removesuffix("}").split("."):
        values = values[part]
    return values


def _commit() -> str:
    """The commit that is checked out, if this is a git repository."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return f", commit {done.stdout.strip()}" if done.returncode == 0 else ""
