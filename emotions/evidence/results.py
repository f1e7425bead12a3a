"""Files written by the stages, by run, and the best run. Imports nothing that takes seconds."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def by_run(pattern: str, runs: Iterable[str]) -> dict[str, Any]:
    """Load the file of each run, e.g. `metrics/runs/{run}.json`."""
    return {run: load(Path(pattern.format(run=run))) for run in runs}


def load(path: Path) -> Any:
    """Load a stage's file: JSON as plain values, CSV as a data frame."""
    import pandas as pd

    return pd.read_csv(path) if path.suffix == ".csv" else json.loads(path.read_text(encoding="utf-8"))


def best_run(metrics: Mapping[str, dict[str, Any]]) -> str:
    """Name of the run with the best validation accuracy, then macro-F1, then the first named."""

    def merit(name: str) -> tuple[float, float]:
        val = metrics[name]["selected"]["val"]
        return val["accuracy"], val["macro_f1"]

    return max(metrics, key=merit)
