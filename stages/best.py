"""Copy the weights of the best run by validation accuracy.

Usage: python -m stages.best
"""

import json
from pathlib import Path

from rafce import network, outs, params, scoring
from rafce.params import RunTitles

PARAMS = {"runs": RunTitles}
OUT = Path("models/best_resnet50.pth")


def main() -> None:
    runs = params.read(Path("params.yaml"), PARAMS)["runs"]
    metrics = {name: json.loads(Path(f"metrics/runs/{name}.json").read_text()) for name in runs}
    best = scoring.best_run(metrics)
    weights = network.read_checkpoint(Path(f"models/runs/{best}.pth"))
    scores = {split: metrics[best]["selected"][split]["accuracy"] for split in ("train", "val", "test")}
    outs.write_torch(OUT, {**weights, "accuracy": scores})


if __name__ == "__main__":
    main()
