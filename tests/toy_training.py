"""Trainings of moments: a shallow ResNet on noise in which the brightest channel tells the class."""

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock

from emotions import inference
from emotions.data.dataset import Split
from emotions.data.manifest import Row
from emotions.model.resnet import PARTS, DropoutLinear
from emotions.runtime import outs
from emotions.training import distributed, loop
from emotions.training.checkpoints import Checkpoints
from emotions.training.knobs import OptimisationParams, RunParams
from emotions.training.loop import Fitted

CPU = torch.device("cpu")
CLASSES = ("Sadly_Fearful", "Sadly_Angry", "Sadly_Surprised")
VOTES = "0.4 0.2 0 0 0.2 0.2"


def shallow(dropout: float = 0.0, classes: int = 3) -> ResNet:
    """A ResNet of one basic block a layer, always with the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=classes)
        model.fc = DropoutLinear(512, classes, dropout)
    return model.to(memory_format=torch.channels_last)


def split(images: int, seed: int = 0) -> Split:
    """Noise in which the brightest channel tells the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % 3
    pixels = torch.randint(0, 120, (images, 3, 32, 32), generator=generator)
    pixels[torch.arange(images), labels] += 130
    rows = [
        Row(f"{i}.png", CLASSES[c], "compound", "train", "", "", "", "", str(i), "", VOTES)
        for i, c in enumerate(labels)
    ]
    return Split(rows, CLASSES, pixels.to(torch.uint8), labels, "")


TRAIN, VAL = split(11), split(6, seed=1)


def params(**changes: Any) -> OptimisationParams:
    values = {
        "image_size": 32,
        "precision": "float32",
        "threads": 1,
        "store_gb": 1.0,
        "fraction": 1.0,
        "batch_size": 4,
        "optimizer": "adam",
        "weight_decay": 0.0,
    }
    return OptimisationParams(**values | changes)


def regime(body: float = 1e-3, head: float = 1e-3, **changes: Any) -> RunParams:
    values = {
        "title": "Any",
        "trainable_parts": list(PARTS),
        "lr": {"body": body, "head": head},
        "mixup_alpha": 0.0,
        "dropout": 0.0,
        "augmentation": "none",
    }
    return RunParams(**values | changes)


def alone(precision: str = "float32") -> Accelerator:
    """One process on the CPU; in the tests, unlike in a stage, one of another precision may come before."""
    AcceleratorState._reset_state(reset_partial_state=True)
    return distributed.start(CPU, inference.resolve_precision(precision, CPU))  # type: ignore[arg-type]


def fit(
    model: ResNet,
    run: RunParams,
    epochs: int = 1,
    seed: int = 0,
    train: Split = TRAIN,
    checkpoints: Checkpoints | None = None,
    **changes: Any,
) -> Fitted:
    values = params(**changes)
    accelerator = alone(values.precision)
    return loop.fit(
        model,
        train,
        VAL,
        params=values,
        run=run,
        seed=seed,
        accelerator=accelerator,
        epochs=epochs,
        on_epoch=lambda epoch: None,
        title="",
        checkpoints=checkpoints,
    )


FULL = {
    "mixup_alpha": 0.4,
    "dropout": 0.5,
    "augmentation": "strong",
    "schedule": "cosine",
    "warmup_epochs": 0.5,
    "ema_decay": 0.9,
    "logit_adjustment": 1.0,
    "label_smoothing": 0.1,
    "soft_labels": 0.5,
}
"""All that a regime can have."""


def weights_of(fitted: Fitted, path: Path) -> bytes:
    outs.write_torch(path, {"selected": fitted.selected_state, "last": fitted.last_state})
    return path.read_bytes()
