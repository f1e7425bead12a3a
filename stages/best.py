"""Copy the weights of the best run by validation accuracy.

Usage: python -m stages.best
"""

from pathlib import Path
from typing import Any

from emotions.command import command
from emotions.evidence import results
from emotions.model import weight_files
from emotions.params_file import RunTitles
from emotions.runtime import outs

PARAMS = {"runs": RunTitles}
OUT = Path("models/best_resnet50.pth")


def main(values: dict[str, Any]) -> None:
    runs = values["runs"]
    measured = results.by_run("metrics/runs/{run}.json", runs)
    best = results.best_run(measured)
    weights = weight_files.read_checkpoint(Path(f"models/runs/{best}.pth"))
    scores = {split: measured[best]["selected"][split]["accuracy"] for split in ("train", "val", "test")}
    outs.write_torch(OUT, {**weights, "accuracy": scores})


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
