"""What is committed fits together: README, report, metrics, params and lock tell of one run."""

import json
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from emotions import params_file


def table_of(text: str, head: str) -> list[str]:
    """The lines of the Markdown table whose head begins with `head`."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(head))
    end = next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))
    return lines[start:end]


def test_readme_shows_the_table_of_the_committed_report() -> None:
    report = table_of((ROOT / "report/report.md").read_text(), "| Run | Trained |")
    assert table_of((ROOT / "README.md").read_text(), "| Run | Trained |") == report


def test_the_committed_report_shows_the_committed_metrics() -> None:
    summary = json.loads((ROOT / "metrics/summary.json").read_text())
    rows = table_of((ROOT / "report/report.md").read_text(), "| Run | Trained |")[2:-2]
    assert len(rows) == len(summary)
    for row, (name, scores) in zip(rows, summary.items(), strict=True):
        cells = [cell.strip(" *").replace("\u2212", "-") for cell in row.split("|")[1:-1]]
        assert cells[0].startswith(f"{name}:")
        names = ("val_macro_f1", "test_macro_f1", "test_balanced_accuracy", "test_accuracy", "train_accuracy")
        for cell, metric in zip(cells[2:8], (*names, "last_epoch_gap"), strict=True):
            unit = 1 if "macro_f1" in metric else 100
            shown = [float(number) for number in cell.split(" ± ")]
            true = [unit * scores[metric], unit * scores[f"{metric}_sd"]]
            assert shown == pytest.approx(true, abs=0.00051 * unit), f"{name} {metric}"


def test_the_lock_is_of_the_committed_params() -> None:
    committed = params_file.load(ROOT / "params.yaml")
    for stage, entry in params_file.load(ROOT / "dvc.lock")["stages"].items():
        for key, value in entry.get("params", {}).get("params.yaml", {}).items():
            node = committed
            for part in key.split("."):
                node = node[part]
            assert node == value, f"{stage}: {key}"


def test_files_that_the_documents_link_to_exist() -> None:
    documents = [ROOT / "README.md", ROOT / "report/report.md", *(ROOT / "docs").rglob("*.md")]
    for document in documents:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def dvc(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_graph_in_the_readme_is_the_pipeline() -> None:
    graph = dvc("dag", "--mermaid", "--collapse-foreach-matrix").strip()
    assert f"```mermaid\n{graph}\n```" in (ROOT / "README.md").read_text()


def test_the_graph_of_the_stages_is_not_higher_than_a_screen() -> None:
    assert len(dvc("dag", "--collapse-foreach-matrix").splitlines()) <= 50


def test_the_example_starts_from_the_committed_metrics_and_fits_a_laptop() -> None:
    text = (ROOT / "docs/compare.md").read_text()
    summary = json.loads((ROOT / "metrics/summary.json").read_text())
    rows = re.findall(r"^metrics/summary\.json +run2\.(\w+) +(\S+) +(\S+) +(\S+)$", text, re.MULTILINE)
    assert len(rows) >= 4
    for metric, old, new, change in rows:
        assert float(old) == pytest.approx(summary["run2"][metric], abs=0.00051)
        assert float(new) - float(old) == pytest.approx(float(change), abs=0.0011)
    (shown,) = re.findall(r"\$ make experiments\n(.*?)```", text, re.DOTALL)
    assert max(map(len, shown.splitlines())) <= 160
    assert "nothing lies beyond chance, and no verdict changed" in text  # another example: other words
    assert "**beyond chance**" not in text and re.search(r"^No verdict changed\.$", text, re.MULTILINE)
    moved = re.search(
        r"^\| `run2` \| test accuracy.*\| (\S+) \| within chance \((\S+) to (\S+)\) \|$", text, re.MULTILINE
    )
    assert moved and f"fell by {moved[1].lstrip('-')} points" in text
    assert f"reaches from {moved[2]} to {moved[3]}" in text
    assert not re.search(r"/(tmp|home|root|work)/", text)
