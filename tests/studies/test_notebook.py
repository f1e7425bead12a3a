"""The notebook: one with its source, without outputs, and run from top to bottom on a tiny study."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from conftest import ROOT, TINY, Study
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOK = Path("notebooks/Project_ResNet_Training.ipynb")


def executed(folder: Path, **parameters: Any) -> nbformat.NotebookNode:
    """The notebook after a run in `folder`, with other values in its cell of parameters."""
    notebook = nbformat.read(ROOT / NOTEBOOK, as_version=4)
    (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
    client = NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return notebook


def texts(notebook: nbformat.NotebookNode) -> str:
    """All that its cells print."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(o.get("text", "") or o.get("data", {}).get("text/markdown", "") for o in outputs)


def test_the_notebook_is_its_source_and_holds_no_outputs() -> None:
    notebook = nbformat.read(ROOT / NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    source = jupytext.read(ROOT / NOTEBOOK.with_suffix(".py"))
    cells = [[(c.cell_type, c.source, c.metadata.get("tags")) for c in n.cells] for n in (notebook, source)]
    assert cells[0] == cells[1], "run `jupytext --sync` on the notebook"
    assert all(not c.outputs and c.execution_count is None for c in notebook.cells if c.cell_type == "code")


def test_outside_a_clone_it_asks_where_the_study_is(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="set REPOSITORY"):
        executed(tmp_path, ATTACHED="")


def test_attached_data_of_no_known_kind_are_not_passed_over(tmp_path: Path) -> None:
    for folder in ("input", "study"):
        (tmp_path / folder).mkdir()
    (tmp_path / "input/faces.csv").write_text("a,b")
    with pytest.raises(CellExecutionError, match="data of no known kind"):
        executed(Study(tmp_path / "study").folder, ATTACHED=str(tmp_path / "input"))


def test_from_a_clone_and_an_attached_dataset_to_tables_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "origin").mkdir()
    study = Study(tmp_path / "origin")
    study.params(*TINY)
    study.set("study.runs=[run1,run3]")
    study.commit("tiny")
    study.dvc("repro", "preprocess")
    attached = tmp_path / "input/faces"
    attached.mkdir(parents=True)
    (study.folder / "data/dataset_resnet_224.zip").rename(attached / "dataset_resnet_224.zip")
    (tmp_path / "working").mkdir()
    notebook = executed(
        tmp_path / "working",
        REPOSITORY=str(study.folder),
        ATTACHED=str(tmp_path / "input"),
        CHANGES=["train.epochs=1"],
    )
    printed = texts(notebook)
    assert "data.source=imagefolder" in printed
    assert re.search(r"^\[\d+/\d+\] report done in ", printed, re.M)
    assert all(f"run{i}: " in printed for i in (1, 3))
    assert "### Verdicts" in printed
    shown = [o.data for c in notebook.cells for o in c.get("outputs", []) if "data" in o]
    assert sum("image/png" in data for data in shown) == 4
    assert sum("image/jpeg" in data for data in shown) == 2
    clone = tmp_path / "working/study"
    assert (clone / "report/report.html").stat().st_size > 100_000
    assert (clone / "data/raw/imagefolder/faces/dataset_resnet_224.zip").is_symlink()
