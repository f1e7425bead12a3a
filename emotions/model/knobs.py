"""Knobs of inference: the keys of `train` that scoring needs."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from emotions.data.knobs import LoadParams

Precision = Literal["auto", "float32", "bfloat16", "float16"]


class InferenceParams(LoadParams):
    """The keys of `train` that scoring images needs; the others are ignored. `threads` affects rounding."""

    precision: Precision


class TrainedParams(InferenceParams):
    """The keys of `train` for scoring, and those that select the training images.

    `fraction`: share of each class's training images (`emotions.data.dataset.stratified`).
    """

    fraction: float = Field(gt=0, le=1)


class TrainedRun(BaseModel):
    """The keys of a run that its scores need, the others ignored. `fraction` replaces `train.fraction`."""

    model_config = ConfigDict(frozen=True)

    title: str
    fraction: float | None = None
