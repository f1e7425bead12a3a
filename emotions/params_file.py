"""Reads the groups of params.yaml that a stage names, and nothing else.

A stage states what it reads in one constant, `{"train": TrainParams, "data.classes": ClassSet}`; the pydantic
model of each group stands in the module that uses it.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)


class ParamsError(ValueError):
    """params.yaml cannot be used; the message names the key and what it may be."""


class Group(BaseModel):
    """Base of every params group: unknown keys are errors and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def usable_names(names: dict[str, Any]) -> dict[str, Any]:
    """Return the blocks of `runs` if every name can be a file name.

    Raises:
        ValueError: a name cannot be a file name, or there is no run.
    """
    for name in names:
        if not name.isidentifier():
            raise ValueError(f"{name!r}: a run's name becomes a file name; use letters, digits and _ only")
    if not names:
        raise ValueError("no run is named; the study needs at least one")
    return names


class StudyParams(Group):
    """Group `study`: names of the runs, each trained once with each of the seeds."""

    runs: list[str] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_once(self) -> "StudyParams":
        for key, values in (("runs", self.runs), ("seeds", self.seeds)):
            if twice := [str(v) for v, times in Counter(values).items() if times > 1]:
                raise ValueError(f"{key}: {', '.join(twice)} stands there twice")
        return self

    @property
    def networks(self) -> dict[str, list[str]]:
        """Names of each run's networks, one a seed: `run1-0`."""
        return {run: [f"{run}-{seed}" for seed in self.seeds] for run in self.runs}


class _Yaml12Floats(yaml.SafeLoader):
    """Safe loader that reads `1e-05` as a number, as YAML 1.2 does and as DVC writes it."""


_Yaml12Floats.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)

RunTitles = Annotated[dict[str, Any], AfterValidator(usable_names)]
"""The `runs` group where only the names and titles of the runs matter."""


def parse(text: str) -> Any:
    """Parse a YAML text (safe loader; numbers as DVC writes them)."""
    return yaml.load(text, _Yaml12Floats)  # noqa: S506 - a SafeLoader


def groups_of(text: str, name: str) -> dict[str, Any]:
    """The groups of a params file as nested dicts.

    Raises:
        ParamsError: `text` is not YAML or not a mapping; the message holds `name`.
    """
    try:
        content = parse(text)
    except yaml.YAMLError as error:
        raise ParamsError(f"{name} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ParamsError(f"{name} must hold groups of keys, e.g. `seed: 0`")
    return content


def load(path: Path) -> dict[str, Any]:
    """The whole file as nested dicts.

    Raises:
        ParamsError: the file is not there or cannot be used.
    """
    try:
        return groups_of(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError as error:
        raise ParamsError(f"{path} is not here; run this in the folder of the study") from error


def read(path: Path, groups: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """Validated values of `groups`, a dict from dotted key to type.

    A key may hold a placeholder: `"runs.{run}"` with `run="run2"` reads `runs.run2`; the result keeps the key
    as written in `groups`.

    Raises:
        ParamsError: a missing or unknown key, or a value of the wrong type; the message holds the key's full
        path.
    """
    content = load(path)
    values: dict[str, Any] = {}
    for pattern, kind in groups.items():
        key = pattern.format(**names)
        node: Any = content
        for part in key.split("."):
            if not isinstance(node, dict) or part not in node:
                raise ParamsError(f"{path}: key {key!r} is missing")
            node = node[part]
        try:
            values[pattern] = TypeAdapter(kind).validate_python(node, strict=True)
        except ValidationError as error:
            details = "; ".join(
                ".".join([key, *map(str, e["loc"])]) + f": {e['msg']} (got {e['input']!r})"
                for e in error.errors()
            )
            raise ParamsError(f"{path}: {details}") from error
    return values
