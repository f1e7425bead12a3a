"""From measured evidence to a verdict on a run. No verdict without its measurement."""

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from pydantic import Field

from rafce.params import Group

Outcome = Literal["supported", "not supported", "not measured"]

VERDICTS: Final = ("overfitting", "underfitting", "under-trained", "catastrophic forgetting")


class DiagnosisParams(Group):
    """Thresholds that verdicts use; fractions.

    `overfitting_gap`: train minus val accuracy at the last epoch from which a run counts as overfitting.
    `underfitting_train_accuracy`: clean train accuracy at the last epoch below which a run counts as
    underfitting. `plateau`: a run still learns when its train accuracy rose by more than this over its last
    third of epochs.
    """

    overfitting_gap: float = Field(gt=0, lt=1)
    underfitting_train_accuracy: float = Field(gt=0, lt=1)
    plateau: float = Field(ge=0, lt=1)


@dataclass(frozen=True)
class Verdict:
    """One of VERDICTS, whether the evidence supports it, and the fractions that decided it, by name."""

    name: str
    outcome: Outcome
    evidence: dict[str, float]


def diagnose(
    train_accuracy: float, val_accuracy: float, curve: list[float], params: DiagnosisParams
) -> list[dict[str, Any]]:
    """Verdicts on one run, in the order of VERDICTS.

    Underfitting: a low train accuracy that no longer rises. Under-trained: one that still does. Forgetting is
    never decided by accuracies: it needs the source task's accuracy before and after fine-tuning.

    Args:
        train_accuracy, val_accuracy: clean accuracies at the last epoch. curve: train accuracy by epoch.

    Returns:
        Dicts with `name`, `outcome`, `evidence`. `curve`, the end of the curve, and `rise`, its change in the
        last third of epochs, are absent after one epoch.
    """
    gap = round(train_accuracy - val_accuracy, 6)
    rise = curve[-1] - curve[-1 - max(1, len(curve) // 3)] if len(curve) > 1 else None
    low = train_accuracy < params.underfitting_train_accuracy
    learning = None if rise is None else rise > params.plateau

    def unable(still: bool) -> Outcome:
        if low and learning is None:
            return "not measured"
        return "supported" if low and learning == still else "not supported"

    reached = {"train_accuracy": train_accuracy, "threshold": params.underfitting_train_accuracy}
    if rise is not None:
        reached |= {"rise": rise, "curve": curve[-1]}
    verdicts = (
        Verdict(
            "overfitting",
            "supported" if gap >= params.overfitting_gap else "not supported",
            {"gap": gap, "threshold": params.overfitting_gap},
        ),
        Verdict("underfitting", unable(still=False), reached),
        Verdict("under-trained", unable(still=True), reached),
        Verdict("catastrophic forgetting", "not measured", {}),
    )
    return [asdict(v) for v in verdicts]
