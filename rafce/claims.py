"""The original's claims beside what was measured: the ledger of claims.yaml, and the rule of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from rafce import scoring
from rafce.taxonomy import COMPOUND, RAFCE_COUNTS
from rafce.wording import Said, said

OUTCOMES: Final = ("supported", "contradicted", "undecided", "not testable")
"""What the measurements may say of a claim; `not testable`: on these data, at these settings."""
NOT_TESTABLE: Final = "not testable"


class ClaimsError(ValueError):
    """claims.yaml cannot be used; the message names the entry and the key."""


class Entry(BaseModel):
    """A line of claims.yaml. Which of the last keys it needs, its measurement says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claim: str
    number: int = Field(ge=1, le=7)
    measurement: str
    run: str = ""
    verdict: str = ""
    emotion: str = Field("", alias="class")
    threshold: float = 0.0
    margin: float = 0.0
    level: float = 0.0
    first: int = 0
    images: int = 0


def read_claims(path: Path) -> list[Entry]:
    """The entries of claims.yaml.

    Raises:
        ClaimsError: an unknown or missing key, a measurement that does not exist, a class that is none.
    """
    try:
        entries = TypeAdapter(list[Entry]).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise ClaimsError(f"{path}: {error}") from error
    for entry in entries:
        if entry.measurement not in MEASUREMENTS:
            raise ClaimsError(
                f"{path}: claim {entry.claim!r}: measurement {entry.measurement!r} is none of "
                f"{', '.join(MEASUREMENTS)}"
            )
        if entry.emotion and entry.emotion not in COMPOUND:
            raise ClaimsError(f"{path}: claim {entry.claim!r}: {entry.emotion!r} is no compound emotion")
    return entries


