"""A study with fewer runs or seeds than before: what the others left is gone before it is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emotions.evidence import results
from emotions.params_file import StudyParams
from stages import best, compare, report

FIVE = StudyParams(runs=["run1", "run2"], seeds=[0, 1, 2, 3, 4])
THREE = StudyParams(runs=["run1"], seeds=[0, 2, 3])
BY_NETWORK = {
    "metrics/runs": ".json",
    "metrics/probe": ".json",
    "plots/history": ".csv",
    "data/predictions": ".csv",
    "models/runs": ".pth",
}
BY_RUN = {"metrics/attention": ".json", "metrics/faithfulness": ".json"}


class EnoughError(Exception):
    """The stage begins to read."""


def left(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


@pytest.fixture
def five(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a study of five seeds, each beside DVC's list of what git ignores."""
    monkeypatch.chdir(tmp_path)
    names = [name for of_run in FIVE.networks.values() for name in of_run]
    for folders, owners in ((BY_NETWORK, names), (BY_RUN, FIVE.runs)):
        for folder, suffix in folders.items():
            Path(folder).mkdir(parents=True)
            for name in (*(f"{owner}{suffix}" for owner in owners), ".gitignore"):
                Path(folder, name).write_text("x")
    for run in FIVE.runs:
        Path("plots/runs", run).mkdir(parents=True)
        Path("plots/runs", run, "gallery.jpg").write_text("x")


@pytest.mark.usefixtures("five")
def test_five_seeds_back_to_three_leave_no_file_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def enough(*_: Any, **__: Any) -> None:
        raise EnoughError

    monkeypatch.setattr(results, "by_seed", enough)
    monkeypatch.setattr(compare.dataset, "read_manifest", enough)
    monkeypatch.setattr(report, "read_claims", enough)
    values = {"study": THREE, "seed": 0, "data.classes": "rafdb11"}
    stages: list[Callable[[dict[str, Any]], None]] = [best.main, compare.main, report.main]
    for main in stages:
        with pytest.raises(EnoughError):
            main(values)
    for folder, suffix in BY_NETWORK.items():
        assert left(folder) == {".gitignore", *(f"run1-{seed}{suffix}" for seed in (0, 2, 3))}
    for folder, suffix in BY_RUN.items():
        assert left(folder) == {".gitignore", f"run1{suffix}"}
    assert left("plots/runs") == {"run1"}


@pytest.mark.usefixtures("five")
def test_a_stage_removes_only_from_folders_that_it_depends_on_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def enough(*_: Any) -> None:
        raise EnoughError

    monkeypatch.setattr(results, "by_seed", enough)
    with pytest.raises(EnoughError):
        best.main({"study": THREE})
    assert len(left("models/runs")) == len(left("metrics/runs")) == 1 + 3
    assert len(left("data/predictions")) == len(left("metrics/probe")) == 1 + 10
