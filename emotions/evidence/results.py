"""Files written by the stages, by run, and the best run. Imports nothing that takes seconds."""

import json
import logging
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

log = logging.getLogger(__name__)


def by_run(pattern: str, runs: Iterable[str]) -> dict[str, Any]:
    """Load the file of each run, e.g. `metrics/runs/{run}.json`."""
    return {run: load(Path(pattern.format(run=run))) for run in runs}


def by_seed(pattern: str, networks: Mapping[str, Sequence[str]]) -> dict[str, list[Any]]:
    """Load the file of each network, e.g. `metrics/runs/{network}.json`: for each run a list, one a seed."""
    return {run: [load(Path(pattern.format(network=n))) for n in names] for run, names in networks.items()}


def remove_others(folder: Path, names: Collection[str]) -> None:
    """Delete files and folders of runs and networks that params.yaml no longer names.

    A stage that depends on the whole folder would otherwise depend on them.

    Args:
        names: the runs or networks that stay; a file belongs to the one that its stem names.
    """
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if path.stem in names or path.name.startswith("."):
            continue
        log.info(f"{path} is of no run or seed in params.yaml, and goes")
        # Another stage may delete it at the same moment.
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def load(path: Path) -> Any:
    """Load a stage's file: JSON as plain values, CSV as a data frame."""
    import pandas as pd

    return pd.read_csv(path) if path.suffix == ".csv" else json.loads(path.read_text(encoding="utf-8"))


def best_run(metrics: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Name of the run with the highest mean validation macro-F1, then accuracy, then the first named.

    Args:
        metrics: by run, the metrics of its networks.
    """

    def merit(name: str) -> tuple[float, float]:
        scores = [network["selected"]["val"] for network in metrics[name]]
        return fmean(s["macro_f1"] for s in scores), fmean(s["accuracy"] for s in scores)

    return max(metrics, key=merit)
