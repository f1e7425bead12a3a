"""Checks all of params.yaml before a stage computes, so that no knob is refused after hours.

It returns nothing, so it is not a dependency of a stage; a stage depends on the groups that it uses.
"""

import difflib
import re
import shlex
import shutil
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from emotions import params_file
from emotions.attention.knobs import AttentionError, FaithfulnessParams, GradcamParams, choose_cam_layer
from emotions.data.knobs import PreprocessParams
from emotions.evidence.knobs import DiagnosisParams, EvaluateParams, ProbeParams, UncertaintyParams
from emotions.params_file import Group, ParamsError, StudyParams, usable_names
from emotions.reporting.knobs import ReportParams
from emotions.sources import SOURCES, DataParams
from emotions.training.knobs import PretrainedParams, RunParams, TrainParams

Runs = Annotated[dict[str, RunParams], AfterValidator(usable_names)]


class Tolerance(Group):
    """Allowed change of a metric, by its kind, on a machine that rounds differently; fractions.

    `accuracy` holds for all that counts right answers, differences of two such among them.
    """

    accuracy: float = Field(ge=0, le=1)
    macro_f1: float = Field(ge=0, le=1)
    heat: float = Field(ge=0, le=1)

    def of(self, key: str) -> float:
        """That of a metric, by its dotted key."""
        return self.macro_f1 if "macro_f1" in key else self.heat if "heat" in key else self.accuracy

    def __str__(self) -> str:
        return ", ".join(f"{kind} {allowed:g}" for kind, allowed in self)


class VerifyParams(Group):
    """Knobs of `tools.referee.verify`."""

    tolerance: Tolerance


class Params(Group):
    """The whole of params.yaml. `launcher`: the command that starts a training, `python` or `torchrun`."""

    seed: int
    study: StudyParams
    launcher: str = Field(min_length=1)
    data: DataParams
    preprocess: PreprocessParams
    pretrained: PretrainedParams
    train: TrainParams
    runs: Runs
    evaluate: EvaluateParams
    probe: ProbeParams
    uncertainty: UncertaintyParams
    gradcam: GradcamParams
    faithfulness: FaithfulnessParams
    diagnosis: DiagnosisParams
    verify: VerifyParams
    report: ReportParams


def check(path: Path) -> None:
    """Check every knob of a params.yaml, and knobs against each other.

    Raises:
        ParamsError: a knob is wrong; the message lists every fault with its key and what is allowed.
    """
    content = params_file.load(path)
    try:
        params = Params.model_validate(content, strict=True)
    except ValidationError as error:
        raise ParamsError(f"{path}: {'; '.join(map(_sentence, error.errors()))}") from error
    if faults := list(_faults(params)):
        raise ParamsError(f"{path}: {'; '.join(faults)}")


def _faults(params: Params) -> Iterator[str]:
    """Faults that no check of a single value finds."""
    try:
        choose_cam_layer(params.train.image_size, params.gradcam.min_grid)
    except AttentionError as error:
        yield str(error)
    if unknown := [name for name in params.study.runs if name not in params.runs]:
        near = difflib.get_close_matches(unknown[0], params.runs, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"runs are {', '.join(params.runs)}"
        yield f"study.runs names {', '.join(unknown)}, which `runs` does not have; {hint}"
    for name, run in params.runs.items():
        if name not in params.study.runs:
            continue
        epochs = run.epochs or params.train.epochs
        if run.warmup_epochs and run.warmup_epochs >= epochs:
            yield f"runs.{name}.warmup_epochs is {run.warmup_epochs:g} of {epochs} epochs; lower it"
        if run.soft_labels and not SOURCES[params.data.source].soft_labels:
            yield (
                f"runs.{name}.soft_labels is {run.soft_labels:g}, but images of data.source "
                f"{params.data.source} have no votes; set it to 0"
            )
    yield from _launcher_faults(params)


def _launcher_faults(params: Params) -> Iterator[str]:
    command = shlex.split(params.launcher)
    if shutil.which(command[0]) is None:
        yield f"launcher: {command[0]!r} is not a command here; use python, or torchrun with its options"
        return
    processes, batch = _processes(params.launcher), params.train.batch_size
    if processes is None or processes == 1:
        return
    if batch % processes:
        yield (
            f"train.batch_size is {batch}, which {processes} processes cannot share evenly; "
            f"set it to {max(1, batch // processes) * processes}"
        )
    elif batch == processes:
        trained = {name: run for name, run in params.runs.items() if name in params.study.runs}
        normed = [name for name, run in trained.items() if set(run.trainable_parts) != {"head"}]
        if normed or params.pretrained.basic_emotions.epochs:
            yield (
                f"train.batch_size is {batch}: each of {processes} processes would give batch norm 1 image; "
                f"set it to {2 * processes} or more"
            )


def _processes(launcher: str) -> int | None:
    """Number of processes a launcher starts in all; None if its options do not give a number."""
    options = dict(re.findall(r"--?([\w-]+)[= ](\S+)", launcher))
    options = {name.replace("-", "_"): value for name, value in options.items()}
    each, machines = options.get("nproc_per_node", "1"), options.get("nnodes", "1")
    whole = options.get("num_processes", "")
    if whole.isdigit():
        return int(whole)
    return int(each) * int(machines) if each.isdigit() and machines.isdigit() else None


def _sentence(fault: Any) -> str:
    """A pydantic error, worded for the person who wrote the file."""
    keys = [str(part) for part in fault["loc"]]
    name = ".".join(keys)
    if fault["type"] == "missing":
        return f"key {name!r} is missing"
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(keys[-1], _known(Params, keys[:-1]), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "remove it"
        return f"{name} is not a knob; {hint}"
    return f"{name}: {fault['msg']} (got {fault['input']!r})"


def _known(kind: Any, keys: list[str]) -> list[str]:
    """Knob names of the group at the path `keys` in a model."""
    while typing.get_origin(kind) is Annotated or isinstance(kind, types.UnionType):
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) is dict:
        return _known(typing.get_args(kind)[1], keys[1:]) if keys else []
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return []
    if not keys:
        return list(kind.model_fields)
    field = kind.model_fields.get(keys[0])
    return _known(field.annotation, keys[1:]) if field else []
