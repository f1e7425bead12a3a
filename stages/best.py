"""Copy the weights of the best run by validation macro-F1: those of its first seed.

Usage: python -m stages.best
"""

from pathlib import Path
from typing import Any

from emotions.command import command
from emotions.evidence import results
from emotions.model import weight_files
from emotions.params_file import StudyParams
from emotions.runtime import outs

PARAMS = {"study": StudyParams}
OUT = Path("models/best_resnet50.pth")


def main(values: dict[str, Any]) -> None:
    networks = values["study"].networks
    names = [name for of_run in networks.values() for name in of_run]
    for folder in ("metrics/runs", "models/runs"):
        results.remove_others(Path(folder), names)
    measured = results.by_seed("metrics/runs/{network}.json", networks)
    best = results.best_run(measured)
    weights = weight_files.read_checkpoint(Path(f"models/runs/{networks[best][0]}.pth"))
    scores = {split: measured[best][0]["selected"][split]["accuracy"] for split in ("train", "val", "test")}
    outs.write_torch(OUT, {**weights, "accuracy": scores})


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
