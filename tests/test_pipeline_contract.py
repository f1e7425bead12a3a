"""dvc.yaml against the code: a stage's deps, params and outs are exactly what its script imports, reads and
writes."""

import ast
import importlib
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from imported import ROOT, code_dependencies
from pydantic import BaseModel

from emotions import params_file
from emotions.evidence.single_knobs import settings
from emotions.params_file import StudyParams
from emotions.training.knobs import RunParams

STAGES: dict[str, dict[str, Any]] = {
    name: stage.get("do", stage)
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items()
}
KNOBS = params_file.read(
    ROOT / "params.yaml", {"study": StudyParams, "train": dict[str, Any], "runs": dict[str, RunParams]}
)
CODE = ("emotions/", "stages/", "vlm/ask.py", "vlm/score.py", "vlm/shared")
VERSIONS = "versions.txt"
WITHOUT_ARITHMETIC = ("best", "report")
"""Stages that copy and tabulate: no library's version decides their numbers."""


def paths(entries: list[Any]) -> list[str]:
    """Paths of a deps, outs or plots list, placeholders of a run or a network as `{run}`."""
    return [RUN.sub("{run}", e if isinstance(e, str) else next(iter(e))) for e in entries]


RUN = re.compile(r"\$\{(key|item(\.run)?)}(-\$\{study\.seeds\[0]})?")
"""A run in dvc.yaml, or one of its networks: `${key}` of a matrix is `run1-0`."""
DATA = r"(data|models|metrics|plots|report)/[\w{}./]+|claims\.yaml"


def data_paths_in(script: Path, pattern: str = DATA) -> set[str]:
    """Every path under the data folders, and input beside them, that a stage's script names; a name in an
    f-string is the run's."""
    found = set()
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "{run}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if re.fullmatch(pattern, text):
            found.add(text)
    # constants inside an f-string are visited on their own, too: drop those that are only its beginning
    return {
        f for f in found if not any(o != f and o.startswith(f + "{") for o in found) and not f.endswith("/")
    }


def covers(path: str, other: str) -> bool:
    return other == path or other.startswith(path.rstrip("/") + "/")


def code_and_versions(stage: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Of a stage's deps the code and versions.txt; and the others."""
    listed = paths(stage["deps"])
    code = [d for d in listed if d.startswith(CODE) or d == VERSIONS]
    return code, [d for d in listed if d not in code]


@pytest.mark.parametrize("name", STAGES)
def test_code_dependencies_are_the_script_and_the_packages_it_imports(name: str) -> None:
    code, _ = code_and_versions(STAGES[name])
    wanted = code_dependencies(f"stages/{name}.py") | (set() if name in WITHOUT_ARITHMETIC else {VERSIONS})
    assert set(code) == wanted, f"dvc.yaml: deps of {name}"
    assert code[0] == f"stages/{name}.py"


@pytest.mark.parametrize("name", STAGES)
def test_data_dependencies_and_outs_are_the_paths_the_script_names(name: str) -> None:
    stage = STAGES[name]
    _, declared = code_and_versions(stage)
    declared = [re.sub(r"/\$\{data\.source}$", "", p) for p in declared]
    declared += paths(stage.get("outs", [])) + paths(stage.get("plots", []))
    named = data_paths_in(ROOT / "stages" / f"{name}.py")
    assert {n for n in named if not any(covers(d, n) for d in declared)} == set(), (
        "read or written, not declared"
    )
    assert {d for d in declared if not any(covers(d, n) for n in named)} == set(), (
        "declared, not read or written"
    )


@pytest.mark.parametrize("name", STAGES)
def test_params_are_exactly_what_the_script_reads(name: str) -> None:
    module = importlib.import_module(f"stages.{name}")
    groups: dict[str, Any] = getattr(module, "PARAMS", {})
    expected = []
    for key, kind in groups.items():
        partial = (
            isinstance(kind, type)
            and issubclass(kind, BaseModel)
            and kind.model_config.get("extra") == "ignore"
            # DVC refuses a param that is not there, and a key with a default may be left out.
            and all(field.is_required() for field in kind.model_fields.values())
        )
        expected += [f"{key}.{field}" for field in kind.model_fields] if partial else [key]
    assert sorted(RUN.sub("{run}", key) for key in STAGES[name].get("params", [])) == sorted(expected)
    source = (ROOT / "stages" / f"{name}.py").read_text()
    for key in groups:
        uses = (
            len(re.findall(re.escape(f'"{key}"'), source))
            + source.count("study.params")
            + source.count("read(MEASURED, values")
        )
        assert uses >= 2, f"{name} reads {key} and does not use it"


VLM: dict[str, dict[str, Any]] = {
    name: stage.get("do", stage)
    for name, stage in yaml.safe_load((ROOT / "vlm/dvc.yaml").read_text())["stages"].items()
}


@pytest.mark.parametrize("name", VLM)
def test_a_stage_of_the_second_pipeline_lists_its_code_paths_and_params(name: str) -> None:
    stage, script = VLM[name], ROOT / "vlm" / f"{name}.py"
    code, declared = code_and_versions(stage)
    assert set(code) == code_dependencies(f"vlm/{name}.py") | {VERSIONS}, f"vlm/dvc.yaml: deps of {name}"
    declared += paths(stage.get("outs", []))
    pattern = r"(data|metrics|vlm/(answers|metrics|plots|prompts|report))/[\w{}./]+"
    named = {n.replace("{name}", "{run}") for n in data_paths_in(script, pattern)}
    declared = [re.sub(r"\$\{item\.prompt}", "{run}", d) for d in declared]
    assert {n for n in named if not any(covers(d, n) for d in declared)} == set()
    assert {d for d in declared if not any(covers(d, n) for n in named)} == set()
    module = importlib.import_module(f"vlm.{name}")
    (own,) = (p["vlm/params.yaml"] for p in stage["params"] if isinstance(p, dict))
    assert {p for p in stage["params"] if isinstance(p, str)} == set(module.STUDY)
    assert own == [key.replace("{way}", "${key}") for key in module.OWN]


def test_the_two_pipelines_share_no_output_and_the_first_knows_nothing_of_the_second() -> None:
    every = [
        path
        for stages in (STAGES, VLM)
        for stage in stages.values()
        for kind in ("outs", "plots", "metrics")
        for path in paths(stage.get(kind, []))
    ]
    assert len(every) == len(set(every))
    for stage in STAGES.values():
        assert not any(
            "vlm" in path for path in paths(stage["deps"]) if path != "emotions/reporting/templates"
        )
    for stage in VLM.values():
        assert stage["wdir"] == "..", "its paths are from the root, as all are"


def test_dvc_asks_for_no_metrics_of_the_second_pipeline_where_it_was_not_run() -> None:
    for stage in VLM.values():
        assert not stage.keys() & {"metrics", "plots"}, "`dvc metrics diff` would complain of them"


def test_what_shows_or_names_images_is_ignored_by_git() -> None:
    for stage in VLM.values():
        for entry in stage.get("outs", []):
            path, options = next(iter(entry.items()))
            assert options == {"cache": False}, "dvc checkout would miss it where this was never run"
    for path in (
        "vlm/answers/zero_shot.json",
        "vlm/answers/another.json",
        "vlm/report/report.html",
        "data/raw/rafce/RAFCE_emolabel.txt",
        "data/predictions/another_run.csv",
        "plots/runs/another_run/gallery.jpg",
        "plots/runs/another_run/confusions.jpg",
        ".answers/x.jsonl",
    ):
        done = subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False)
        assert done.returncode == 0, f"{path} would be committed"


