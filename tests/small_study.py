"""A study of three classes, two seeds and made-up measurements, for the tests of figures and report."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from conftest import ROOT

from emotions.data.knobs import PreprocessParams
from emotions.evidence import intervals, metrics
from emotions.evidence.claims import read_claims
from emotions.evidence.knobs import DiagnosisParams
from emotions.evidence.pooled import pooled
from emotions.evidence.single_knobs import single_knobs
from emotions.evidence.study import Study
from emotions.evidence.verdicts import Change, Measured, diagnose
from emotions.params_file import StudyParams
from emotions.reporting.knobs import ReportParams
from emotions.sources import DataParams
from emotions.sources.audit import REASONS
from emotions.sources.leakage import KINDS
from emotions.training.knobs import RunParams

CLASSES = ("Happily_Surprised", "Sadly_Angry", "Angrily_Disgusted")
CONFUSION = [[4, 1, 1], [2, 1, 0], [1, 0, 0]]
"""Validation of the first seed, rows true: 10 images, 5 right."""
OTHER_CONFUSION = [[3, 2, 1], [2, 1, 0], [1, 0, 0]]
"""That of the second seed: the same images, 4 right."""
SEEDS = (0, 1)
TRAIN = {"Happily_Surprised": 60, "Sadly_Angry": 30, "Angrily_Disgusted": 10}

DIAGNOSIS = {
    "overfitting_gap": 0.15,
    "val_loss_rise": 0.1,
    "underfitting_train_accuracy": 0.5,
    "plateau": 0.02,
    "retention_drop": 0.1,
    "probe_drop": 0.05,
    "seed_deviation": 0.05,
}
UNCERTAINTY = {"replicates": 200, "simulations": 200, "permutations": 199}
LEDGER = read_claims(ROOT / "claims.yaml")


def scores(confusion: list[list[int]]) -> dict[str, Any]:
    """What `evaluate` writes for one split with this confusion matrix."""
    pairs = [(i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) for _ in range(n)]
    labels, said = np.array(pairs).T
    probabilities = np.full((len(pairs), len(CLASSES)), 0.1)
    probabilities[np.arange(len(pairs)), said] = 0.8
    table = np.array(confusion)
    return metrics.score(labels, probabilities, CLASSES) | {
        "intervals": intervals.intervals(
            labels, probabilities, CLASSES, replicates=200, generator=np.random.default_rng(0)
        ),
        "recall_intervals": intervals.recall_intervals(table, CLASSES),
    }


def networks(
    name: str, title: str, *val: list[list[int]], train_right: int = 9, seeds: Sequence[int] = SEEDS
) -> list[dict[str, Any]]:
    """What `evaluate` writes for the networks of one run.

    Args:
        val: the confusion matrix of each seed on validation, or one for all seeds; its rows in reverse are
        those on test. train_right: right answers on ten training images. One validation image of ten is
        right at the last epoch.
    """
    train = scores([[train_right, 10 - train_right, 0], [0, 0, 0], [0, 0, 0]])
    return [
        {
            "run": name,
            "seed": seed,
            "title": title,
            "train_images": 10,
            "classes": list(CLASSES),
            "precision": "float32",
            "majority": {"val": 0.6, "test": 0.5},
            "selected": {
                "epoch": 2,
                "train": without_intervals(train),
                "val": scores(one),
                "test": scores(one[::-1]) | {"macro_f1_coverage": 0.93},
            },
            "last": {
                "epoch": 3,
                "train": without_intervals(train),
                "val": without_intervals(scores([[1, 5, 0], [3, 0, 0], [0, 1, 0]])),
            },
        }
        for seed, one in zip(seeds, val if len(val) > 1 else val * len(seeds), strict=True)
    ]


def without_intervals(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if not key.endswith("intervals")}


def judged(found: Sequence[dict[str, Any]], train_right: int = 9, **evidence: Any) -> dict[str, Any]:
    """A run pooled over its networks, with verdicts; `evidence` replaces fields of what they follow from."""
    each = len(found)
    known = Measured(
        train=[(train_right * 10, 100)] * each,
        val=[(10, 100)] * each,
        train_curve=[0.3, 0.6, train_right / 10],
        val_losses=[1.0, 1.0],
        retention=Change(-0.01, (-0.05, 0.03)),
        probe=Change(0.02, (-0.02, 0.06)),
    )
    verdicts = diagnose(replace(known, **evidence), DiagnosisParams(**DIAGNOSIS))
    return pooled(found) | {"verdicts": verdicts}


def measured(
    name: str, title: str, *val: list[list[int]], train_right: int = 9, **evidence: Any
) -> dict[str, Any]:
    """A run of `networks` with its verdicts; `evidence` replaces fields of what they follow from."""
    return judged(networks(name, title, *val, train_right=train_right), train_right, **evidence)


def seen(regions: str = "exact", away: float = 0.3) -> dict[str, Any]:
    """What `gradcam` writes; `away`: share of heat on hair and background, which fill 40 % of the picture."""
    heat = {"eyes_brows": 0.9 - away, "mouth": 0.1, "hair": away / 2, "background": away / 2}
    area = {"eyes_brows": 0.4, "mouth": 0.2, "hair": 0.2, "background": 0.2}
    if regions == "landmarks":
        heat = {"eyes_brows": 0.5 - away, "mouth": 0.5, "outside": away}
        area = {"eyes_brows": 0.1, "mouth": 0.1, "outside": 0.8}
    elif regions != "exact":
        heat, area = {"centre": 1 - away, "border": away}, {"centre": 0.36, "border": 0.64}
    shares = {
        a: {
            "heat": heat[a],
            "area": area[a],
            "ratio": heat[a] / area[a],
            "interval": [0.9 * heat[a] / area[a], 1.1 * heat[a] / area[a]],
        }
        for a in heat
    }
    unit = {"area": "mouth", "images": [5, 5], "difference": 0.4, "interval": [0.1, 0.7]}
    return {
        "seed": 0,
        "method": "gradcam",
        "layer": "layer2",
        "grid": 3,
        "images": 10,
        "empty_maps": 0,
        "regions": regions,
        "located": 9 if regions == "landmarks" else 10,
        "resolution": {a: {"itself": 5.0, "elsewhere": 1.0} for a in (*heat, "other_face")},
        "shares": shares,
        "by_class": {CLASSES[0]: {"images": 6, "shares": shares}},
        "right_less_wrong": {a: {"images": [5, 5], "difference": 0.1, "interval": [-0.1, 0.3]} for a in heat},
        "action_units": {"units": {"12": unit}, "all": unit} if "mouth" in heat else None,
        "mean_map": [[away, 1, 1], [1, 2, 1], [1, 1, 1]],
    }


UNMEASURED = {"run": "run1", "measured": False}
"""What `faithfulness` writes where it was not asked for."""


def scrutinised(
    name: str,
    val: float = 0.0,
    train: float = 0.1,
    areas: tuple[str, ...] = ("mouth", "background"),
    regions: str = "exact",
) -> dict[str, Any]:
    """What `faithfulness` writes; `val`, `train`: accuracy lost with the background swapped, and by how much
    more than by chance answers go with it, give or take 0.04. `areas`: whose share of heat is not that of
    random weights.
    """

    def change(by: float) -> dict[str, Any]:
        return {"difference": by, "interval": [by - 0.04, by + 0.04], "p": 0.5}

    def reliance(by: float) -> dict[str, Any]:
        return {
            "images": 10,
            "majority": 0.5,
            "accuracy": {"unchanged": 0.6, "only background": 0.2},
            "background": {"swapped": change(-by), "blurred": change(0.0), "grey": change(0.0)},
            "covers": {"eyes_brows": change(-0.1), "mouth": change(-0.2), "hair": change(0.1)},
            "follows": {"images": 9, "changed": by, "to_lender": by, **change(by)},
        }

    mean = {"mean": 0.1, "interval": [0.05, 0.15]}
    rests_on = {"train": reliance(train), "val": reliance(val)}
    if regions == "landmarks":
        for found in rests_on.values():
            found |= {"accuracy": {"unchanged": 0.6}, "background": {}, "follows": None}
            del found["covers"]["hair"]
    return {
        "run": name,
        "measured": True,
        "images": 8,
        "road": {"map": mean, "less_random": mean, "less_centre": mean},
        "correlation": {"by_part": {"head": 0.8, "stem": 0.5}, "all": mean, "other_image": 0.6},
        "random_weights": {
            a: {"ratio": 1.25, "difference": 0.5, "interval": [0.3, 0.7]} for a in seen(regions)["shares"]
        },
        "passed": {"random": True, "centre": True, "areas": list(areas)},
        "rests_on": rests_on,
    }


def probed(name: str, seed: int = 0) -> dict[str, Any]:
    """What `probe` writes for a network."""
    parts = ("stem", "layer1", "layer2", "layer3", "layer4")
    return {
        "run": name,
        "seed": seed,
        "test": probe_test(0.6),
        "against_start": {"difference": 0.02, "interval": [-0.02, 0.06], "p": 0.5, "distorted": False},
        "cka": dict(zip(parts, (1.0, 0.99, 0.9, 0.8, None), strict=True)),
        "weight_change": dict.fromkeys(parts, 0.01),
        "statistics_change": dict.fromkeys(parts, 0.2),
        "retention": {
            "task": "basic emotions",
            "images": 40,
            "before": 0.5,
            "after": 0.49,
            "majority": 0.2,
            "measurable": True,
            "difference": -0.01,
            "interval": [-0.05, 0.03],
            "p": 0.8,
        },
    }


def probe_test(recall: float, low: float = 0.3, high: float = 0.8) -> dict[str, Any]:
    """Scores of a linear probe on test; every class has the same recall."""
    found = {"recall": recall, "interval": [low, high], "support": 10}
    return {
        "accuracy": recall,
        "interval": [low, high],
        "macro_f1": 0.5,
        "per_class": dict.fromkeys((*CLASSES, "Happily_Disgusted"), found),
    }


def errors(
    p: float = 0.5, difference: float = 0.1, interval: tuple[float, float] = (0.02, 0.2), units: bool = True
) -> dict[str, Any]:
    """What `compare` writes of one run's errors; `p`: of all Mantel tests."""
    test = {"r": 0.3, "p": p, "permutations": 199}
    return {
        "frequent": {"predicted": 0.6, "true": 0.5, "difference": difference, "interval": list(interval)},
        "excess": [{"true": CLASSES[0], "predicted": CLASSES[1], "count": 4, "expected": 1.5, "p": 0.01}],
        "structure": {
            "shared_emotions": test,
            "shared_units": test if units else None,
            "shared_emotions_given_units": test if units else None,
            "shared_units_given_emotions": test if units else None,
            "errors": 5,
        },
    }


