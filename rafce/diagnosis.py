"""From measured evidence to a verdict on a run. No verdict without its measurement."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import Field

from rafce.params import Group

Outcome = Literal["supported", "not supported", "not measured"]


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
    """One verdict: what it says, whether the evidence supports it, and the evidence in words."""

    name: str
    outcome: Outcome
    evidence: str


def diagnose(
    train_accuracy: float, val_accuracy: float, curve: list[float], params: DiagnosisParams
) -> list[dict[str, Any]]:
    """Verdicts on one run.

    Underfitting: a low train accuracy that no longer rises. Under-trained: one that still does.

    Args:
        train_accuracy, val_accuracy: clean accuracies at the last epoch. curve: train accuracy by epoch.
    """
    gap = round(train_accuracy - val_accuracy, 6)
    before = curve[-1 - max(1, len(curve) // 3)] if len(curve) > 1 else None
    rise = None if before is None else curve[-1] - before
    low = train_accuracy < params.underfitting_train_accuracy
    learning = None if rise is None else rise > params.plateau
    reached = (
        f"train accuracy at the last epoch {_percent(train_accuracy)}, threshold "
        f"{_percent(params.underfitting_train_accuracy)}"
    )
    if rise is None:
        reached += "; one epoch cannot show whether the run still learns"
    else:
        reached += f"; it changed by {100 * rise:+.1f} points over the last third of epochs"

    def unable(still: bool) -> Outcome:
        if low and learning is None:
            return "not measured"
        return "supported" if low and learning == still else "not supported"

    verdicts = [
        Verdict(
            "overfitting",
            "supported" if gap >= params.overfitting_gap else "not supported",
            f"gap at the last epoch {100 * gap:.1f} points, threshold {100 * params.overfitting_gap:.1f}",
        ),
        Verdict("underfitting", unable(still=False), reached),
        Verdict("under-trained", unable(still=True), reached),
        Verdict(
            "catastrophic forgetting",
            "not measured",
            "accuracies alone cannot show it: it needs the source task's accuracy before and after "
            "fine-tuning",
        ),
    ]
    return [asdict(v) for v in verdicts]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
