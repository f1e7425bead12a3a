"""The original's claims beside what was measured, and the measurements that they need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rafce import scoring
from rafce.taxonomy import RAFCE_COUNTS, components
from rafce.wording import Said, said

ATTENTION_MARGIN = 0.1
"""Relative heat on two areas that differs by less speaks for neither."""
OUTCOMES = ("supported", "supported for some runs", "not supported", "contradicted", "not measured")
"""What a measurement may say of a claim."""
BIAS_MARGIN = 0.05
"""Shares of predictions and of images that differ by less speak for neither."""


@dataclass(frozen=True)
class Study:
    """All that was measured. `runs`, `attention`, `history`: by run name, in the order of params.yaml."""

    params: dict[str, Any]
    classes: tuple[str, ...]
    data: dict[str, Any]
    pretrained: dict[str, Any]
    runs: dict[str, dict[str, Any]]
    attention: dict[str, dict[str, Any]]
    history: dict[str, pd.DataFrame]

    @property
    def titles(self) -> dict[str, str]:
        """Title of each run."""
        return {name: run["title"] for name, run in self.runs.items()}

    @property
    def train_counts(self) -> dict[str, int]:
        """Training images of each class."""
        return {c: self.data["compound"][c]["train"] for c in self.classes}

    @property
    def best(self) -> str:
        """Name of the best run by validation."""
        return scoring.best_run(self.runs)


@dataclass(frozen=True)
class Claim:
    """A claim of the original (message `claim-<claim>`) beside what was measured.

    `verdict`: one of OUTCOMES.
    """

    claim: str
    measured: Said
    verdict: str


def class_bias(
    run: Mapping[str, Any], classes: Sequence[str], train_counts: Mapping[str, int]
) -> dict[str, Any]:
    """How a run treats frequent and rare classes, on validation.

    Returns recall of the most and least frequent training class, the share of predictions and of images that
    fall on the three most frequent classes, and the classes never predicted.
    """
    confusion = np.array(run["selected"]["val"]["confusion"])
    by_count = sorted(classes, key=lambda c: -train_counts[c])
    frequent = [classes.index(c) for c in by_count[:3]]
    per_class = run["selected"]["val"]["per_class"]
    present = [c for c in by_count if per_class[c]["support"]]
    return {
        "largest": present[0],
        "largest_recall": per_class[present[0]]["recall"],
        "smallest": present[-1],
        "smallest_recall": per_class[present[-1]]["recall"],
        "predicted_frequent": float(confusion[:, frequent].sum() / confusion.sum()),
        "true_frequent": float(confusion[frequent].sum() / confusion.sum()),
        "frequent": [classes[i] for i in frequent],
        "never": [c for i, c in enumerate(classes) if not confusion[:, i].any()],
    }


def confusions(run: Mapping[str, Any], classes: Sequence[str], most: int = 5) -> dict[str, Any]:
    """The most frequent confusions of a run on validation, and how many errors share a basic emotion with the
    truth.

    `expected` is that share if each wrong answer had been drawn with the frequencies of the run's own
    predictions.
    """
    confusion = np.array(run["selected"]["val"]["confusion"], float)
    wrong = confusion * (1 - np.eye(len(classes)))
    shares = np.array([[len(set(components(a)) & set(components(b))) for b in classes] for a in classes]) > 0
    drawn = np.tile(confusion.sum(0), (len(classes), 1)) * (1 - np.eye(len(classes)))
    drawn = drawn / drawn.sum(1, keepdims=True).clip(1e-12) * wrong.sum(1, keepdims=True)
    pairs = [
        (int(wrong[i, j]), i, j) for i in range(len(classes)) for j in range(len(classes)) if wrong[i, j]
    ]
    pairs.sort(key=lambda p: (-p[0], p[1], p[2]))
    errors = wrong.sum()
    return {
        "errors": int(errors),
        "share": float((wrong * shares).sum() / errors) if errors else 0.0,
        "expected": float((drawn * shares).sum() / errors) if errors else 0.0,
        "pairs": [
            {"true": classes[i], "predicted": classes[j], "count": n, "share": n / confusion[i].sum()}
            for n, i, j in pairs[:most]
        ],
    }


def evidence(verdict: Mapping[str, Any]) -> Said:
    """The sentence that gives the numbers which decided a verdict."""
    numbers = dict(verdict["evidence"])
    if verdict["name"] in ("underfitting", "under-trained"):
        if numbers["train_accuracy"] >= numbers["threshold"]:
            return said("evidence-not-low", **numbers)
        if "rise" not in numbers:
            return said("evidence-low-one-epoch", **numbers)
        return said("evidence-low", before=numbers["curve"] - numbers["rise"], **numbers)
    return said(f"evidence-{verdict['name'].replace(' ', '-')}", **numbers)


def claims(study: Study) -> list[Claim]:
    """The original's claims, each beside the measurement that decides it here, or said to be not measured."""
    nothing = said("measured-nothing")
    found: list[Claim] = []
    for run, verdict, claim, also in (
        ("run1", "overfitting", "overfits", "memorised"),
        ("run2", "underfitting", "underfits", "generic-features"),
        ("run3", "catastrophic forgetting", "forgets", None),
    ):
        if run in study.runs:
            match = next(v for v in study.runs[run]["verdicts"] if v["name"] == verdict)
            found.append(Claim(claim, evidence(match), match["outcome"]))
            if also:
                found.append(Claim(also, nothing, "not measured"))
    found.append(_attention_claim(study))
    found.extend(_bias_claims(study))
    by_run = {name: confusions(run, study.classes) for name, run in study.runs.items()}
    shared = [
        said("measured-confused-run", name=name, share=c["share"], expected=c["expected"])
        for name, c in by_run.items()
    ]
    found.append(Claim("confused", said("measured-confused", list=shared), "not measured"))
    found.append(Claim("millions", said("measured-one-size"), "not measured"))
    return found


