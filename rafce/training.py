"""The training loop: one epoch, fit, and logits of a split."""

import csv
import io
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import ConfigDict, Field
from sklearn.metrics import f1_score
from torchvision.models import ResNet

from rafce import network
from rafce.augment import Augmentation, augment, epoch_draws, mixup, normalise, to_float
from rafce.console import log, progress, show
from rafce.images import Split
from rafce.params import Group
from rafce.streams import stream_seed

SCORING_BATCH = 64
"""Images scored at once after each epoch."""

Precision = Literal["auto", "float32", "bfloat16", "float16"]


class TrainingError(RuntimeError):
    """Training that cannot start or go on; the message names the knob or the step."""


class InferenceParams(Group):
    """The keys of `train` that scoring images needs; the others are ignored.

    `image_size`: side in pixels; `threads`: CPU threads, which decide the rounding.
    """

    model_config = ConfigDict(extra="ignore")

    image_size: int = Field(ge=32, le=1024)
    precision: Precision
    threads: int = Field(ge=1)


class OptimisationParams(InferenceParams):
    """The keys of `train` that every training needs, pretraining too."""

    batch_size: int = Field(ge=2)
    optimizer: Literal["adam", "adamw", "sgd"]
    weight_decay: float = Field(ge=0)


class TrainParams(OptimisationParams):
    """The whole group `train`: what all runs share."""

    model_config = ConfigDict(extra="forbid")

    epochs: int = Field(ge=1)


class LearningRates(Group):
    """Learning rates of the body (stem and layers 1-4) and of the head."""

    body: float = Field(gt=0)
    head: float = Field(gt=0)


class RunParams(Group):
    """What makes one training regime different from the others."""

    title: str
    trainable_parts: list[network.Part] = Field(min_length=1)
    lr: LearningRates
    mixup_alpha: float = Field(ge=0)
    dropout: float = Field(ge=0, lt=1)
    augmentation: Augmentation


@dataclass(frozen=True)
class Epoch:
    """One row of the training history. Losses are mean cross-entropies; accuracies are on clean images in
    eval mode."""

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    val_macro_f1: float


@dataclass(frozen=True)
class Fitted:
    """What training yields: history, the epoch selected on validation accuracy, and both sets of weights."""

    history: list[Epoch]
    selected: Epoch
    selected_state: dict[str, torch.Tensor]
    last_state: dict[str, torch.Tensor]


def prepare_device(threads: int) -> torch.device:
    """The device to compute on, with deterministic algorithms and a fixed number of CPU threads."""
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    log.info(f"device {device}, {torch.get_num_threads()} threads")
    return device


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """The number format of the matrix products.

    `auto`: bfloat16 on CPUs with AVX512-BF16 and on GPUs from compute capability 8.0, float16 on older GPUs,
    else float32.

    Raises:
        TrainingError: float16 without a GPU.
    """
    if precision == "float16" and device.type != "cuda":
        raise TrainingError("train.precision: float16 needs a GPU; use bfloat16 or float32 on a CPU")
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float16
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Mixed precision by autocast; nothing changes for float32."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


@torch.inference_mode()
def predict_logits(
    model: ResNet,
    images: torch.Tensor,
    batch_size: int,
    device: torch.device,
    dtype: torch.dtype,
    title: str = "",
) -> torch.Tensor:
    """Logits of clean images in eval mode: uint8 [N, 3, H, W] -> float32 [N, C] on the CPU."""
    model.eval()
    logits = []
    with progress(title, len(images)) as bar:
        for batch in images.split(batch_size):
            with autocast(device, dtype):
                logits.append(model(normalise(to_float(batch.to(device)))).float().cpu())
            bar.update(len(batch))
    return torch.cat(logits)


