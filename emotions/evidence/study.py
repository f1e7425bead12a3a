"""All measurements of a study, read in one place, for claims and report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from emotions.evidence.results import best_run, by_run, load
from emotions.evidence.verdicts import diagnose, measured_of


class Entry(BaseModel):
    """An entry of claims.yaml. Its measurement determines the optional keys it needs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claim: str
    number: int = Field(ge=1, le=7)
    measurement: str
    run: str = ""
    verdict: str = ""
    emotion: str = Field("", alias="class")
    threshold: float = 0.0
    margin: float = 0.0
    level: float = 0.0
    first: int = 0
    images: int = 0


@dataclass(frozen=True)
class Study:
    """All measurements. `runs`, `attention`, `faithfulness`, `probes`, `history`: by run name of params.yaml;
    `runs` includes each run's verdicts.

    `reference`: results of the starting network. `comparisons`: comparisons between runs. `curve`: result of
    `tools.learning_curve`, for whatever data and settings; empty where it was never run.
    """

    params: dict[str, Any]
    classes: tuple[str, ...]
    data: dict[str, Any]
    pretrained: dict[str, Any]
    runs: dict[str, dict[str, Any]]
    attention: dict[str, dict[str, Any]]
    faithfulness: dict[str, dict[str, Any]]
    reference: dict[str, Any]
    probes: dict[str, dict[str, Any]]
    comparisons: dict[str, Any]
    history: dict[str, pd.DataFrame]
    ledger: list[Entry]
    curve: dict[str, Any] = field(default_factory=dict)

    @property
    def titles(self) -> dict[str, str]:
        """Title of each run."""
        return {name: run["title"] for name, run in self.runs.items()}

    @property
    def train_counts(self) -> dict[str, int]:
        """Training images of each class."""
        return {c: self.data["compound"][c]["train"] for c in self.classes}

    @property
    def best(self) -> str:
        """Name of the best run by validation."""
        return best_run(self.runs)


def read(
    files: Mapping[str, str], params: dict[str, Any], classes: Sequence[str], *, ledger: list[Entry]
) -> Study:
    """Read all measurements of the stages, and add the verdicts.

    Args:
        files: the file of each measured field of `Study`; `{run}` in it stands for each run.
        params: groups of params.yaml; `runs` names the runs, `diagnosis` the thresholds of verdicts.
    """
    found = {
        name: by_run(file, params["runs"]) if "{run}" in file else load(Path(file))
        for name, file in files.items()
    }
    for name, run in found["runs"].items():
        of_run = measured_of(run, found["history"][name], found["probes"][name])
        run["verdicts"] = diagnose(of_run, params["diagnosis"])
    return Study(params=params, classes=tuple(classes), ledger=ledger, **found)
