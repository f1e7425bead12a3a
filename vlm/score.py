"""Score the answers and compare them with the runs of the study: metrics, matrices, report.

Usage: python -m vlm.score
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emotions.command import command
from emotions.data import dataset
from emotions.evidence import intervals, metrics
from emotions.evidence.knobs import UncertaintyParams
from emotions.evidence.results import best_run, by_run, by_seed
from emotions.params_file import RunTitles, StudyParams
from emotions.random_streams import numpy_stream
from emotions.reporting import figures
from emotions.reporting.knobs import Language
from emotions.reporting.wording import Wording
from emotions.runtime import outs
from emotions.sources import DataParams
from emotions.taxonomy import compound_classes
from vlm.shared import report
from vlm.shared.backend import Reply
from vlm.shared.reading import OUTSIDE, coded_units, read_class, read_units
from vlm.shared.scores import score, unit_scores

STUDY = {
    "seed": int,
    "data": DataParams,
    "study": StudyParams,
    "uncertainty": UncertaintyParams,
    "report.language": Language,
}
OWN = {"ask.limit": int | None, "ways": RunTitles}
OWN_PARAMS = Path("vlm/params.yaml")
DATASET = Path("data/dataset_resnet_224.zip")
SPLITS = ("val", "test")


class ScoreError(ValueError):
    """Answers and study do not belong together; the message names the file and the remedy."""


def main(values: dict[str, Any]) -> None:
    classes, seed = compound_classes(values["data"].classes), values["seed"]
    replicates, permutations = values["uncertainty"].replicates, values["uncertainty"].permutations
    answers = by_run("vlm/answers/{run}.json", values["ways"])
    networks = values["study"].networks
    by_network = by_seed("metrics/runs/{network}.json", networks)
    measured = {run: found[0] for run, found in by_network.items()}  # the network of the first seed
    frames = {name: frame(way, classes) for name, way in answers.items()}
    first, *others = frames
    images = frames[first].index
    for name in others:
        if set(frames[name].index) != set(images):
            raise ScoreError(f"vlm/answers/{name}.json and {first}.json differ in images; ask both again")
        frames[name] = frames[name].loc[images]
    for name, found in (*measured.items(), *answers.items()):
        if (found["data"], found["classes"]) != (answers[first]["data"], list(classes)):
            raise ScoreError(f"{name} and {first} differ in data or classes; run `dvc repro vlm/dvc.yaml`")
    labels, split = frames[first]["label"].to_numpy(), frames[first]["split"].to_numpy()
    predicted = {run: predictions(names[0], images, classes) for run, names in networks.items()}
    predicted |= {name: found["answer"].to_numpy() for name, found in frames.items()}

    def scored(name: str) -> dict[str, Any]:
        return {
            s: score(
                labels[split == s],
                predicted[name][split == s],
                classes,
                replicates=replicates,
                draws=numpy_stream(seed, "vlm bootstrap", name, s),
            )
            for s in SPLITS
        }

    best = best_run(by_network)
    runs = {name: {"title": run["title"], **scored(name)} for name, run in measured.items()}
    ways = {
        name: {
            **{k: way[k] for k in ("title", "model", "prompt", "decoding")},
            "examples": len(way["examples"]),
            **{k: sum(a.get(k, 0) for a in way["answers"]) for k in ("prompt_tokens", "completion_tokens")},
            "reasons": reasons(frames[name]),
            "units": named_units(way, permutations, numpy_stream(seed, "vlm units", name)),
            **scored(name),
        }
        for name, way in answers.items()
    }
    test = split == "test"
    against: dict[str, dict[str, Any]] = {}
    p_values: dict[str, float] = {}
    for name in ways:
        truth, one, other = (a[test] for a in (labels, predicted[name], predicted[best]))
        against[name] = {
            "accuracy": intervals.mcnemar(one == truth, other == truth),
            **intervals.paired_difference(
                truth,
                one,
                other,
                classes=len(classes),
                replicates=replicates,
                generator=numpy_stream(seed, "vlm compare", name),
            ),
        }
        p_values |= {f"{name}/{m}": against[name][m]["p"] for m in ("accuracy", "macro_f1")}
    for key, adjusted in intervals.holm(p_values).items():
        name, metric = key.split("/")
        against[name][metric]["p_holm"] = adjusted

    train = [r.label for r in dataset.read_manifest(DATASET) if r.role == "compound" and r.split == "train"]
    train_labels = np.array([classes.index(label) for label in train if label in classes])
    results = report.Results(
        source=values["data"].source,
        class_set=values["data"].classes,
        classes=classes,
        data=answers[first]["data"],
        limit=values["ask.limit"],
        best=best,
        runs=runs,
        ways=ways,
        against=against,
        majority={s: metrics.majority(train_labels, labels[split == s]) for s in SPLITS},
    )
    say = Wording(values["report.language"])
    outs.write_json(Path("vlm/metrics/summary.json"), report.summary(ways))
    outs.write_json(
        Path("vlm/metrics/ways.json"),
        {"data": results.data, "best_run": best, "runs": runs, "ways": ways, "against": against},
    )
    panels = {
        name: {"title": f"{say.known(way['title'])}\n{report.model_name(way['model'])}", "selected": way}
        for name, way in ways.items()
    }
    matrices = figures.confusion_matrices(panels, classes, say)
    outs.write_bytes(Path("vlm/plots/confusion_matrices.png"), matrices)
    outs.write_text(Path("vlm/report/report.md"), report.markdown_report(results, say))
    outs.write_text(Path("vlm/report/report.html"), report.html_report(results, say, matrices))


def frame(way: dict[str, Any], classes: tuple[str, ...]) -> pd.DataFrame:
    """Answers by image: split, label and answer as numbers (C: outside the classes), reason if outside."""
    rows = []
    for given in way["answers"]:
        answer, reason = (
            (None, "unanswered")
            if given["text"] is None
            else read_class(Reply(given["text"], given["finish"], 0, 0), classes)
        )
        number = len(classes) if answer is None else answer
        rows.append((given["image"], given["split"], classes.index(given["label"]), number, reason))
    return pd.DataFrame(rows, columns=["image", "split", "label", "answer", "reason"]).set_index("image")


def predictions(name: str, images: pd.Index, classes: tuple[str, ...]) -> np.ndarray:
    """Classes that a network of the study predicts for these images: int [N]."""
    table = pd.read_csv(f"data/predictions/{name}.csv").set_index("image")["predicted"]
    return table.loc[images].map(classes.index).to_numpy()


def reasons(found: pd.DataFrame) -> dict[str, int]:
    """Number of test answers outside the classes, by reason."""
    counts = Counter(found.query("split == 'test'")["reason"])
    return {reason: counts[reason] for reason in (*OUTSIDE, "unanswered") if counts[reason]}


def named_units(way: dict[str, Any], permutations: int, draws: np.random.Generator) -> dict[str, Any] | None:
    """Scores of the action units that the answers name; None where no answer has such a line."""
    named = [read_units(given["text"] or "") for given in way["answers"]]
    if all(units is None for units in named):
        return None
    return unit_scores(
        named, [coded_units(given["units"]) for given in way["answers"]], permutations, draws=draws
    )


if __name__ == "__main__":
    command(main, STUDY, __doc__, more=(OWN_PARAMS, OWN))