@dataclass(frozen=True)
class Study:
    """All that was measured. `runs`, `attention`, `faithfulness`, `probes`, `history`: by run name, as
    params.yaml has them; `runs` with the verdicts on each.

    `reference`: of the starting network. `comparisons`: of the runs with each other. `curve`: what
    `tools.learning_curve` found, of whatever data and settings; empty where it was never run.
    """

    params: dict[str, Any]
    classes: tuple[str, ...]
    data: dict[str, Any]
    pretrained: dict[str, Any]
    runs: dict[str, dict[str, Any]]
    attention: dict[str, dict[str, Any]]
    faithfulness: dict[str, dict[str, Any]]
    reference: dict[str, Any]
    probes: dict[str, dict[str, Any]]
    comparisons: dict[str, Any]
    history: dict[str, pd.DataFrame]
    ledger: list[Entry]
    curve: dict[str, Any] = field(default_factory=dict)

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

    `rule`: what would decide it. `verdict`: one of OUTCOMES.
    """

    claim: str
    number: int
    rule: Said
    measured: Said
    verdict: str


def class_bias(
    run: Mapping[str, Any], classes: Sequence[str], train_counts: Mapping[str, int]
) -> dict[str, Any]:
    """How a run treats frequent and rare classes, on validation: the three most frequent in training, recall
    of the most and the least frequent class that validation has, and the classes never predicted."""
    confusion = np.array(run["selected"]["val"]["confusion"])
    by_count = sorted(classes, key=lambda c: -train_counts[c])
    per_class = run["selected"]["val"]["per_class"]
    present = [c for c in by_count if per_class[c]["support"]]
    return {
        "frequent": by_count[:3],
        "largest": present[0],
        "largest_recall": per_class[present[0]]["recall"],
        "smallest": present[-1],
        "smallest_recall": per_class[present[-1]]["recall"],
        "never": [c for i, c in enumerate(classes) if not confusion[:, i].any()],
    }


def confusions(run: Mapping[str, Any], classes: Sequence[str], most: int = 5) -> list[dict[str, Any]]:
    """The most frequent confusions of a run on validation: true and predicted class, images, and their share
    of the true class."""
    confusion = np.array(run["selected"]["val"]["confusion"])
    wrong = confusion * (1 - np.eye(len(classes), dtype=int))
    pairs = sorted(((-int(wrong[i, j]), int(i), int(j)) for i, j in np.argwhere(wrong)))
    return [
        {"true": classes[i], "predicted": classes[j], "count": -n, "share": float(-n / confusion[i].sum())}
        for n, i, j in pairs[:most]
    ]


def evidence(verdict: Mapping[str, Any]) -> Said:
    """The sentence that gives the numbers which decided a verdict, and what would change it."""
    numbers, name = dict(verdict["evidence"]), verdict["name"].replace(" ", "-")
    outcome = verdict["outcome"].replace(" ", "-")
    if name == "overfitting":
        change = said(f"change-overfitting-{outcome}", **numbers)
        return said("evidence-overfitting", change=change, **numbers)
    if name == "underfitting":
        if numbers["train_accuracy"] >= numbers["threshold"]:
            return said("evidence-not-low", **numbers)
        if "rise" not in numbers:
            return said("evidence-low-few-epochs", **numbers)
        return said("evidence-low", change=said(f"change-underfitting-{outcome}", **numbers), **numbers)
    if name == "under-trained":
        if "longer" in numbers:
            return said(
                "evidence-longer",
                by=numbers["longer"],
                low=numbers["longer_low"],
                high=numbers["longer_high"],
            )
        return said("evidence-no-longer-run", trend=_trend(numbers))
    if name == "catastrophic-forgetting":
        parts = [
            said(f"evidence-{what}", **_loss(numbers, what))
            for what in ("retention", "probe")
            if what in numbers
        ]
        if "retention" not in numbers:
            parts.insert(0, said("evidence-retention-unknown"))
        return said("evidence-forgetting", list=parts, change=said(f"change-forgetting-{outcome}"))
    return said("evidence-unstable", **numbers) if numbers else said("evidence-one-seed")


def _loss(numbers: Mapping[str, float], what: str) -> dict[str, float]:
    """A loss of accuracy, as the change that it is."""
    return {
        "by": -numbers[what],
        "low": -numbers[f"{what}_high"],
        "high": -numbers[f"{what}_low"],
        "threshold": numbers[f"{what}_threshold"],
    }


def _trend(numbers: Mapping[str, float]) -> Said:
    return said("trend", **numbers) if "rise" in numbers else said("no-trend")


def claims(study: Study) -> list[Claim]:
    """The original's claims, each beside the measurement that decides it here."""
    found = []
    for entry in study.ledger:
        if entry.run and entry.run not in study.runs:
            continue
        measured, verdict = MEASUREMENTS[entry.measurement](study, entry)
        found.append(Claim(entry.claim, entry.number, _rule(entry), measured, verdict))
    return found


Decided = tuple[Said, str]
"""What was measured, and one of OUTCOMES."""


def _rule(entry: Entry) -> Said:
    values = entry.model_dump(exclude={"claim", "number", "measurement"})
    name = said(f"verdict-{entry.verdict.replace(' ', '-')}") if entry.verdict else ""
    emotion = said(entry.emotion) if entry.emotion else ""
    return said(f"rule-{entry.measurement}", **values | {"verdict": name, "emotion": emotion})


def _learning_curve(study: Study, entry: Entry) -> Decided:
    """Whether so many images are needed: what the best run's power law predicts for fewer and for as many."""
    settings, curve = learning_settings(study.params), study.curve
    law = curve.get("runs", {}).get(study.best)
    # Of other images or another recipe it says nothing about this study.
    if law is None or (curve["data"], curve["settings"]) != (study.data["fingerprint"], settings):
        return said("measured-no-curve"), "undecided"
    if not law["holds"]:
        return said("measured-curve-bent", name=study.best, p=law["bend_p"]), "undecided"
    low, high = law["interval"]
    fewer = [one for one in law["predicted"] if law["images"] < one["images"] < entry.images]
    many = [one for one in law["predicted"] if one["images"] >= entry.images]
    shown = [said("measured-curve-at", **one) for one in (*fewer, *many[:1])]
    numbers = {"exponent": law["exponent"], "low": low, "high": high, "images": law["images"]}
    measured = said("measured-curve", name=study.best, list=shown, **numbers)
    if any(one["low"] >= entry.threshold for one in fewer):
        return measured, "contradicted"
    return measured, "supported" if many and many[0]["high"] < entry.threshold else "undecided"