def recipe(title: str, **knobs: Any) -> RunParams:
    """The knobs of a run."""
    common = {
        "title": title,
        "trainable_parts": ["layer4", "head"],
        "lr": {"body": 1e-5, "head": 1e-3},
        "mixup_alpha": 0.4,
        "dropout": 0.6,
        "augmentation": "standard",
    }
    return RunParams.model_validate(common | knobs)


def study(
    names: tuple[str, ...] = ("run1", "run2", "run3"),
    source: str = "synthetic",
    *,
    seeds: tuple[int, ...] = SEEDS,
    knobs: dict[str, dict[str, Any]] | None = None,
    **changes: Any,
) -> Study:
    """Runs of equal merit: the first is the best.

    Args:
        knobs: by run, in what its recipe differs from the others'. changes: replace fields of the study;
        `networks` without `runs` are pooled.
    """
    titles = {name: f"Title of {name}" for name in names}
    splits = {"val": 10, "test": 10}
    data = {
        "source": source,
        "classes": list(CLASSES),
        "precision": "float32",
        "compound": {c: {"train": TRAIN[c], **splits} for c in CLASSES},
        "basic": {"anger": {"train": 7, "val": 3, "test": 3}},
        "fingerprint": "0123456789abcdef" * 4,
        "listed": {
            "compound": {"train": 97, "val": 31, "test": 30},
            "basic": {"train": 11, "val": 3, "test": 3},
        },
        "dropped": {
            reason: {
                "compound": {"train": n, "val": 1, "test": 0},
                "basic": {"train": 0, "val": 0, "test": 0},
            }
            for n, reason in enumerate(REASONS)
        },
        "dropped_copies_with_another_label": 1,
        "pairs_across_splits": {
            kind: {"test-val": 1, "test-train": n, "val-train": 2} for n, kind in enumerate(KINDS)
        },
        "formats": {"JPEG": 11, "PNG": 102},
        "modes": {"L": 10, "RGB": 103},
        "sizes": {
            "different": 3,
            "smallest": [48, 48],
            "largest": [300, 200],
            "most_frequent": [100, 100],
        },
        "with_action_units": {"compound": 50, "basic": 0},
        "soft_labels": {"compound": 40, "basic": 0, "compound_whose_two_highest_are_the_label": 39},
    }
    params = {
        "seed": 0,
        "study": StudyParams(runs=list(names), seeds=list(seeds)),
        "data": DataParams.model_validate(
            {
                "source": source,
                "classes": "rafdb11",
                "synthetic": {"seed": 0, "train": 800, "val": 250, "test": 250, "basic": 800},
                "ferplus": {"min_votes": 2},
                "rafdb": {"val": 0.1},
                "imagefolder": {},
                "leakage": "drop",
                "unreadable": "error",
                "archive_limits": {},
                "image_limits": {},
            }
        ),
        "preprocess": PreprocessParams(image_size=224),
        "pretrained": {"weights": "none", "basic_emotions": {"epochs": 5, "lr": 1e-3}},
        "train": {
            "image_size": 96,
            "epochs": 3,
            "fraction": 1.0,
            "batch_size": 32,
            "optimizer": "adam",
            "weight_decay": 0.0,
            "precision": "bfloat16",
            "threads": 2,
        },
        "runs": {name: recipe(titles[name], **(knobs or {}).get(name, {})) for name in names},
        "uncertainty": UNCERTAINTY,
        "diagnosis": DIAGNOSIS,
        "report": ReportParams(title="A study & its runs", language="en"),
    }
    history = pd.concat(
        pd.DataFrame(
            {
                "epoch": [1, 2, 3],
                "train_loss": [2.0, 1.5, 1.0],
                "train_accuracy": [0.3, 0.6, 0.9],
                "val_loss": [2.1, 1.8, 1.9],
                "val_accuracy": [0.2, 0.5, 0.1],
                "val_macro_f1": [0.1, 0.3, 0.05],
                "seed": seed,
            }
        )
        for seed in seeds
    )
    pretrained = {
        "weights": "none",
        "basic_emotions_epochs": 5,
        "train_images": 7,
        "val_images": 3,
        "selected": {"val_accuracy": 2 / 3},
        "val_majority": 1 / 3,
    }
    difference = {"difference": 0.05, "interval": [-0.04, 0.14], "p": 0.3, "df": None, "seeds": len(seeds)}
    pairs = {
        f"{a} - {b}": {"macro_f1": difference | {"p_holm": 0.9}, "accuracy": difference}
        for a, b in itertools.combinations(names, 2)
    }
    power = {
        "scatter": 0.02,
        "level": 0.04,
        "power": [{"difference": apart, "power": 5 * apart} for apart in (0.05, 0.1, 0.15)],
    }
    val = (CONFUSION, OTHER_CONFUSION)[: len(seeds)]
    by_run = changes.pop("networks", {})
    by_run = {name: by_run.get(name) or networks(name, titles[name], *val, seeds=seeds) for name in names}
    recipes = {name: run.model_dump() for name, run in params["runs"].items()}
    fields = {
        "params": params,
        "classes": CLASSES,
        "data": data,
        "pretrained": pretrained,
        "networks": by_run,
        "runs": {name: judged(found) for name, found in by_run.items()},
        "knobs": single_knobs(recipes, params["train"], by_run),
        "attention": {name: seen() for name in names},
        "faithfulness": {name: UNMEASURED | {"run": name} for name in names},
        "reference": {
            "test": probe_test(0.6),
            "source_task": {
                "name": "basic emotions",
                "images": 40,
                "accuracy": 0.5,
                "interval": [0.35, 0.65],
                "majority": 0.2,
            },
        },
        "probes": {name: pooled([probed(name, seed) for seed in seeds]) for name in names},
        "comparisons": {
            "pairs": pairs,
            "power": power if pairs else None,
            "errors": {name: errors() for name in names},
        },
        "ledger": LEDGER,
        "history": dict.fromkeys(names, history),
    }
    return Study(**fields | changes)
