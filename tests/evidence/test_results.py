"""Files of the stages: which run is the best, and what a smaller study leaves behind."""

from pathlib import Path

import pytest

from emotions.evidence import results


def scored(**runs: list[tuple[float, float]]) -> dict:
    return {
        name: [{"selected": {"val": {"macro_f1": f1, "accuracy": accuracy}}} for f1, accuracy in networks]
        for name, networks in runs.items()
    }


@pytest.mark.parametrize(
    ("runs", "best"),
    [
        ({"run1": [(0.4, 0.9)], "run2": [(0.5, 0.1)]}, "run2"),
        ({"run1": [(0.5, 0.2)], "run2": [(0.5, 0.3)], "run3": [(0.4, 0.9)]}, "run2"),
        ({"second": [(0.5, 0.3)], "first": [(0.5, 0.3)]}, "second"),
        ({"only": [(0.0, 0.0)]}, "only"),
        # The mean decides, not the best seed, nor the first.
        ({"run1": [(0.9, 0.5), (0.1, 0.5)], "run2": [(0.5, 0.5), (0.6, 0.5)]}, "run2"),
    ],
)
def test_the_best_run_is_by_mean_macro_f1_then_accuracy_then_the_first_named(
    runs: dict[str, list[tuple[float, float]]], best: str
) -> None:
    assert results.best_run(scored(**runs)) == best


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_only_files_and_folders_of_the_study_stay(tmp_path: Path) -> None:
    for name in ("run1-0.json", "run1-1.json", "run1-10.json", "run2-0.json", "run1.json", ".gitignore"):
        (tmp_path / name).write_text("x")
    (tmp_path / "run3-0").mkdir()
    (tmp_path / "run3-0" / "gallery.jpg").write_text("x")
    results.remove_others(tmp_path, ["run1-0", "run1-1"])
    assert names_in(tmp_path) == [".gitignore", "run1-0.json", "run1-1.json"]


def test_a_folder_that_is_not_there_has_nothing_to_remove(tmp_path: Path) -> None:
    results.remove_others(tmp_path / "none", ["run1"])
    assert not (tmp_path / "none").exists()


def test_files_come_by_run_and_by_seed_in_the_order_of_the_study(tmp_path: Path) -> None:
    for name in ("a-0", "a-1", "b-0", "b-1"):
        (tmp_path / f"{name}.json").write_text(f'"{name}"')
    networks = {"b": ["b-1", "b-0"], "a": ["a-1", "a-0"]}
    found = results.by_seed(f"{tmp_path}/{{network}}.json", networks)
    assert list(found.items()) == list(networks.items())