def learning_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Of params.yaml what a learning curve is of: how the runs are trained, however many images there are."""
    train = {key: value for key, value in params["train"].items() if key not in ("fraction", "store_gb")}
    return {"train": train, "pretrained": params["pretrained"], "runs": params["runs"]}


def _verdict(study: Study, entry: Entry) -> Decided:
    verdict = next(v for v in study.runs[entry.run]["verdicts"] if v["name"] == entry.verdict)
    outcome = {
        "supported": "supported",
        "not supported": "contradicted",
        "undecided": "undecided",
        "not measured": NOT_TESTABLE,
    }
    return evidence(verdict), outcome[verdict["outcome"]]


def _probe_recall(study: Study, entry: Entry) -> Decided:
    """Whether the starting features suffice for a class: the recall of a linear probe on them."""
    found = study.reference["test"]["per_class"].get(entry.emotion)
    if not found or not found["support"]:
        return said("measured-no-image"), NOT_TESTABLE
    low, high = found["interval"]
    verdict = _against(low, high, entry.threshold, below="supported", above="contradicted")
    start, source = study.pretrained, "features-imagenet"
    if start["basic_emotions_epochs"] or not start["weights"].startswith("imagenet"):
        # The claim is about ImageNet's own features: the number is printed, and decides nothing.
        source = "features-basic" if start["basic_emotions_epochs"] else "features-other"
        verdict = NOT_TESTABLE
    numbers = {"recall": found["recall"], "low": low, "high": high, "images": found["support"]}
    return said("measured-probe-recall", source=said(source), **numbers), verdict


def _against(low: float, high: float, threshold: float, below: str, above: str) -> str:
    """On which side of a threshold an interval lies."""
    return below if high < threshold else above if low >= threshold else "undecided"


def _background_reliance(study: Study, entry: Entry) -> Decided:
    """Whether answers rest on the background: do they go with another image's? Heat alone decides nothing."""
    if any(a["regions"] != "exact" for a in study.attention.values()):
        return said("measured-no-regions"), NOT_TESTABLE
    if not all(f["measured"] for f in study.faithfulness.values()):
        heat = [
            said("measured-heat-run", name=name, background=a["shares"]["background"]["ratio"])
            for name, a in study.attention.items()
            if "background" in a["shares"]
        ]
        rest = said("measured-unreliable")
        return (said("measured-heat", list=heat, rest=rest) if heat else rest), "undecided"
    by_run, outcomes = [], []
    for name, found in study.faithfulness.items():
        val = found["rests_on"]["val"]
        loss, follows = val["background"]["swapped"]["difference"], val["follows"]
        if follows is None:
            by_run.append(said("measured-background-constant", name=name))
            outcomes.append("undecided")
            continue
        low, high = follows["interval"]
        numbers = {"to_lender": follows["to_lender"], "by": follows["difference"], "low": low, "high": high}
        by_run.append(said("measured-background-run", name=name, change=-loss, **numbers))
        outcomes.append(_against(low, high, entry.margin, below="contradicted", above="supported"))
    return said("measured-background", list=by_run), _of_all(outcomes)


def _background_memorised(study: Study, entry: Entry) -> Decided:
    """Whether a run knows its training images by their background: what exchanging it costs on them."""
    if study.attention[entry.run]["regions"] != "exact":
        return said("measured-no-regions"), NOT_TESTABLE
    found = study.faithfulness[entry.run]
    if not found["measured"]:
        return said("measured-unreliable"), "undecided"
    train, val = (found["rests_on"][split] for split in ("train", "val"))
    low, high = train["background"]["swapped"]["interval"]
    measured = said(
        "measured-memorised",
        change=-train["background"]["swapped"]["difference"],
        low=-high,
        high=-low,
        val=-val["background"]["swapped"]["difference"],
        mouth=-train["covers"]["mouth"]["difference"],
    )
    return measured, _against(low, high, entry.margin, below="contradicted", above="supported")