@pytest.mark.parametrize(
    ("change", "was", "now"),
    [
        ("runs.run2.dropout=0.3", "dropout: 0.6", "dropout: 0.3"),
        ("runs.run1.lr.head=0.25", "lr: {body: 1.0e-4, head: 1.0e-4}", "lr: {body: 1.0e-4, head: 0.25}"),
        (
            "runs.run1_longer.lr.head=0.25",
            "lr: {body: 1.0e-4, head: 1.0e-4}",
            "lr: {body: 1.0e-4, head: 0.25}",
        ),
    ],
)
def test_an_experiment_changes_the_line_of_its_knob_alone(
    tmp_path: Path, change: str, was: str, now: str
) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    apply_overrides(tmp_path / "params.yaml", [change])
    before, after = ((folder / "params.yaml").read_text().splitlines() for folder in (ROOT, tmp_path))
    assert len(before) == len(after), "write params.yaml as DVC does"
    assert [(a.strip(), b.strip()) for a, b in zip(before, after, strict=True) if a != b] == [(was, now)]


def test_more_and_fewer_runs_and_seeds_change_their_own_lines_alone(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    for changes in (["study.seeds=[0,1,2,3,4]"], ["study.runs=[run1,run4]", "study.seeds=[0]"]):
        path.write_bytes((ROOT / "params.yaml").read_bytes())
        apply_overrides(path, changes)
        before, after = (
            Counter((folder / "params.yaml").read_text().splitlines()) for folder in (ROOT, tmp_path)
        )
        moved = (before - after) | (after - before)
        assert all(re.fullmatch(r"  - (run)?\d", line) for line in moved), moved


@pytest.mark.parametrize("name", [n for n in KNOBS["runs"] if n not in KNOBS["study"].runs])
def test_a_run_that_waits_differs_from_one_of_the_study_in_one_knob(name: str) -> None:
    """So that adding it to study.runs is an experiment about that knob."""
    recipes = {n: run.model_dump() for n, run in KNOBS["runs"].items()}
    waiting = settings(recipes[name], KNOBS["train"])
    differing = [
        sum(waiting.get(key) != own.get(key) for key in waiting | own)
        for own in (settings(recipes[n], KNOBS["train"]) for n in KNOBS["study"].runs)
    ]
    assert min(differing) == 1


def test_no_stage_depends_on_a_folder_that_holds_an_out_of_its_own() -> None:
    for name, stage in STAGES.items():
        outs = paths(stage.get("outs", [])) + paths(stage.get("plots", []))
        for dep in paths(stage["deps"]):
            assert not any(covers(dep, out) for out in outs), f"{name} depends on {dep}"


FOLDERS_OF_TABLES = ("plots/confusion", "plots/per_class")
"""Outs of a table for each run: counts by class."""


def test_nothing_that_shows_or_names_a_person_is_an_out_in_git() -> None:
    for stage in STAGES.values():
        for entry in stage.get("outs", []) + stage.get("plots", []):
            path, options = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
            if not options.get("cache", True):
                assert path.endswith((".json", ".csv", ".png", ".md")) or path in FOLDERS_OF_TABLES, path
                assert "gallery" not in path and not path.startswith(("data/", "models/")), path
            else:
                assert path.startswith(("data/", "models/")) or path.endswith((".jpg", ".html")), path
