"""The report of a pull request: right numbers, one glance, nothing of a stranger's text let through."""

import html
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pull_request import FIGURE, NEW_FIGURE, RUN1, RUN2, RUN3, STAGES, Repository, build, change, run

from emotions import params_file
from tools.referee import committed, pr_report


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
    command = [sys.executable, "-m", "tools.referee.pr_report", "--base", "main", "--head", "HEAD"]
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
    assert "the standard deviations over seeds widen it" in section(report, "Metrics")
    assert row(report, "`run2`", "`overfitting`")[2:] == [
        "`not supported`", "`supported`", "`gap` 0.100 to 0.200",
    ]  # fmt: skip
    assert "Nothing moved: <code>run1</code>, <code>run3</code>" in report
    outputs = section(report, "Outputs")
    assert f"- `train@{RUN2}`: `models/last_epoch/{RUN2}.pth`, `models/runs/{RUN2}.pth`\n" in outputs
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
            lambda r: r.knob("runs.run9", {"title": "x"}),
            "`runs.run9.title` is `x` in params.yaml, was absent",
        ),
        (edit("emotions/training/loop.py"), "`emotions/training` is not what the run read"),
        (
            lambda r: (r.folder / "stages/best.py").unlink(),
            "`stages/best.py` is not what the run read (`best`)",
        ),
        (
            edit("emotions/reporting/templates/report.html.j2"),
            "`emotions/reporting` is not what the run read (`report`)",
        ),
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
    edit("emotions/training/loop.py")(repository)
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
    by_dvc = {n: params_file.load(tmp_path / f"{n}.dvc")["outs"][0]["md5"] for n in ("a.txt", "b")}
    assert held == by_dvc


def test_a_new_run_and_one_that_is_gone_are_shown(repository: Repository) -> None:
    def rename(summary: dict[str, Any]) -> None:
        summary["run4"] = summary.pop("run3")

    repository.json("metrics/summary.json", rename)
    runs = repository.folder / "metrics/runs"
    (runs / f"{RUN3}.json").rename(runs / f"{RUN3.replace('run3', 'run4')}.json")
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


def results(sd: float | None, seeds: int) -> committed.Results:
    """A side whose run has half of 100 validation images right, and so many seeds."""
    split = committed.Split(images=100)
    return committed.Results(
        knobs={"study.seeds": list(range(seeds))} if seeds > 1 else {},
        lock={},
        held={},
        summary={"run1": committed.Scores(val_accuracy=0.5, val_accuracy_sd=sd)},
        runs={"run1": committed.Run(selected=committed.Selected(val=split, test=split))},
        verdicts={},
        images=[],
    )


def test_the_seeds_of_a_side_are_those_of_its_params(repository: Repository) -> None:
    repository.knob("study.seeds", [4, 5])
    assert committed.results(committed.Side(repository.folder, "")).seeds == 2
    repository.knob("study", None)
    assert committed.results(committed.Side(repository.folder, "")).seeds == 1


def test_seeds_that_scatter_widen_the_interval_and_more_of_them_do_less() -> None:
    def reach(old: committed.Results, new: committed.Results) -> float:
        low, high = pr_report.over_images_and_seeds("run1", "val_accuracy", old, new)
        assert low == pytest.approx(-high)
        return high

    images = pr_report.newcombe(0.5, 100, 0.5, 100)[1]
    assert reach(results(None, 1), results(None, 1)) == pytest.approx(images), "before there were seeds"
    few, many = (reach(results(0.1, n), results(0.1, n)) for n in (3, 10))
    assert few == pytest.approx((images**2 + 1.96**2 * 2 * 0.1**2 / 3) ** 0.5)
    assert images < many < few
    assert images < reach(results(None, 1), results(0.1, 3)) < few


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
    content = params_file.load(repository.folder / "dvc.lock")
    outs = [{"path": f"models/<{i}>", "md5": f"{i}"} for i in range(20)]
    content["stages"] |= {f"train@{'<' * 50}{i}": {"outs": outs} for i in range(500)}
    (repository.folder / "dvc.lock").write_text(yaml.safe_dump(content))
    for i in range(100):
        (repository.folder / f"metrics/runs/{'>' * 50}{i}.json").write_bytes(
            (repository.folder / f"metrics/runs/{RUN1}.json").read_bytes()
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
        ("metrics/runs/run2*.json", None, "has no metrics/runs/run2-0.json"),
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
    for path in list(repository.folder.glob(name)):
        path.unlink()
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


def test_a_file_of_a_commit_is_parsed_where_it_is_and_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))  # whoever writes there now fails
    assert committed.yaml(b"train: {lr: 1e-05}\nday: 2020-01-01\n") == {
        "train": {"lr": 1e-5},
        "day": "2020-01-01",
    }
    with pytest.raises(committed.CommittedError, match="must hold groups of keys"):
        committed.yaml(b"- 1")