def fit(
    model: ResNet,
    train: Split,
    val: Split,
    params: OptimisationParams,
    run: RunParams,
    seed: int,
    device: torch.device,
    epochs: int,
    on_epoch: Callable[[Epoch], None],
    title: str = "",
) -> Fitted:
    """Train `model` and keep the epoch with the best validation accuracy (the earliest of equals).

    `title`: of the bar that a person at a terminal sees; without one there is none.

    Raises:
        TrainingError: fewer training images than a batch, or a loss that is not finite.
    """
    if len(train) < params.batch_size:
        raise TrainingError(
            f"train.batch_size is {params.batch_size}, the train split has {len(train)} images; lower it"
        )
    dtype = resolve_precision(params.precision, device)
    log.info(f"{title or 'fit'}: {len(train)} images, {len(val)} for validation, {dtype}")
    network.freeze(model, run.trainable_parts)
    optimizer = _optimizer(network.parameter_groups(model, run.lr.body, run.lr.head), params)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    # The train accuracy of the curve is taken on as many training images as validation has; `evaluate` scores
    # all.
    sample = torch.randperm(len(train), generator=torch.Generator().manual_seed(stream_seed(seed, "curve")))
    sample = sample[: len(val)].sort().values

    history: list[Epoch] = []
    selected, selected_state = None, None
    images_an_epoch = len(train) // params.batch_size * params.batch_size
    # smoothing=0: the time left follows from the mean speed so far, the scoring between epochs included.
    with progress(title, epochs * images_an_epoch, smoothing=0) as bar:

        def advance(loss: float) -> None:
            val = f", val {100 * history[-1].val_accuracy:.1f} %" if history else ""
            bar.set_postfix_str(f"loss {loss:.3f}{val}", refresh=False)
            bar.update(params.batch_size)

        for number in range(1, epochs + 1):
            bar.set_description(f"{title}  epoch {number}/{epochs}")
            begun = time.perf_counter()
            loss = _train_one_epoch(
                model, train, params, run, seed, device, dtype, optimizer, scaler, number, advance
            )
            speed = images_an_epoch / (time.perf_counter() - begun)
            bar.set_description(f"{title}  epoch {number}/{epochs}, scoring")
            train_logits = predict_logits(model, train.images[sample], SCORING_BATCH, device, dtype)
            val_logits = predict_logits(model, val.images, SCORING_BATCH, device, dtype)
            epoch = Epoch(
                epoch=number,
                train_loss=loss,
                train_accuracy=_accuracy(train_logits, train.labels[sample]),
                val_loss=F.cross_entropy(val_logits, val.labels).item(),
                val_accuracy=_accuracy(val_logits, val.labels),
                val_macro_f1=float(
                    f1_score(
                        val.labels,
                        val_logits.argmax(1),
                        labels=range(len(val.classes)),
                        average="macro",
                        zero_division=0,
                    )
                ),
            )
            history.append(epoch)
            if selected is None or epoch.val_accuracy > selected.val_accuracy:
                selected, selected_state = epoch, network.snapshot(model)
            show(
                f"epoch {number}/{epochs}  loss {loss:.3f}"
                f"  train {100 * epoch.train_accuracy:.1f} % of {len(sample)}"
                f"  val {100 * epoch.val_accuracy:.1f} % of {len(val)}  {speed:.1f} img/s"
            )
            on_epoch(epoch)
    assert selected is not None and selected_state is not None
    return Fitted(history, selected, selected_state, network.snapshot(model))


def history_csv(history: list[Epoch]) -> str:
    """Training history, a row an epoch."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [f.name for f in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: round(v, 6) for k, v in asdict(epoch).items()} for epoch in history)
    return out.getvalue()


def _train_one_epoch(
    model: ResNet,
    train: Split,
    params: OptimisationParams,
    run: RunParams,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
    optimizer: torch.optim.Optimizer,
    scaler: Any,
    epoch: int,
    on_step: Callable[[float], None],
) -> float:
    """One pass over the training images in an order of its own; an incomplete last batch is left out. Mean
    loss."""
    order = torch.randperm(
        len(train), generator=torch.Generator().manual_seed(stream_seed(seed, "order", epoch))
    )
    draws = epoch_draws(seed, epoch, len(train))
    batches = [b for b in order.split(params.batch_size) if len(b) == params.batch_size]
    network.train_mode(model)
    total = 0.0
    for step, batch in enumerate(batches):
        images = augment(to_float(train.images[batch].to(device)), draws[batch].to(device), run.augmentation)
        targets = F.one_hot(train.labels[batch], len(train.classes)).float().to(device)
        images, targets = mixup(images, targets, run.mixup_alpha, seed, epoch, step)
        torch.manual_seed(stream_seed(seed, "dropout", epoch, step))
        with autocast(device, dtype):
            logits = model(normalise(images))
        loss = F.cross_entropy(logits.float(), targets)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} at epoch {epoch}, step {step + 1}; lower the learning rates of "
                f"this run "
                "or set train.precision to float32"
            )
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        total += value
        on_step(value)
    return total / len(batches)


def _accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    return (logits.argmax(1) == labels).double().mean().item()


def _optimizer(groups: list[dict[str, Any]], params: OptimisationParams) -> torch.optim.Optimizer:
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "sgd": lambda groups, **kw: torch.optim.SGD(groups, momentum=0.9, **kw),
    }
    return kinds[params.optimizer](groups, weight_decay=params.weight_decay)