def _of_all(outcomes: Sequence[str]) -> str:
    """What several runs say together: one outcome where they agree."""
    return outcomes[0] if len(set(outcomes)) == 1 else "undecided"


def _class_rank(study: Study, entry: Entry) -> Decided:
    """Whether a class is rare: its rank by training images here, and in RAF-CE as published."""
    name, counts = entry.emotion, study.train_counts
    if name not in counts:
        return said("measured-no-class"), NOT_TESTABLE
    # Classes with equally many images all have the rank of the first: none of them is the rare one.
    rank = 1 + sum(n > counts[name] for n in counts.values())
    published = 1 + sum(n > RAFCE_COUNTS[name][0] for n, *_ in RAFCE_COUNTS.values())
    measured = said(
        "measured-rare",
        rank=rank,
        classes=len(counts),
        images=counts[name],
        published=published,
        all=len(RAFCE_COUNTS),
        published_images=RAFCE_COUNTS[name][0],
    )
    if rank <= entry.first:
        return measured, "contradicted"
    return measured, "supported" if rank > len(counts) / 2 else "undecided"


def _recall_zero(study: Study, entry: Entry) -> Decided:
    """Whether no image of a class is recognised, on test."""
    scores = {n: r["selected"]["test"] for n, r in study.runs.items()}
    if not all(s["per_class"].get(entry.emotion, {}).get("support") for s in scores.values()):
        return said("measured-no-image"), NOT_TESTABLE
    recalls = [
        said(
            "measured-fails-run",
            name=name,
            recall=s["per_class"][entry.emotion]["recall"],
            low=s["recall_intervals"][entry.emotion][0],
            high=s["recall_intervals"][entry.emotion][1],
        )
        for name, s in scores.items()
    ]
    zero = [s["per_class"][entry.emotion]["recall"] == 0 for s in scores.values()]
    return said("measured-fails", list=recalls), _of_all(["supported" if z else "contradicted" for z in zero])


def _frequent_share(study: Study, entry: Entry) -> Decided:
    """Whether the runs answer with the three most frequent classes more often than these occur."""
    third = sorted(study.train_counts.values(), reverse=True)[2:4]
    if len(third) == 2 and third[0] == third[1]:
        return said("measured-no-frequent"), NOT_TESTABLE
    by_run, outcomes = [], []
    for name, errors in study.comparisons["errors"].items():
        found = errors["frequent"]
        low, high = found["interval"]
        by_run.append(
            said(
                "measured-biased-run",
                name=name,
                predicted=found["predicted"],
                true=found["true"],
                low=low,
                high=high,
            )
        )
        biased = low > 0 and found["difference"] > entry.margin
        outcomes.append("supported" if biased else "contradicted" if high < entry.margin else "undecided")
    return said("measured-biased", list=by_run), _of_all(outcomes)


def _shared_units(study: Study, entry: Entry) -> Decided:
    """Whether confusions go to classes with the same action units, beyond what shared emotions explain."""
    by_run, outcomes = [], []
    for name, errors in study.comparisons["errors"].items():
        tests = errors["structure"]
        alone, given = tests["shared_units"], tests["shared_units_given_emotions"]
        if alone is None or given is None:
            return said("measured-no-units"), NOT_TESTABLE
        by_run.append(
            said(
                "measured-units-run",
                name=name,
                r=alone["r"],
                p=alone["p"],
                given_r=given["r"],
                given_p=given["p"],
            )
        )
        both = alone["p"] < entry.level and given["p"] < entry.level
        outcomes.append("supported" if both else "undecided")
    return said("measured-units", list=by_run), _of_all(outcomes)


MEASUREMENTS: Final[dict[str, Callable[[Study, Entry], Decided]]] = {
    "verdict": _verdict,
    "probe-recall": _probe_recall,
    "background-memorised": _background_memorised,
    "background-reliance": _background_reliance,
    "class-rank": _class_rank,
    "recall-zero": _recall_zero,
    "frequent-share": _frequent_share,
    "shared-units": _shared_units,
    "learning-curve": _learning_curve,
}
"""Measurements that claims.yaml may name, each with its rule."""
