"""Knobs of training: `runs` (what a run may set), `train` (what all runs share), `pretrained` (the start)."""

import math
from typing import Literal

from pydantic import ConfigDict, Field

from emotions.model.knobs import InferenceParams, TrainedParams
from emotions.model.parts import Part
from emotions.params_file import Group

Augmentation = Literal["none", "standard", "strong"]


class OptimisationParams(InferenceParams):
    """The keys of `train` that every training needs, pretraining too.

    `batch_size`: images per step, over all processes.
    """

    batch_size: int = Field(ge=2)
    optimizer: Literal["adam", "adamw", "sgd"]
    weight_decay: float = Field(ge=0)


class TrainParams(OptimisationParams, TrainedParams):
    """The whole group `train`: what all runs share."""

    model_config = ConfigDict(extra="forbid")

    epochs: int = Field(ge=1)


class LearningRates(Group):
    """Learning rates of the body (stem and layers 1-4) and of the head. `decay`: ratio of each body part's
    rate to that of the part after it (`emotions.model.resnet.parameter_groups`)."""

    body: float = Field(gt=0)
    head: float = Field(gt=0)
    decay: float = Field(default=1.0, gt=0, le=1)


class RunParams(Group):
    """Settings that differ between training regimes. Keys with a default may be left out.

    `epochs`, `fraction`: replace those of `train`. `schedule`: learning-rate schedule after a linear rise
    over `warmup_epochs`; `cosine` falls to zero by the last step (Loshchilov and Hutter 2017,
    arXiv 1608.03983).
    `ema_decay`: decay of an exponential moving average of the weights, updated after each step, then scored
    and kept; 0 = the weights themselves. `logit_adjustment`: factor of the log class shares added to the
    logits in the loss, so that rare classes count (Menon et al. 2021, arXiv 2007.07314).
    `label_smoothing`: share of the target spread evenly (Szegedy et al. 2016, arXiv 1512.00567).
    `soft_labels`: share of the target taken from the votes (`emotions.training.targets`).
    """

    title: str
    trainable_parts: list[Part] = Field(min_length=1)
    lr: LearningRates
    mixup_alpha: float = Field(ge=0)
    dropout: float = Field(ge=0, lt=1)
    augmentation: Augmentation
    epochs: int | None = Field(default=None, ge=1)
    fraction: float | None = Field(default=None, gt=0, le=1)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: float = Field(default=0.0, ge=0)
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    logit_adjustment: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    soft_labels: float = Field(default=0.0, ge=0, le=1)

    def lr_factor(self, step: int, steps_an_epoch: int, epochs: int) -> float:
        """Learning-rate factor at a step, counted from 0 over all epochs."""
        warm = self.warmup_epochs * steps_an_epoch
        if step < warm:
            return (step + 1) / (warm + 1)
        if self.schedule == "constant":
            return 1.0
        return (1 + math.cos(math.pi * (step - warm) / (epochs * steps_an_epoch - warm))) / 2


class BasicEmotionsParams(Group):
    """Training on single emotions before compounds (the curriculum of arXiv 2503.07969); 0 epochs: none."""

    epochs: int = Field(ge=0)
    lr: float = Field(gt=0)


class PretrainedParams(Group):
    """`weights`: `none`, `imagenet1k_v1`, `imagenet1k_v2`, or a file name under data/raw/weights/."""

    weights: str
    basic_emotions: BasicEmotionsParams
