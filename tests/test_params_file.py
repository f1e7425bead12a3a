"""params.yaml: a stage reads what it names, and a mistake is told with the key's full path."""

from pathlib import Path
from typing import Any

import pytest
from dvc.fs import LocalFileSystem
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import load_path
from pydantic import Field

from emotions import params_file
from emotions.model.knobs import InferenceParams
from emotions.params_file import Group, ParamsError, RunTitles, StudyParams
from emotions.taxonomy import ClassSet
from emotions.training.knobs import OptimisationParams, RunParams, TrainParams

TEXT = """
seed: 3
data: {source: synthetic, classes: rafdb11}
train: {image_size: 32, epochs: 2, batch_size: 4, optimizer: adam, weight_decay: 0.0,
        precision: float32, threads: 1, store_gb: 1.0, fraction: 1.0}
runs:
  run1:
    title: First
    trainable_parts: [layer4, head]
    lr: {body: 1.0e-4, head: 1.0e-3}
    mixup_alpha: 0
    dropout: 0.5
    augmentation: none
"""


class Thresholds(Group):
    low: float = Field(gt=0)
    name: str = "x"


def read(folder: Path, text: str, groups: dict[str, Any], **names: str) -> dict[str, Any]:
    path = folder / "params.yaml"
    path.write_text(text)
    return params_file.read(path, groups, **names)


def test_values_come_under_the_keys_as_they_were_asked_for(tmp_path: Path) -> None:
    groups = {"seed": int, "data.classes": ClassSet, "runs.{run}": RunParams}
    values = read(tmp_path, TEXT, groups, run="run1")
    assert list(values) == list(groups)
    assert values["seed"] == 3
    assert values["data.classes"] == "rafdb11"
    assert values["runs.{run}"].lr.head == 1e-3


@pytest.mark.parametrize(
    ("key", "missing"), [("data.votes", "data.votes"), ("runs.{run}.title", "runs.run9.title")]
)
def test_a_missing_key_is_named_in_full(tmp_path: Path, key: str, missing: str) -> None:
    with pytest.raises(ParamsError, match=f"key '{missing}' is missing"):
        read(tmp_path, TEXT, {key: str}, run="run9")


def test_a_key_below_a_plain_value_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"key 'seed.order' is missing"):
        read(tmp_path, TEXT, {"seed.order": int})


def test_an_unknown_key_is_named_in_full(tmp_path: Path) -> None:
    text = TEXT.replace("dropout: 0.5", "dropuot: 0.5")
    with pytest.raises(ParamsError) as caught:
        read(tmp_path, text, {"runs.{run}": RunParams}, run="run1")
    assert "runs.run1.dropuot: Extra inputs are not permitted" in str(caught.value)
    assert "runs.run1.dropout: Field required" in str(caught.value)


def test_a_wrong_value_is_named_with_the_path_down_to_it(tmp_path: Path) -> None:
    text = TEXT.replace("[layer4, head]", "[layer4, tail]").replace("body: 1.0e-4", "body: -1.0")
    with pytest.raises(ParamsError) as caught:
        read(tmp_path, text, {"runs.{run}": RunParams}, run="run1")
    assert "runs.run1.trainable_parts.1" in str(caught.value)
    assert "runs.run1.lr.body" in str(caught.value)
    assert "'tail'" in str(caught.value)


@pytest.mark.parametrize("text", ["1.0e-3", "0.001", "1.0E-3", "1e-3", "1e-03"])
def test_a_number_is_read_in_every_way_that_yaml_knows(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, f"checks: {{low: {text}}}", {"checks": Thresholds})["checks"].low == 1e-3


@pytest.mark.parametrize("text", ["1e-3px", "'0.001'", "yes"])
def test_what_is_no_number_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ParamsError, match=r"checks\.low: Input should be a valid number"):
        read(tmp_path, f"checks: {{low: {text}}}", {"checks": Thresholds})


@pytest.mark.parametrize("value", ["'3'", "3.5", "true", "[3]", "null", "three"])
def test_a_value_of_another_type_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ParamsError, match="seed: Input should be a valid integer"):
        read(tmp_path, f"seed: {value}", {"seed": int})


def test_a_whole_number_may_stand_for_a_fraction(tmp_path: Path) -> None:
    assert read(tmp_path, "checks: {low: 1}", {"checks": Thresholds})["checks"].low == 1.0


def test_a_stage_that_needs_a_part_of_train_ignores_the_other_keys_but_the_whole_group_does_not(
    tmp_path: Path,
) -> None:
    text = TEXT.replace("threads: 1", "threads: 1, epcohs: 4")
    assert read(tmp_path, text, {"train": InferenceParams})["train"].threads == 1
    assert read(tmp_path, text, {"train": OptimisationParams})["train"].batch_size == 4
    with pytest.raises(ParamsError, match=r"train\.epcohs: Extra inputs"):
        read(tmp_path, text, {"train": TrainParams})


def test_groups_do_not_change_after_reading(tmp_path: Path) -> None:
    train = read(tmp_path, TEXT, {"train": TrainParams})["train"]
    with pytest.raises(ValueError, match="frozen"):
        train.epochs = 9


@pytest.mark.parametrize("name", ["run-2", "a/b", "..", "2nd", "''"])
def test_a_run_whose_name_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParamsError, match="letters, digits and _ only"):
        read(tmp_path, f"runs: {{{name}: {{}}}}", {"runs": RunTitles})


def test_a_study_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="at least one"):
        read(tmp_path, "runs: {}", {"runs": RunTitles})


def test_networks_are_named_by_run_and_seed_in_the_order_of_the_study(tmp_path: Path) -> None:
    study = read(tmp_path, "study: {runs: [b, a], seeds: [3, 0]}", {"study": StudyParams})["study"]
    assert list(study.networks.items()) == [("b", ["b-3", "b-0"]), ("a", ["a-3", "a-0"])]


ANCHORED = """
study: {runs: [run1, run1_more], seeds: [0]}
runs:
  run1: &run1
    title: One
    trainable_parts: [head]
    lr: {body: 1.0e-4, head: 1.0e-3}
    mixup_alpha: 0.0
    dropout: 0.0
    augmentation: standard
  run1_more: {<<: *run1, title: More, epochs: 3}
"""


@pytest.mark.parametrize("change", ["study.seeds=[0,1]", "runs.run1.dropout=0.5", "runs.run1_more.epochs=9"])
def test_runs_that_repeat_another_are_read_as_dvc_reads_them_and_survive_a_change(
    tmp_path: Path, change: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(ANCHORED)
    whole = {"study": StudyParams, "runs": dict[str, RunParams]}
    before = params_file.read(path, whole)
    assert before["runs"]["run1_more"].lr == before["runs"]["run1"].lr
    assert before["runs"]["run1_more"].title == "More"
    assert load_path(path, LocalFileSystem()) == params_file.load(path)

    apply_overrides(path, [change])
    assert load_path(path, LocalFileSystem()) == params_file.load(path)
    after = params_file.read(path, whole)
    assert after != before
    assert after["runs"]["run1_more"].title == "More"
    assert after["runs"]["run1_more"].lr == before["runs"]["run1"].lr


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "seed"])
def test_a_file_that_holds_no_groups_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ParamsError, match="must hold groups of keys"):
        read(tmp_path, text, {"seed": int})


def test_broken_yaml_is_named_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"params\.yaml is not valid YAML"):
        read(tmp_path, "seed: [1", {"seed": int})
