"""The sentences of verdicts and claims: message and values for each measurement."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emotions.evidence.claims import Claim
from emotions.evidence.messages import Said, said
from emotions.evidence.study import Entry


@dataclass(frozen=True)
class ToldClaim:
    """A claim of the ledger as the report prints it. `rule`: how it is decided."""

    claim: str
    number: int
    rule: Said
    measured: Said
    verdict: str


def claim_sentences(claim: Claim) -> ToldClaim:
    """A claim, its rule and its measurement as messages."""
    measured = claim.measured if isinstance(claim.measured, Said) else verdict_sentence(claim.measured)
    entry = claim.entry
    return ToldClaim(entry.claim, entry.number, rule_sentence(entry), measured, claim.verdict)


def verdict_sentence(verdict: Mapping[str, Any]) -> Said:
    """The sentence with the numbers that decided a verdict, and what would change it."""
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
            return said("evidence-longer", **_change(numbers, "longer"))
        return said("evidence-no-longer-run", trend=_trend(numbers))
    if name == "catastrophic-forgetting":
        parts = [
            said(f"evidence-{what}", **_change(numbers, what), threshold=numbers[f"{what}_threshold"])
            for what in ("retention", "probe")
            if what in numbers
        ]
        if "retention" not in numbers:
            parts.insert(0, said("evidence-retention-unknown"))
        return said("evidence-forgetting", list=parts, change=said(f"change-forgetting-{outcome}"))
    return said("evidence-unstable", **numbers) if numbers else said("evidence-one-seed")


def rule_sentence(entry: Entry) -> Said:
    values = entry.model_dump(exclude={"claim", "number", "measurement"})
    name = said(f"verdict-{entry.verdict.replace(' ', '-')}") if entry.verdict else ""
    emotion = said(entry.emotion) if entry.emotion else ""
    return said(f"rule-{entry.measurement}", **values | {"verdict": name, "emotion": emotion})


def _change(numbers: Mapping[str, float], what: str) -> dict[str, float]:
    """A change of accuracy with its interval."""
    return {"by": numbers[what], "low": numbers[f"{what}_low"], "high": numbers[f"{what}_high"]}


def _trend(numbers: Mapping[str, float]) -> Said:
    return said("trend", **numbers) if "rise" in numbers else said("no-trend")
