"""The report of a pull request: right numbers, one glance, nothing of a stranger's text let through."""

import contextlib
import html
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import yaml
from conftest import ROOT, png
from hypothesis import given
from hypothesis import strategies as st

from rafce import params
from tools import committed, pr_report

FIGURE = "plots/training_curves.png"
NEW_FIGURE = png(np.zeros((4, 4, 3), np.uint8))
OLD = {
    "val_accuracy": 0.504,
    "test_accuracy": 0.472,
    "val_macro_f1": 0.2316,
    "test_macro_f1": 0.25,
    "gap": 0.01,
}
"""The scores of run2 on main; 250 images each."""
STAGES = ("extract", "train@run1", "train@run2", "evaluate@run2", "best", "report")
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
        content = params.load(path)
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
        train@run2 in the cache, by extension."""
        path = self.folder / "dvc.lock"
        content = params.load(path)
        knobs = params.load(self.folder / "params.yaml")
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
        for entry in content["stages"]["train@run2"]["outs"]:
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
    lock = params.load(folder / "dvc.lock")
    lock["stages"] = {name: stage for name, stage in lock["stages"].items() if name in STAGES}
    (folder / "dvc.lock").write_text(yaml.safe_dump(lock))
    repository.knob("runs.run2.dropout", 0.6)
    repository.scores(**OLD)
    repository.outcome("not supported")
    for split in ("val", "test"):
        repository.json(
            "metrics/runs/run2.json", lambda metrics, s=split: metrics["selected"][s].update(images=250)
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


@pytest.fixture(scope="module")
def main_branch(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return build(tmp_path_factory.mktemp("main"))


@pytest.fixture
def repository(main_branch: Repository, tmp_path: Path) -> Repository:
    """Branch `change` with nothing changed yet; `main` is there, too."""
    copy = tmp_path / "repository"
    shutil.copytree(main_branch.folder, copy)
    return Repository(copy)


@pytest.fixture(scope="module")
def pull_request(main_branch: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A clone of a repository whose branch `change` lowers run2's dropout; not to be written to."""
    folder = tmp_path_factory.mktemp("pull_request")
    shutil.copytree(main_branch.folder, folder / "origin")
    origin = Repository(folder / "origin")
    change(origin)
    origin.commit()
    return origin.clone(folder / "clone")


def row(report: str, *cells: str) -> list[str]:
    """All cells of the one table row that begins with `cells`."""
    rows = [
        [c.strip() for c in line.split("|")[1:-1]] for line in report.splitlines() if line.startswith("|")
    ]
    (found,) = [r for r in rows if r[: len(cells)] == list(cells)]
    return found


def section(report: str, title: str) -> str:
    """The text under a heading."""
    return report.split(f"### {title}\n")[1].split("\n###")[0].strip()


def test_a_reviewer_sees_knobs_metrics_verdicts_outputs_and_figures_in_a_clone(
    pull_request: Repository,
) -> None:
    command = [sys.executable, "-m", "tools.pr_report", "--base", "main", "--head", "HEAD"]
    done = run(command, pull_request.folder)
    assert done.returncode == 0, done.stderr
    report = done.stdout
    assert report.startswith(
        "**`runs.run2.dropout` from `0.6` to `0.3`**: the largest movement of validation and "
        "test accuracy is val accuracy of `run2`, "
        "50.4 to 63.2 % (+12.8 points, beyond chance); the best run by validation is "
    )
    said = "; verdict on `run2` changed: `overfitting` `not supported`, now `supported`."
    assert report.splitlines()[0].endswith(f"{said}**" if report.splitlines()[0].endswith("**") else said)
    assert row(report, "`runs.run2.dropout`") == ["`runs.run2.dropout`", "`0.6`", "`0.3`"]
    assert row(report, "`run2`", "val accuracy, %")[2:] == [
        "50.4", "63.2", "+12.8", "**beyond chance** (+4.1 to +21.2)",
    ]  # fmt: skip
    assert row(report, "`run2`", "test accuracy, %")[2:5] == ["47.2", "48.0", "+0.8"]
    assert row(report, "`run2`", "test accuracy, %")[5].startswith("within chance (-")
    assert row(report, "`run2`", "val macro-F1")[2:] == ["0.232", "0.300", "+0.068", "not tested"]
    assert row(report, "`run2`", "test macro-F1")[2:] == ["0.250", "0.250", "=", ""]
    assert row(report, "`run2`", "gap, points")[2:] == ["1.0", "1.0", "=", ""]
    assert row(report, "`run1`", "val accuracy, %")[4:] == ["=", ""]
    assert "independent samples of images" in section(report, "Metrics")
    assert "nothing of the spread over seeds" in section(report, "Metrics")
    assert row(report, "`run2`", "`overfitting`")[2:] == [
        "`not supported`", "`supported`", "`gap` 0.100 to 0.200",
    ]  # fmt: skip
    assert "Nothing moved: <code>run1</code>, <code>run3</code>" in report
    outputs = section(report, "Outputs")
    assert "- `train@run2`: `models/last_epoch/run2.pth`, `models/runs/run2.pth`\n" in outputs
    assert "other bytes: 2; the same bytes: 4" in outputs
    assert f"`{FIGURE}`" in outputs
    assert "train@run1" not in outputs
    assert f"`{FIGURE}` changed" in section(report, "Figures")
    assert "WARNING" not in report and "NOTE" not in report and "images differ" not in report


