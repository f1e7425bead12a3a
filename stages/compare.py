"""Compare the runs on the same test images, and find what their errors follow.

Usage: python -m stages.compare
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emotions.command import command
from emotions.data import dataset
from emotions.evidence import confusion_structure, intervals, metrics
from emotions.evidence.knobs import UncertaintyParams
from emotions.params_file import RunTitles
from emotions.random_streams import numpy_stream
from emotions.runtime import outs
from emotions.taxonomy import ClassSet, compound_classes

PARAMS = {"seed": int, "data.classes": ClassSet, "runs": RunTitles, "uncertainty": UncertaintyParams}
DATASET = Path("data/dataset_resnet_224.zip")


def main(values: dict[str, Any]) -> None:
    classes, names, seed = compound_classes(values["data.classes"]), list(values["runs"]), values["seed"]
    replicates, permutations = values["uncertainty"].replicates, values["uncertainty"].permutations
    rows = [r for r in dataset.read_manifest(DATASET) if r.role == "compound" and r.label in classes]

    def answers(name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
        """True and predicted classes, int [N] each, in one image order for all runs."""
        scored = pd.read_csv(f"data/predictions/{name}.csv").query("split == @split").sort_values("image")
        truth, predicted = (scored[column].map(classes.index).to_numpy() for column in ("label", "predicted"))
        return truth, predicted

    # The family of tests, fixed in advance: accuracy and macro-F1 on test, for every pair of runs.
    pairs: dict[str, dict[str, Any]] = {}
    p_values: dict[str, float] = {}
    for first, second in itertools.combinations(names, 2):
        pair, draws = f"{first} - {second}", numpy_stream(seed, "compare", first, second)
        (truth, one), (_, other) = answers(first, "test"), answers(second, "test")
        differences = intervals.paired_difference(
            truth, one, other, classes=len(classes), replicates=replicates, generator=draws
        )
        accuracy = intervals.mcnemar(one == truth, other == truth)
        pairs[pair] = {"accuracy": accuracy, **differences}
        p_values |= {f"{pair}/{metric}": pairs[pair][metric]["p"] for metric in ("accuracy", "macro_f1")}
    for key, adjusted in intervals.holm(p_values).items():
        pair, metric = key.split("/")
        pairs[pair][metric]["p_holm"] = adjusted

    train_counts = [sum(r.label == c and r.split == "train" for r in rows) for c in classes]
    units = confusion_structure.unit_rates(
        [(r.label, r.action_units) for r in rows if r.split == "train"], classes
    )
    errors = {}
    for name in names:
        confusion = metrics.confusion(*answers(name, "val"), len(classes))
        excess = confusion_structure.excess_confusions(confusion)
        streams = {what: numpy_stream(seed, what, name) for what in ("frequent", "structure")}
        errors[name] = {
            "frequent": confusion_structure.predicted_shares(
                confusion, train_counts, replicates, generator=streams["frequent"]
            ),
            "excess": [e | {k: classes[e[k]] for k in ("true", "predicted")} for e in excess],
            "structure": confusion_structure.structure(
                confusion, classes, units, permutations=permutations, generator=streams["structure"]
            ),
        }
    outs.write_json(Path("metrics/comparisons.json"), {"pairs": pairs, "errors": errors})


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
