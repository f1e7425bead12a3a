"""The original's claims beside the measurements: the ledger of claims.yaml, and each measurement's rule."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import TypeAdapter, ValidationError

from emotions.evidence.learning_curve import learning_curve
from emotions.evidence.messages import Said, said
from emotions.evidence.study import Entry, Study
from emotions.taxonomy import COMPOUND, RAFCE_COUNTS

OUTCOMES: Final = ("supported", "contradicted", "undecided", "not testable")
"""Outcomes of a claim; `not testable`: not on these data at these settings."""
NOT_TESTABLE: Final = "not testable"


class ClaimsError(ValueError):
    """claims.yaml cannot be used; the message names the entry and the key."""


def read_claims(path: Path) -> list[Entry]:
    """The entries of claims.yaml.

    Raises:
        ClaimsError: an unknown or missing key, an unknown measurement or class.
    """
    try:
        entries = TypeAdapter(list[Entry]).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise ClaimsError(f"{path}: {error}") from error
    for entry in entries:
        if entry.measurement not in MEASUREMENTS:
            raise ClaimsError(
                f"{path}: claim {entry.claim!r}: measurement {entry.measurement!r} is not one of "
                f"{', '.join(MEASUREMENTS)}"
            )
        if entry.emotion and entry.emotion not in COMPOUND:
            raise ClaimsError(f"{path}: claim {entry.claim!r}: {entry.emotion!r} is not a compound emotion")
    return entries


@dataclass(frozen=True)
class Claim:
    """A claim of the original (message `claim-<claim>`) beside what was measured.

    `entry`: its line of claims.yaml. `measured`: a message or a verdict on a run. `verdict`: one of OUTCOMES.
    """

    entry: Entry
    measured: Said | Mapping[str, Any]
    verdict: str


def claims(study: Study) -> list[Claim]:
    """The original's claims, each beside the measurement that decides it here."""
    found = []
    for entry in study.ledger:
        if entry.run and entry.run not in study.runs:
            continue
        measured, verdict = MEASUREMENTS[entry.measurement](study, entry)
        found.append(Claim(entry, measured, verdict))
    return found


Decided = tuple[Said | Mapping[str, Any], str]
"""What was measured (a message, or a verdict on a run), and one of OUTCOMES."""


def _learning_curve(study: Study, entry: Entry) -> Decided:
    """Whether so many images are needed, by the best run's power law for fewer and for as many."""
    law = learning_curve(study.best, study.knobs, study.networks)
    if law is None:
        return said("measured-no-curve", name=study.best), "undecided"
    if not law["holds"]:
        return said(
            "measured-curve-floor", name=study.best, floor=1 - law["floor"], p=law["floor_p"]
        ), "undecided"
    low, high = law["interval"]
    fewer = [one for one in law["predicted"] if law["images"] < one["images"] < entry.images]
    many = [one for one in law["predicted"] if one["images"] >= entry.images]
    shown = [said("measured-curve-at", **one) for one in (*fewer, *many[:1])]
    numbers = {"exponent": law["exponent"], "low": low, "high": high, "images": law["images"]}
    ceiling = said("curve-no-floor", p=law["floor_p"]) if law["floor_p"] is not None else ""
    measured = said("measured-curve", name=study.best, list=shown, ceiling=ceiling, **numbers)
    if any(one["low"] >= entry.threshold for one in fewer):
        return measured, "contradicted"
    return measured, "supported" if many and many[0]["high"] < entry.threshold else "undecided"


def _verdict(study: Study, entry: Entry) -> Decided:
    verdict = next(v for v in study.runs[entry.run]["verdicts"] if v["name"] == entry.verdict)
    outcome = {
        "supported": "supported",
        "not supported": "contradicted",
        "undecided": "undecided",
        "not measured": NOT_TESTABLE,
    }
    return verdict, outcome[verdict["outcome"]]