def _attention_claim(study: Study) -> Claim:
    if any(a["regions"] != "exact" for a in study.attention.values()):
        return Claim("background", said("measured-no-regions"), "not measured")
    if not all(a["shares"] for a in study.attention.values()):
        return Claim("background", said("measured-empty-maps"), "not measured")
    by_run, differences = [], []
    for name, attention in study.attention.items():
        ratio = {}
        for group, areas in (("away", ("background", "hair")), ("facial", ("eyes_brows", "mouth"))):
            heat = sum(attention["shares"][a]["heat"] for a in areas)
            area = sum(attention["shares"][a]["area"] for a in areas)
            if area == 0:
                missing = [said(f"area-{a}") for a in areas]
                return Claim("background", said("measured-no-area", areas=missing), "not measured")
            ratio[group] = heat / area
        differences.append(ratio["away"] - ratio["facial"])
        by_run.append(said("measured-background-run", name=name, **ratio))
    return Claim(
        "background", said("measured-background", list=by_run), _direction(differences, ATTENTION_MARGIN)
    )


def _direction(differences: Sequence[float], margin: float) -> str:
    """What several runs say together: a difference within `margin` speaks for neither side."""
    yes, no = (sum(sign * d > margin for d in differences) for sign in (1, -1))
    if yes == len(differences):
        return "supported"
    if no == len(differences):
        return "contradicted"
    return "supported for some runs" if yes else "not supported"


def _bias_claims(study: Study) -> list[Claim]:
    found = []
    train_counts = study.train_counts
    name = "Angrily_Disgusted"
    if name in study.classes:
        rank = sorted(train_counts, key=lambda c: -train_counts[c]).index(name) + 1
        published = sorted(RAFCE_COUNTS, key=lambda c: -RAFCE_COUNTS[c][0]).index(name) + 1
        measured = said(
            "measured-rare",
            rank=rank,
            classes=len(train_counts),
            images=train_counts[name],
            published=published,
            all=len(RAFCE_COUNTS),
            published_images=RAFCE_COUNTS[name][0],
        )
        rare = "supported" if rank > len(train_counts) / 2 else "not supported"
        found.append(Claim("rare", measured, "contradicted" if rank <= 3 else rare))
        scores = {n: r["selected"]["val"]["per_class"][name] for n, r in study.runs.items()}
        if all(s["support"] for s in scores.values()):
            failing = sum(s["recall"] == 0 for s in scores.values())
            some = "supported for some runs" if failing else "contradicted"
            recalls = [said("measured-fails-run", name=n, recall=s["recall"]) for n, s in scores.items()]
            verdict = "supported" if failing == len(scores) else some
            found.append(Claim("fails", said("measured-fails", list=recalls), verdict))
        else:
            found.append(Claim("fails", said("measured-no-image"), "not measured"))
    bias = {n: class_bias(r, study.classes, train_counts) for n, r in study.runs.items()}
    shares = [
        said("measured-biased-run", name=n, predicted=b["predicted_frequent"], true=b["true_frequent"])
        for n, b in bias.items()
    ]
    differences = [b["predicted_frequent"] - b["true_frequent"] for b in bias.values()]
    found.append(Claim("biased", said("measured-biased", list=shares), _direction(differences, BIAS_MARGIN)))
    return found
