"""Knobs of scores, probes and verdicts: `evaluate`, `uncertainty`, `probe`, `diagnosis`."""

from typing import Annotated

from pydantic import Field

from emotions.params_file import Group


class EvaluateParams(Group):
    """`batch_size`: images scored at once; it changes memory and speed, not the scores."""

    batch_size: int = Field(ge=1)


class UncertaintyParams(Group):
    """`replicates`: resamples of a split for an interval or a p-value. `simulations`: simulated studies for
    the coverage and the power; with 1,000 the standard error is 0.7 points at 95 %. `permutations`: orders of
    the classes in the tests of `emotions.evidence.confusion_structure`."""

    replicates: int = Field(ge=100)
    simulations: int = Field(ge=100)
    permutations: int = Field(ge=99)


class ProbeParams(Group):
    """`regularisation`: inverse strengths C that the linear probe chooses from by validation accuracy."""

    regularisation: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)


class DiagnosisParams(Group):
    """Thresholds of verdicts, as fractions.

    `overfitting_gap`: train minus val accuracy at the last epoch. `val_loss_rise`: relative rise of
    the validation loss at the last epoch above its lowest. `underfitting_train_accuracy`: clean train
    accuracy at the last epoch. `plateau`: change that counts as none, of the train accuracy over the last
    half of epochs and of the validation accuracy by a longer run.
    `retention_drop`: loss of accuracy on the source task.
    `probe_drop`: loss of accuracy of a linear probe on the features. `seed_deviation`: standard deviation of
    the validation accuracy over seeds.
    """

    overfitting_gap: float = Field(gt=0, lt=1)
    val_loss_rise: float = Field(gt=0)
    underfitting_train_accuracy: float = Field(gt=0, lt=1)
    plateau: float = Field(ge=0, lt=1)
    retention_drop: float = Field(ge=0, lt=1)
    probe_drop: float = Field(ge=0, lt=1)
    seed_deviation: float = Field(gt=0, lt=1)
