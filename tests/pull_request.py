"""The study's repository with a pull request in it, whose numbers change without a run."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import yaml
from conftest import ROOT, png

from emotions import params_file
from tools.referee import committed, pr_report

FIGURE = "plots/training_curves.png"
NEW_FIGURE = png(np.zeros((4, 4, 3), np.uint8))
OLD = {
    "val_accuracy": 0.504,
    "val_accuracy_sd": 0.0,
    "test_accuracy": 0.472,
    "test_accuracy_sd": 0.0,
    "val_macro_f1": 0.2316,
    "test_macro_f1": 0.25,
    "gap": 0.01,
}
"""The scores of run2 on main; 250 images each."""


def network(run: str) -> str:
    """The first network of a run in the study's results, `run2-0`."""
    return min(path.stem for path in (ROOT / "metrics/runs").glob(f"{run}*.json"))


RUN1, RUN2, RUN3 = map(network, ("run1", "run2", "run3"))
STAGES = ("extract", f"train@{RUN1}", f"train@{RUN2}", f"evaluate@{RUN2}", "best", "report")
"""Stages kept in dvc.lock."""


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


class Repository:
    """A git repository with the study's tracked files, where numbers can be changed without running it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
        done = run(["git", *identity, *arguments], self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self) -> str:
        """The hash of a new commit of all files."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "change")
        return self.git("rev-parse", "HEAD")

    def clone(self, folder: Path) -> "Repository":
        """A clone: one local branch, neither cache nor remote of DVC."""
        self.git("clone", "-q", str(self.folder), str(folder))
        return Repository(folder)

    def knob(self, key: str, value: Any) -> None:
        """Set a dotted key of params.yaml; None removes it."""
        path = self.folder / "params.yaml"
        content = params_file.load(path)
        *parents, last = key.split(".")
        node = content
        for parent in parents:
            node = node[parent]
        node[last] = value
        if value is None:
            del node[last]
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def json(self, name: str, change: Callable[[Any], None]) -> None:
        """Change the content of a JSON file in place."""
        path = self.folder / name
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content, indent=2))

    def scores(self, **values: float) -> None:
        """Set scores of run2 in the summary."""
        self.json("metrics/summary.json", lambda summary: summary["run2"].update(values))

    def outcome(self, outcome: str) -> None:
        """Set the first verdict on run2, called `overfitting`."""
        gap = 0.2 if outcome == "supported" else 0.1
        verdict = {"outcome": outcome, "evidence": {"gap": gap, "threshold": 0.15}}
        self.json("metrics/diagnosis.json", lambda verdicts: verdicts.update(run2={"overfitting": verdict}))

    def settle(self, **written: str) -> None:
        """Make dvc.lock tell of the files and params at hand, as `dvc repro` would; `written`: md5 of outs of
        run2's training in the cache, by extension."""
        path = self.folder / "dvc.lock"
        content = params_file.load(path)
        knobs = params_file.load(self.folder / "params.yaml")
        side = committed.Side(self.folder, "")
        held = committed.hashes(side, {n: committed.Stage(**s) for n, s in content["stages"].items()})
        for stage in content["stages"].values():
            for entry in (*stage["deps"], *stage["outs"]):
                entry["md5"] = held.get(entry["path"], entry["md5"])
            recorded = stage.get("params", {}).get("params.yaml", {})
            for key in recorded:
                node = knobs
                for part in key.split("."):
                    node = node[part]
                recorded[key] = node
        for entry in content["stages"][f"train@{RUN2}"]["outs"]:
            entry["md5"] = written.get(entry["path"].rpartition(".")[2], entry["md5"])
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def main(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, stdout and stderr of the tool in this repository."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.object(sys, "argv", ["pr_report", *arguments]),
        ):
            status = pr_report.main()
        return status, out.getvalue(), err.getvalue()

    def report(self, *arguments: str) -> str:
        """What the tool prints."""
        status, report, complaint = self.main(*arguments)
        assert status == 0, complaint
        assert report.isascii()
        return report

    def refusal(self, *arguments: str) -> str:
        """The one line on stderr with which the tool ends."""
        status, report, complaint = self.main(*arguments)
        assert status == 2, report + complaint
        assert report == ""
        assert len(complaint.splitlines()) == 1, complaint
        return complaint


def build(folder: Path) -> Repository:
    """The study on a branch `main` and a branch `change` that begins there, checked out and settled."""
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT).stdout
    for name in listed.split("\0"):
        if (ROOT / name).is_file() and not name.startswith(("docs/", "report/", "tests/", ".github/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    repository = Repository(folder)
    repository.git("init", "-q", "-b", "main")
    lock = params_file.load(folder / "dvc.lock")
    lock["stages"] = {name: stage for name, stage in lock["stages"].items() if name in STAGES}
    (folder / "dvc.lock").write_text(yaml.safe_dump(lock))
    repository.knob("runs.run2.dropout", 0.6)
    repository.scores(**OLD)
    repository.outcome("not supported")
    for split in ("val", "test"):
        repository.json(
            f"metrics/runs/{RUN2}.json", lambda metrics, s=split: metrics["selected"][s].update(images=250)
        )
    repository.settle()
    repository.commit()
    repository.git("checkout", "-q", "-b", "change")
    return repository


def change(repository: Repository) -> None:
    """What a pull request does that lowers a dropout and runs the study."""
    repository.knob("runs.run2.dropout", 0.3)
    repository.scores(val_accuracy=0.632, test_accuracy=0.480, val_macro_f1=0.3)
    repository.outcome("supported")
    (repository.folder / FIGURE).write_bytes(NEW_FIGURE)
    repository.settle(pth="0" * 32)