def test_the_base_is_found_on_the_remote_and_named(pull_request: Repository) -> None:
    fork = pull_request.git("rev-parse", "--short=7", "origin/main")
    head = pull_request.git("rev-parse", "--short=7", "HEAD")
    last = pull_request.report("--base", "main", "--head", "HEAD").splitlines()[-1]
    assert last == f"Old: `{fork}`, where this change left `origin/main`. New: `{head}`."


def test_what_main_did_after_the_branch_left_it_is_not_held_against_the_branch(
    repository: Repository,
) -> None:
    change(repository)
    repository.commit()
    repository.git("checkout", "-q", "main")
    repository.knob("runs.run1.dropout", 0.1)
    repository.scores(val_accuracy=0.1)
    repository.settle()
    repository.commit()
    repository.git("checkout", "-q", "change")
    report = repository.report("--base", "main")
    assert "run1.dropout" not in report
    assert row(report, "`run2`", "val accuracy, %")[2:4] == ["50.4", "63.2"]


def test_without_a_head_the_working_tree_counts(repository: Repository) -> None:
    change(repository)
    assert row(repository.report("--base", "main"), "`run2`", "val accuracy, %")[3] == "63.2"
    committed = repository.report("--base", "main", "--head", "HEAD")
    assert committed.startswith("**No knobs changed**: nothing measured changed.")


def test_no_change_is_said_plainly(repository: Repository) -> None:
    report = repository.report("--base", "main")
    assert report.startswith("**No knobs changed**: nothing measured changed.\n")
    assert [section(report, t) for t in ("Knobs", "Verdicts", "Outputs")] == [
        "No knob changed.", "No verdict changed.", f"All {len(STAGES)} stages wrote the same bytes.",
    ]  # fmt: skip
    assert section(report, "Figures").startswith("No figure changed.")
    assert section(report, "Metrics").startswith("No accuracy of validation or test moved.")


def edit(name: str) -> Callable[[Repository], None]:
    def append(repository: Repository) -> None:
        with (repository.folder / name).open("a") as file:
            file.write("\n")

    return append


@pytest.mark.parametrize(
    ("edited", "reason"),
    [
        (
            lambda r: r.knob("runs.run2.dropout", 0.3),
            "`runs.run2.dropout` is `0.3` in params.yaml, was `0.6`",
        ),
        (lambda r: r.knob("runs.run2.mixup_alpha", None), "`runs.run2.mixup_alpha` is absent in params.yaml"),
        (
            lambda r: r.knob("runs.run4", {"title": "x"}),
            "`runs.run4.title` is `x` in params.yaml, was absent",
        ),
        (edit("rafce/training.py"), "`rafce/training.py` is not what the run read"),
        (
            lambda r: (r.folder / "stages/best.py").unlink(),
            "`stages/best.py` is not what the run read (`best`)",
        ),
        (edit("rafce/templates/report.html.j2"), "`rafce/templates` is not what the run read (`report`)"),
        (edit("data/raw/synthetic/action_units.yaml"), "`data/raw/synthetic` is not what the run read"),
        (lambda r: r.scores(val_accuracy=0.9), "`metrics/summary.json` is not what the run wrote (`report`)"),
    ],
)
def test_numbers_that_are_not_of_the_code_are_called_stale(
    repository: Repository, edited: Callable[[Repository], None], reason: str
) -> None:
    edited(repository)
    report = repository.report("--base", "main")
    assert report.startswith("> [!WARNING]\n> **Stale:")
    assert reason in report.split("### Knobs")[0]
    assert "dvc repro" in report.splitlines()[1]


def test_a_stale_base_is_mentioned(repository: Repository) -> None:
    repository.git("checkout", "-q", "main")
    edit("rafce/training.py")(repository)
    repository.commit()
    repository.settle()
    report = repository.report("--base", "main")
    assert report.startswith("> [!NOTE]\n> The old numbers are stale")
    assert "WARNING" not in report


