"""The workflows on GitHub: valid, no right that a stranger could use, scripts that do what they say."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from pull_request import FIGURE, Repository, build, change

FOLDER = ROOT / ".github/workflows"
WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yml"))}
BIN = Path(sys.executable).parent


def jobs(name: str) -> dict[str, Any]:
    return WORKFLOWS[name]["jobs"]


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in jobs(name).values() for step in job["steps"]]


def script(name: str, title: str) -> str:
    """The `run` of the step called `title`."""
    (found,) = [step["run"] for step in steps(name) if step.get("name") == title]
    return found


def bash(run: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does with `shell: bash`, with this Python's tools in front."""
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", run],
        cwd=folder,
        env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        ["zizmor", "--offline", "--no-progress", "--persona", "auditor", str(FOLDER)],
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, FOLDER.glob("*.yml"))],
    ],
    ids=["zizmor", "check-jsonschema"],
)
def test_the_workflows_pass(command: list[str]) -> None:
    done = subprocess.run([str(BIN / command[0]), *command[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_by_hash_and_scripts_hold_no_expression(name: str) -> None:
    for step in steps(name):
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"])
            line = next(line for line in (FOLDER / name).read_text().splitlines() if step["uses"] in line)
            assert re.search(r"# v\d+\.\d+\.\d+$", line), f"{line}: say the version"
        assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_job_states_its_rights_and_its_time(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {}
    assert WORKFLOWS[name]["defaults"]["run"]["shell"] == "bash"
    for job in jobs(name).values():
        assert job["permissions"]
        assert job["timeout-minutes"] <= 180


def test_code_of_a_pull_request_meets_no_right_to_write() -> None:
    triggers = {
        name: set(content[True]) for name, content in WORKFLOWS.items()
    }  # YAML 1.1 reads `on` as true
    assert triggers == {"checks.yml": {"pull_request", "push"}, "comment.yml": {"workflow_run"}}
    assert all(job["permissions"] == {"contents": "read"} for job in jobs("checks.yml").values())
    text = (FOLDER / "checks.yml").read_text() + (FOLDER / "comment.yml").read_text()
    assert "secrets." not in text
    for step in steps("checks.yml"):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    assert jobs("comment.yml")["comment"]["permissions"] == {"actions": "read", "pull-requests": "write"}
    assert WORKFLOWS["comment.yml"][True]["workflow_run"]["workflows"] == [WORKFLOWS["checks.yml"]["name"]]


def test_the_workflow_that_may_comment_runs_nothing_of_the_pull_request() -> None:
    used = [step["uses"].split("@")[0] for step in steps("comment.yml") if "uses" in step]
    assert used == ["actions/download-artifact"]
    runs = " ".join(step.get("run", "") for step in steps("comment.yml"))
    assert not re.search(r"\b(git|make|python3?|pip|bash|sh|source|eval|checkout)\b ", runs)


def test_make_targets_and_tools_that_the_workflows_call_exist() -> None:
    runs = "\n".join(step.get("run", "") for name in WORKFLOWS for step in steps(name))
    targets = set(re.findall(r"\bmake ([\w./-]+)", runs))
    assert {"lint", "test", "verify"} <= targets
    for target in targets:
        assert (
            subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False).returncode == 0
        )
    modules = set(re.findall(r"python -m ([\w.]+)", runs))
    assert {"tools.referee.pr_report"} <= modules
    for module in modules:
        assert importlib.util.find_spec(module), module


@pytest.fixture(scope="module")
def pull_request(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A clone whose checked out commit lowers run2's dropout."""
    folder = tmp_path_factory.mktemp("workflows")
    origin = build(folder / "origin")
    change(origin)
    origin.commit()
    return origin.clone(folder / "clone")


def reviewed(repository: Repository, temporary: Path, verify: str = "success", certificate: str = "") -> str:
    """The artifact that the report step leaves. `certificate`: what `make verify` wrote."""
    temporary.mkdir(exist_ok=True)
    head = repository.git("rev-parse", "HEAD")
    folder = repository.folder / "certificates"
    shutil.rmtree(folder, ignore_errors=True)
    if certificate:
        folder.mkdir()
        (folder / f"{head[:12]}.md").write_text(certificate)
    done = bash(
        script("checks.yml", "The report for the reviewer"),
        repository.folder,
        RUNNER_TEMP=str(temporary),
        GITHUB_STEP_SUMMARY=str(temporary / "summary.md"),
        GITHUB_BASE_REF="main",
        GITHUB_SERVER_URL="https://github.com",
        GITHUB_REPOSITORY="o/r",
        HEAD_SHA=head,
        VERIFY=verify,
    )
    assert done.returncode == 0, done.stderr
    report = (temporary / "pr-report.md").read_text()
    assert (temporary / "summary.md").read_text() == report
    return report


def test_the_reviewer_sees_the_committed_numbers_and_whether_the_rerun_confirms_them(
    pull_request: Repository, tmp_path: Path
) -> None:
    report = reviewed(pull_request, tmp_path / "a", certificate="# The study, run again")
    head = pull_request.git("rev-parse", "HEAD")
    assert report.startswith("**`runs.run2.dropout` from `0.6` to `0.3`**")
    assert f"![training_curves.png, new](https://github.com/o/r/blob/{head}/{FIGURE}?raw=true)" in report
    assert "run again" not in report

    changed = reviewed(
        pull_request, tmp_path / "b", "failure", "# The study, run again\n\n| 0.504 | 0.201 |\n"
    )
    first, rest = changed.split("\n\n", 1)
    assert "not confirmed" in first and "at the end" in first
    assert rest == f"{report}\n# The study, run again\n\n| 0.504 | 0.201 |\n"

    first, rest = reviewed(pull_request, tmp_path / "c", "failure").split("\n\n", 1)
    assert "not confirmed" in first and "did not run through" in first
    assert rest == report


GH = """#!{python}
import json, os, sys
folder = os.environ["RUNNER_TEMP"]
body = [a.removeprefix("body=@") for a in sys.argv if a.startswith("body=@")]
method = sys.argv[sys.argv.index("--method") + 1] if "--method" in sys.argv else "GET"
path = next(a for a in sys.argv if a.startswith("repos/"))
with open(f"{{folder}}/calls.jsonl", "a") as calls:
    text = open(body[0], encoding="utf-8").read() if body else None
    fields = [b for a, b in zip(sys.argv, sys.argv[1:]) if a == "-f"]
    calls.write(json.dumps([method, path, fields, text]) + "\\n")
if method == "GET":
    print(open(f"{{folder}}/" + ("pulls" if path.endswith("/pulls") else "comments") + ".json").read())
"""
"""Stands in for GitHub's command line: answers from files and writes down what it was asked."""


def commented(folder: Path, report: bytes, pulls: list[Any], comments: list[Any]) -> list[list[Any]]:
    """The calls to GitHub that the comment step makes."""
    (folder / "bin").mkdir()
    gh = folder / "bin/gh"
    gh.write_text(GH.format(python=sys.executable))
    gh.chmod(0o755)
    (folder / "pr-report").mkdir()
    (folder / "pr-report/pr-report.md").write_bytes(report)
    (folder / "pulls.json").write_text(json.dumps(pulls))
    (folder / "comments.json").write_text(json.dumps(comments))
    done = bash(
        script("comment.yml", "The comment"),
        folder,
        PATH=f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        RUNNER_TEMP=str(folder),
        REPO="o/r",
        OWNER="someone",
        BRANCH="less&dropout",
        HEAD_SHA="a" * 40,
        RUN_URL="https://github.com/o/r/actions/runs/1",
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]


needs_jq = pytest.mark.skipif(
    not shutil.which("jq"), reason="the runners of GitHub have jq, this machine has not"
)
PULLS = [{"number": 6, "head": {"sha": "b" * 40}}, {"number": 7, "head": {"sha": "a" * 40}}]


@needs_jq
def test_the_first_report_becomes_a_comment_on_the_pull_request_of_that_commit(tmp_path: Path) -> None:
    strangers = [{"id": 1, "user": {"login": "someone"}, "body": "<!-- pr-report --> mine"}]
    asked, listed, posted = commented(tmp_path, b"**Knobs** train@run1 @team @@x", PULLS, strangers)
    assert asked == ["GET", "repos/o/r/pulls", ["state=open", "head=someone:less&dropout"], None]
    assert listed[:2] == ["GET", "repos/o/r/issues/7/comments"]
    assert posted[:2] == ["POST", "repos/o/r/issues/7/comments"]
    marker, source, _, text = posted[3].splitlines()
    assert marker == "<!-- pr-report -->"
    assert f"[these checks](https://github.com/o/r/actions/runs/1) of {'a' * 40}" in source
    assert text == "**Knobs** train@run1 @\u200bteam @\u200b@\u200bx"


@needs_jq
def test_later_reports_replace_the_comment(tmp_path: Path) -> None:
    bot = {"login": "github-actions[bot]"}
    comments = [
        {"id": 1, "user": bot, "body": "of another workflow"},
        {"id": 2, "user": bot, "body": "<!-- pr-report -->\nold"},
    ]
    *_, edited = commented(tmp_path, b"new", PULLS, comments)
    assert edited[:2] == ["PATCH", "repos/o/r/issues/comments/2"]


@needs_jq
def test_a_report_of_an_older_commit_is_not_posted(tmp_path: Path) -> None:
    assert [call[0] for call in commented(tmp_path, b"x", PULLS[:1], [])] == ["GET"]


@needs_jq
def test_a_comment_keeps_githubs_limit_whatever_the_artifact_holds(tmp_path: Path) -> None:
    *_, posted = commented(tmp_path, b"\xff@" * 100_000, PULLS, [])
    assert len(posted[3]) < 65_536


def test_an_artifact_that_links_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pr-report").mkdir()
    (tmp_path / "pr-report/pr-report.md").symlink_to("/proc/self/environ")
    done = bash(script("comment.yml", "The comment"), tmp_path, RUNNER_TEMP=str(tmp_path))
    assert done.returncode != 0
    assert "the artifact holds no report" in done.stdout
