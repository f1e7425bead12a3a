"""The command line of a stage: its params, its log, and how it ends."""

import argparse
import importlib.metadata
import logging
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from emotions import knobs, params_file
from emotions.runtime import console, parallel, versions

log = logging.getLogger("emotions.stages")

PARAMS_FILE: Final = Path("params.yaml")
LOGS: Final = Path("logs")
LOGGED: Final = ("torch", "torchvision", "numpy", "transformers", "openai")
"""Packages whose versions are logged if installed."""


def command(
    main: Callable[..., None],
    groups: Mapping[str, Any],
    usage: str | None,
    *,
    seeded: bool = False,
    more: tuple[Path, Mapping[str, Any]] | None = None,
) -> None:
    """Run a stage from its command line: `main(values)`, or `main(values, name)` if a key holds a
    placeholder for a block's name, `runs.{run}`; with `seeded` the last argument is a seed.

    `values` are the validated params of `groups` (see `emotions.params_file.read`) and of `more`, a second
    file with its groups.
    """
    script = Path(sys.argv[0])
    package, stage = script.parent.name, script.stem
    groups_of = {PARAMS_FILE: groups} | dict([more] if more else [])
    parser = argparse.ArgumentParser(
        prog=f"python -m {package}.{stage}",
        description=usage,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for file, keys in groups_of.items():
        for group, placeholder in dict.fromkeys(re.findall(r"(\w+)\.\{(\w+)\}", " ".join(keys))):
            parser.add_argument(placeholder, help=f"a block under `{group}` in {file}")
    if seeded:
        parser.add_argument("seed", type=int, help="seed of the training")
    given = vars(parser.parse_args())
    named = {key: value for key, value in given.items() if key != "seed"}
    name = "@".join([stage, "-".join(map(str, given.values()))]).rstrip("@")
    file_name = re.sub(r"[^\w@-]", "_", name)
    if package != "stages":
        file_name = f"{package}_{file_name}"

    parallel.end_with_launcher()
    with console.session(name, LOGS / f"{file_name}.log"):
        knobs.check(PARAMS_FILE)
        values: dict[str, Any] = {}
        for file, keys in groups_of.items():
            values |= params_file.read(file, keys, **named)
        console.show(f"{name}: {headline(values, usage)}")
        log.info(f"{shlex.join(sys.orig_argv)}{_commit()}")
        log.info(f"python {platform.python_version()}, {_versions()}, {platform.platform()}")
        for key, value in values.items():
            log.info(f"{key.format(**named)}: {value}")
        versions.check()
        main(values, *given.values())


def headline(values: Mapping[str, Any], usage: str | None) -> str:
    """Title of a stage's run, else the first line of its script."""
    titles = [
        value if key.endswith("}.title") else getattr(value, "title", None) for key, value in values.items()
    ]
    first_line = usage.strip().splitlines()[0] if usage else ""
    return next((title for title in titles if isinstance(title, str)), first_line)


def _versions() -> str:
    found = []
    for package in LOGGED:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def _commit() -> str:
    """Log text for the checked-out commit, or why it is not known."""
    try:
        done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, check=False)
    except OSError as error:
        return f", commit unknown ({error})"
    if done.returncode:
        return f", commit unknown ({os.fsdecode(done.stderr).strip() or done.returncode})"
    return f", commit {done.stdout.decode().strip()}"
