"""Copy the weights of the best run by validation accuracy.

Usage: python -m stages.best
"""

import json
from pathlib import Path
from typing import Any

from rafce import network, outs, scoring
from rafce.params import RunTitles
from stages import command

PARAMS = {"runs": RunTitles}
OUT = Path("models/best_resnet50.pth")


def main(values: dict[str, Any]) -> None:
    runs = values["runs"]
    metrics = {name: json.loads(Path(f"metrics/runs/{name}.json").read_text()) for name in runs}
    best = scoring.best_run(metrics)
    weights = network.read_checkpoint(Path(f"models/runs/{best}.pth"))
    scores = {split: metrics[best]["selected"][split]["accuracy"] for split in ("train", "val", "test")}
    outs.write_torch(OUT, {**weights, "accuracy": scores})


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