def test_hashes_are_those_of_dvc(tmp_path: Path) -> None:
    folder = tmp_path / "b" / "deep.er"
    folder.mkdir(parents=True)
    for name in ("a.txt", "b/z.txt", "b/deep/x.txt", "b/deep.er/y.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert run(["git", "init", "-q"], tmp_path).returncode == 0
    held = committed.hashes(
        committed.Side(tmp_path, ""),
        {"s": committed.Stage(deps=[{"path": "a.txt"}, {"path": "b", "nfiles": 3}, {"path": "absent"}])},
    )
    assert run([sys.executable, "-m", "dvc", "init", "-q"], tmp_path).returncode == 0
    assert run([sys.executable, "-m", "dvc", "add", "-q", "a.txt", "b"], tmp_path).returncode == 0
    by_dvc = {n: params.load(tmp_path / f"{n}.dvc")["outs"][0]["md5"] for n in ("a.txt", "b")}
    assert held == by_dvc


def test_a_new_run_and_one_that_is_gone_are_shown(repository: Repository) -> None:
    def rename(summary: dict[str, Any]) -> None:
        summary["run4"] = summary.pop("run3")

    repository.json("metrics/summary.json", rename)
    (repository.folder / "metrics/runs/run3.json").rename(repository.folder / "metrics/runs/run4.json")
    repository.settle()
    report = repository.report("--base", "main")
    assert row(report, "`run4`", "val accuracy, %")[2] == "-"
    assert row(report, "`run4`", "val accuracy, %")[4:] == ["added", ""]
    assert row(report, "`run3`", "test macro-F1")[3:] == ["-", "removed", ""]
    assert "run `run4` is new; run `run3` is gone" in report


def test_other_images_forbid_the_comparison_of_levels(repository: Repository) -> None:
    assert "images differ" not in repository.report("--base", "main")
    repository.json("metrics/data.json", lambda data: data.update(source="other"))
    repository.settle()
    assert "\n**The images differ:" in repository.report("--base", "main")


def test_the_interval_is_newcombes() -> None:
    """Example (a) of Newcombe 1998, Statistics in Medicine 17:873, method 10: 56/70 - 48/80."""
    low, high = pr_report.newcombe(48 / 80, 80, 56 / 70, 70)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


def test_figures_are_written_and_linked_from_the_current_folder(
    pull_request: Repository, tmp_path: Path
) -> None:
    report = pull_request.report("--base", "main", "--images", str(tmp_path / "two words"))
    name = Path(FIGURE).name
    links = re.findall(r"!\[[^]]*]\(([^)]+)\)", section(report, "Figures"))
    assert len(links) == 2
    for link, side in zip(links, ("base", "head"), strict=True):
        target = pull_request.folder / link.replace("%20", " ")
        assert target.resolve() == tmp_path / "two words" / side / name
    assert (tmp_path / "two words" / "head" / name).read_bytes() == NEW_FIGURE
    assert (tmp_path / "two words" / "base" / name).read_bytes() != NEW_FIGURE


def test_figures_on_the_web_are_addressed_by_commit(pull_request: Repository) -> None:
    address = "https://github.com/o/r/blob/{commit}/{path}?raw=true"
    report = pull_request.report("--base", "main", "--head", "HEAD", "--image-url", address)
    for commit in ("origin/main", "HEAD"):
        sha = pull_request.git("rev-parse", commit)
        assert f"(https://github.com/o/r/blob/{sha}/{FIGURE}?raw=true)" in report
    assert "--head" in pull_request.refusal("--base", "main", "--image-url", address)


def test_a_figure_that_only_one_side_has_is_shown_there(repository: Repository) -> None:
    (repository.folder / FIGURE).unlink()
    report = repository.report("--base", "main", "--images", "pr-report")
    cells = row(report, f"`{FIGURE}`<br>![training_curves.png, old](pr-report/base/training_curves.png)")
    assert cells[1] == f"`{FIGURE}`<br>not there"


def test_a_strangers_text_stays_text(repository: Repository) -> None:
    title = "a | b <script>alert(1)</script> @someone #1 `code` ![x](http://evil.example/x.png)\n- **item**"
    repository.knob("runs.run2.title", title)
    repository.knob("runs.run2.@else", 1)
    repository.outcome("</details> | @team/all")
    report = repository.report("--base", "main")
    assert len(row(report, "`runs.run2.title`")) == 3
    assert "<script" not in report and "evil.example" not in report
    assert not re.search(r"(?<!\w)@\w", report)
    assert report.count("</details>") == report.count("<details>")
    cell = re.sub("</?code>", "", row(report, "`runs.run2.title`")[2])
    assert html.unescape(cell) == " ".join(title.split())


@given(st.text())
def test_a_literal_is_one_code_span_that_reads_as_the_value(text: str) -> None:
    shown = pr_report.literal(text)
    assert shown.isascii() and "|" not in shown and "\n" not in shown and not re.search(r"(?<!\w)@", shown)
    inner = re.fullmatch(r"`([^`<>&]+)`|<code>([^`<>@*\[\]]+)</code>", shown)
    assert inner
    said = " ".join(text.split()) or '""'
    if len(said) <= 100 and said.isprintable():
        assert (inner[1] or html.unescape(inner[2])) == said


def test_a_flood_fits_into_a_comment(repository: Repository) -> None:
    repository.knob("runs.run2.flood", {f"@{i} {'|' * 90}": f"<{'@' * 95}" for i in range(3000)})
    content = params.load(repository.folder / "dvc.lock")
    outs = [{"path": f"models/<{i}>", "md5": f"{i}"} for i in range(20)]
    content["stages"] |= {f"train@{'<' * 50}{i}": {"outs": outs} for i in range(500)}
    (repository.folder / "dvc.lock").write_text(yaml.safe_dump(content))
    for i in range(100):
        (repository.folder / f"metrics/runs/{'>' * 50}{i}.json").write_bytes(
            (repository.folder / "metrics/runs/run1.json").read_bytes()
        )
        (repository.folder / f"plots/{'(' * 50}{i}.png").write_bytes(b"")
    copies = {f"{'>' * 50}{i}": {"val_accuracy": 0.5} for i in range(100)}
    repository.json("metrics/summary.json", lambda summary: summary.update(copies))
    report = repository.report("--base", "main", "--images", "pr-report")
    assert len(report) < 60_000
    assert report.count("more lines are left out here") >= 5
    assert report.count("</details>") == report.count("<details>")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("metrics/summary.json", None, "has no metrics/summary.json"),
        ("metrics/runs/run2.json", None, "has no metrics/runs/run2.json"),
        ("dvc.lock", None, "has no dvc.lock"),
        ("metrics/summary.json", "{", "metrics/summary.json of the working tree cannot be read"),
        ("metrics/summary.json", '{"run1": {"val_accuracy": "high"}}', "run1.val_accuracy"),
        ("metrics/summary.json", '{"run1": {"val_accuracy": NaN}}', "run1.val_accuracy"),
        ("params.yaml", "a: [", "params.yaml of the working tree cannot be read"),
        ("params.yaml", "a: &a [*a]", "params.yaml of the working tree cannot be read"),
        ("params.yaml", "a: 2024-99-99", "params.yaml of the working tree cannot be read"),
        ("dvc.lock", "schema: '2.0'", "dvc.lock of the working tree cannot be read"),
        ("dvc.lock", "\xff\n", "dvc.lock of the working tree cannot be read"),
    ],
)
def test_a_side_that_cannot_be_read_is_named(
    repository: Repository, name: str, content: str | None, said: str
) -> None:
    (repository.folder / name).unlink()
    if content is not None:
        (repository.folder / name).write_text(content, encoding="latin-1")
    refusal = repository.refusal("--base", "main")
    assert said in refusal
    assert "dvc repro" in refusal
    repository.git("checkout", "-q", "-b", "broken")
    sha = repository.commit()
    assert f"commit {sha[:7]}" in repository.refusal("--base", "main", "--head", sha)


def test_an_unknown_base_is_refused(repository: Repository) -> None:
    assert "no commit 'nowhere' here: `git fetch origin`" in repository.refusal("--base", "nowhere")
    assert "no commit '--all'" in repository.refusal("--base=--all")


def test_histories_without_a_common_commit_are_refused(repository: Repository) -> None:
    repository.git("checkout", "-q", "--orphan", "other")
    repository.commit()
    refusal = repository.refusal("--base", "main")
    assert "no common ancestor" in refusal and "--unshallow" in refusal


def test_a_folder_outside_git_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "not a git repository" in Repository(tmp_path).refusal("--base", "main")


def test_make_pr_report_prints_the_report_and_writes_the_figures(repository: Repository) -> None:
    change(repository)
    options = ["--no-print-directory", "-o", ".venv/bin/.installed", "ACTIVE="]
    done = run(["make", *options, "pr-report", "BASE=main"], repository.folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("**`runs.run2.dropout` from `0.6` to `0.3`**")
    assert (repository.folder / "pr-report/head/training_curves.png").is_file()