def _probe_recall(study: Study, entry: Entry) -> Decided:
    """Whether the starting features suffice for a class: the recall of a linear probe on them."""
    found = study.reference["test"]["per_class"].get(entry.emotion)
    if not found or not found["support"]:
        return said("measured-no-image"), NOT_TESTABLE
    low, high = found["interval"]
    verdict = _against(low, high, entry.threshold, below="supported", above="contradicted")
    start, source = study.pretrained, "features-imagenet"
    if start["basic_emotions_epochs"] or not start["weights"].startswith("imagenet"):
        # The claim is about ImageNet's own features, so this number is printed but decides nothing.
        source = "features-basic" if start["basic_emotions_epochs"] else "features-other"
        verdict = NOT_TESTABLE
    numbers = {"recall": found["recall"], "low": low, "high": high, "images": found["support"]}
    return said("measured-probe-recall", source=said(source), **numbers), verdict


def _against(low: float, high: float, threshold: float, *, below: str, above: str) -> str:
    """`below` or `above`, by the side of the threshold on which the interval lies; else undecided."""
    return below if high < threshold else above if low >= threshold else "undecided"


def _background_reliance(study: Study, entry: Entry) -> Decided:
    """Whether answers follow another image's background. Heat alone decides nothing."""
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
        change, follows = val["background"]["swapped"]["difference"], val["follows"]
        if follows is None:
            by_run.append(said("measured-background-constant", name=name))
            outcomes.append("undecided")
            continue
        low, high = follows["interval"]
        numbers = {"to_lender": follows["to_lender"], "by": follows["difference"], "low": low, "high": high}
        by_run.append(said("measured-background-run", name=name, change=change, **numbers))
        outcomes.append(_against(low, high, entry.margin, below="contradicted", above="supported"))
    return said("measured-background", list=by_run), _of_all(outcomes)


def _background_memorised(study: Study, entry: Entry) -> Decided:
    """Whether a run memorised its training images' backgrounds, by the accuracy that swapping them costs."""
    if study.attention[entry.run]["regions"] != "exact":
        return said("measured-no-regions"), NOT_TESTABLE
    found = study.faithfulness[entry.run]
    if not found["measured"]:
        return said("measured-unreliable"), "undecided"
    train, val = (found["rests_on"][split] for split in ("train", "val"))
    low, high = train["background"]["swapped"]["interval"]
    measured = said(
        "measured-memorised",
        change=train["background"]["swapped"]["difference"],
        low=low,
        high=high,
        val=val["background"]["swapped"]["difference"],
        mouth=train["covers"]["mouth"]["difference"],
    )
    return measured, _against(-high, -low, entry.margin, below="contradicted", above="supported")


def _of_all(outcomes: Sequence[str]) -> str:
    """Joint outcome of several runs: theirs where they agree, else undecided."""
    return outcomes[0] if len(set(outcomes)) == 1 else "undecided"


def _class_rank(study: Study, entry: Entry) -> Decided:
    """Whether a class is rare: its rank by training images here, and in RAF-CE as published."""
    name, counts = entry.emotion, study.train_counts
    if name not in counts:
        return said("measured-no-class"), NOT_TESTABLE
    # Classes with equally many images share the rank of the first; none of them is rarer.
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
    """Whether a class is never recognised on test: its recall's upper limit is below the threshold.

    One image recognised with any seed contradicts the claim; none recognised among a few images is not
    evidence. The lower limit does not decide: over seeds that differ it reaches 0.
    """
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
    outcomes = [
        "contradicted"
        if s["per_class"][entry.emotion]["recall"] > 0
        else "supported"
        if s["recall_intervals"][entry.emotion][1] < entry.threshold
        else "undecided"
        for s in scores.values()
    ]
    return said("measured-fails", list=recalls), _of_all(outcomes)


def _frequent_share(study: Study, entry: Entry) -> Decided:
    """Whether the runs predict the three most frequent classes more often than they occur."""
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
