"""All measurements of a study, read in one place, for claims and report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from emotions.evidence.pooled import pooled
from emotions.evidence.results import best_run, by_run, by_seed, load
from emotions.evidence.single_knobs import SingleKnob, longer, single_knobs
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
    """All measurements. By run name of params.yaml: `networks`, the scores of each seed's network; `runs`,
    the same pooled over seeds, with each run's verdicts; `probes`, pooled, too; `history`, the training
    histories of all seeds (column `seed`); `attention`, `faithfulness`, of the first seed's network.

    `reference`: results of the starting network. `comparisons`: comparisons between runs. `knobs`: pairs of
    runs that differ in one knob (`single_knobs`).
    """

    params: dict[str, Any]
    classes: tuple[str, ...]
    data: dict[str, Any]
    pretrained: dict[str, Any]
    networks: dict[str, list[dict[str, Any]]]
    runs: dict[str, dict[str, Any]]
    attention: dict[str, dict[str, Any]]
    faithfulness: dict[str, dict[str, Any]]
    reference: dict[str, Any]
    probes: dict[str, dict[str, Any]]
    comparisons: dict[str, Any]
    history: dict[str, pd.DataFrame]
    ledger: list[Entry]
    knobs: list[SingleKnob]

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
        return best_run(self.networks)

    @property
    def seeds(self) -> list[int]:
        """The seeds that each run was trained with."""
        return list(self.params["study"].seeds)


def read(
    files: Mapping[str, str], params: dict[str, Any], classes: Sequence[str], *, ledger: list[Entry]
) -> Study:
    """Read all measurements of the stages, pool the seeds, and add the verdicts.

    Args:
        files: the file of each measured field of `Study`; `{run}` in it stands for each run, `{network}` for
            each run and seed.
        params: groups of params.yaml; `study` names runs and seeds, `diagnosis` the thresholds of verdicts.
    """
    study = params["study"]
    found: dict[str, Any] = {}
    for name, file in files.items():
        if "{network}" in file:
            found[name] = by_seed(file, study.networks)
        else:
            found[name] = by_run(file, study.runs) if "{run}" in file else load(Path(file))
    found["history"] = {
        run: pd.concat([one.assign(seed=seed) for seed, one in zip(study.seeds, frames, strict=True)])
        for run, frames in found["history"].items()
    }
    found["probes"] = {run: pooled(probes) for run, probes in found["probes"].items()}
    found["runs"] = {run: pooled(networks) for run, networks in found["networks"].items()}
    recipes = {name: run.model_dump() for name, run in params["runs"].items()}
    found["knobs"] = single_knobs(recipes, params["train"], found["networks"])
    for name, run in found["runs"].items():
        of_run = measured_of(
            found["networks"][name],
            found["history"][name],
            found["probes"][name],
            longer=longer(name, found["knobs"]),
        )
        run["verdicts"] = diagnose(of_run, params["diagnosis"])
    return Study(params=params, classes=tuple(classes), ledger=ledger, **found)
