"""Compare the runs on the same test images, and find what their errors follow.

Usage: python -m stages.compare
"""

import itertools
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from emotions.command import command
from emotions.data import dataset
from emotions.evidence import confusion_structure, crossed, intervals, metrics, pooled, results
from emotions.evidence.knobs import UncertaintyParams
from emotions.params_file import StudyParams
from emotions.random_streams import numpy_stream
from emotions.runtime import outs
from emotions.taxonomy import COMPOUND, ClassSet, compound_classes

PARAMS = {
    "seed": int,
    "study": StudyParams,
    "data.classes": ClassSet,
    "uncertainty": UncertaintyParams,
}
DATASET = Path("data/dataset_resnet_224.zip")
PRIMARY: Final = "macro_f1"
"""Metric of the tests between runs, which are corrected for their number."""
SECONDARY: Final = "accuracy"
"""Metric of the tests that stand beside these."""


def main(values: dict[str, Any]) -> None:
    classes, seed, networks = (
        compound_classes(values["data.classes"]),
        values["seed"],
        values["study"].networks,
    )
    results.remove_others(Path("data/predictions"), [n for names in networks.values() for n in names])
    rows = [r for r in dataset.read_manifest(DATASET) if r.role == "compound" and r.label in classes]

    def answers(run: str, split: str) -> tuple[np.ndarray, np.ndarray]:
        """True classes [N] and predicted ones [S, N] of a run's networks, in one image order for all."""
        scored = (pd.read_csv(f"data/predictions/{name}.csv") for name in networks[run])
        tables = [one[one["split"] == split].sort_values("image") for one in scored]
        truth = tables[0]["label"].map(classes.index).to_numpy()
        return truth, np.stack([table["predicted"].map(classes.index).to_numpy() for table in tables])

    on_test = {run: answers(run, "test") for run in networks}
    truth = next(iter(on_test.values()))[0]
    predicted = np.stack([said for _, said in on_test.values()])
    pairs: dict[str, dict[str, Any]] = {
        f"{first} - {second}": {} for first, second in itertools.combinations(networks, 2)
    }
    metric: crossed.Metric
    for metric in (PRIMARY, SECONDARY) if pairs else ():
        found = crossed.differences(truth, predicted, list(networks), classes=len(classes), metric=metric)
        for pair, difference in found.items():
            pairs[pair][metric] = difference
    # The family of tests, fixed in advance: macro-F1 on test, for every pair of runs.
    for pair, adjusted in intervals.holm({name: pair[PRIMARY]["p"] for name, pair in pairs.items()}).items():
        pairs[pair][PRIMARY]["p_holm"] = adjusted
    seeds = len(values["study"].seeds)
    scores = [[metrics.macro_f1(truth, one, len(classes)) for one in said] for said in predicted]
    power = power_of(
        np.bincount(truth, minlength=len(classes)),
        runs=len(networks),
        seeds=seeds,
        scatter=float(np.std(scores, axis=1, ddof=1).mean()) if seeds > 1 else 0.0,
        studies=values["uncertainty"].simulations,
        generator=numpy_stream(seed, "power"),
    )

    train_counts = [sum(r.label == c and r.split == "train" for r in rows) for c in classes]
    units = confusion_structure.unit_rates(
        [(r.label, r.action_units) for r in rows if r.split == "train"], classes
    )
    errors = {}
    with (
        outs.new_folder(Path("plots/confusion")) as matrices,
        outs.new_folder(Path("plots/per_class")) as by_class,
    ):
        for run, names in networks.items():
            labels, said = answers(run, "val")
            by_seed = [metrics.confusion(labels, one, len(classes)) for one in said]
            errors[run] = errors_of(
                by_seed, names, classes, train_counts=train_counts, units=units, values=values
            )
            outs.add_to_folder(
                matrices, f"{run}.csv", confusion_csv(np.sum(by_seed, axis=0), classes).encode()
            )
            means = pooled.pooled([metrics.per_class(labels, one, classes) for one in said])
            outs.add_to_folder(by_class, f"{run}.csv", per_class_csv(means).encode())
    outs.write_json(Path("metrics/comparisons.json"), {"pairs": pairs, "power": power, "errors": errors})


def power_of(counts: np.ndarray, *, runs: int, **options: Any) -> dict[str, Any] | None:
    """Level of the test between runs, and its power by true difference; None for a single run.

    Args:
        counts: int [C], test images by class. options: of `crossed.operating_characteristics`.
    """
    if runs < 2:
        return None
    level, *power = crossed.operating_characteristics(counts, runs=runs, **options).items()
    return {
        "scatter": options["scatter"],
        "level": level[1],
        "power": [{"difference": difference, "power": share} for difference, share in power],
    }


def errors_of(
    by_seed: list[np.ndarray],
    names: list[str],
    classes: tuple[str, ...],
    *,
    train_counts: list[int],
    units: Any,
    values: dict[str, Any],
) -> dict[str, Any]:
    """What a run's errors on validation follow. Confusions beyond chance are those of the first seed, since
    the seeds answer the same images; all else is of all seeds."""
    seed, draws = values["seed"], values["uncertainty"]
    shares = [
        confusion_structure.predicted_shares(
            one, train_counts, draws.replicates, generator=numpy_stream(seed, "frequent", name)
        )
        for name, one in zip(names, by_seed, strict=True)
    ]
    excess = confusion_structure.excess_confusions(by_seed[0])
    return {
        "frequent": pooled.pooled([share for share in shares if share]) if all(shares) else None,
        "excess": [e | {k: classes[e[k]] for k in ("true", "predicted")} for e in excess],
        "structure": confusion_structure.structure(
            np.sum(by_seed, axis=0),
            classes,
            units,
            permutations=draws.permutations,
            generator=numpy_stream(seed, "structure", names[0]),
        ),
    }


def numbered(label: str) -> str:
    """Class name after its RAF-CE id, `10 Angrily_Disgusted`: plots that sort by name keep the order."""
    return f"{COMPOUND.index(label):02d} {label}"


def confusion_csv(counts: np.ndarray, classes: tuple[str, ...]) -> str:
    """One line a validation image, for DVC's confusion template to count; no line identifies its image."""
    lines = [
        f"{numbered(true)},{numbered(predicted)}\n"
        for true, row in zip(classes, counts, strict=True)
        for predicted, count in zip(classes, row, strict=True)
        for _ in range(count)
    ]
    return "actual,predicted\n" + "".join(lines)


def per_class_csv(per_class: dict[str, dict[str, float]]) -> str:
    """Precision, recall, F1 and support by class, validation."""
    table = {numbered(label): scores for label, scores in per_class.items()}
    return (
        pd.DataFrame.from_dict(table, orient="index")
        .round(6)
        .to_csv(index_label="class", lineterminator="\n")
    )


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
