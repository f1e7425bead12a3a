"""Resuming an interrupted training: what a checkpoint holds, and how it is restored."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from emotions.training.checkpoints import Checkpoints

State = Mapping[str, Any]
"""Content of a checkpoint: tensors and plain values."""


@dataclass(frozen=True)
class Epoch:
    """One row of the training history. Losses are mean cross-entropies; accuracies are on clean images in
    eval mode.

    `learning_rate`: the highest of the parameter groups, at the last step. `gradient_norm`: mean over
    the steps of the L2 norm of all gradients, before the optimizer step.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    val_macro_f1: float
    learning_rate: float
    gradient_norm: float


@dataclass
class TrainingState:
    """Progress of a training: completed epochs, and the current epoch's steps and sums of their losses and
    gradient norms.

    `selected`: weights of the best epoch so far.
    """

    history: list[Epoch]
    selected: dict[str, torch.Tensor] | None = None
    steps: int = 0
    loss: float = 0.0
    gradient_norm: float = 0.0

    @property
    def best(self) -> Epoch:
        """The earliest epoch of the highest validation accuracy."""
        return max(self.history, key=lambda epoch: epoch.val_accuracy)


def newest(checkpoints: Checkpoints | None, accelerator: Accelerator) -> State | None:
    """The newest readable checkpoint, the same in all processes; None where there is none."""
    found = [checkpoints.newest() if checkpoints and accelerator.is_main_process else None]
    if accelerator.num_processes > 1:  # the others may be on machines that do not see the folder
        broadcast_object_list(found)
    return found[0]


def restore(state: State, model: nn.Module, optimizer: Optimizer, *, average: AveragedModel | None) -> None:
    """Load the checkpoint into network, optimizer and averaged weights, before accelerate wraps them."""
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    if average is not None:
        average.load_state_dict(state["average"])


def reached(state: State | None, scaler: Any) -> TrainingState:
    """Progress stored in a checkpoint; `scaler`: accelerate's, for float16; its state is restored, too."""
    if state is None:
        return TrainingState([])
    if scaler is not None:
        scaler.load_state_dict(state["scaler"])
    history = [Epoch(**epoch) for epoch in state["history"]]
    sums = (state["loss"], state["gradient_norm"])
    return TrainingState(history, state["selected"], state["steps"], *sums)


def kept(
    so_far: TrainingState,
    model: nn.Module,
    optimizer: Any,
    *,
    average: AveragedModel | None,
    scaler: Any,
) -> dict[str, Any]:
    """Checkpoint content for `restore` and `reached`."""
    just_selected = average is None and so_far.steps == 0 and so_far.best is so_far.history[-1]
    return {
        # torch.save stores a shared tensor once.
        "model": so_far.selected if just_selected else model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average.state_dict() if average is not None else {},
        "scaler": scaler.state_dict() if scaler is not None else {},
        "history": [asdict(epoch) for epoch in so_far.history],
        "selected": so_far.selected,
        "steps": so_far.steps,
        "loss": so_far.loss,
        "gradient_norm": so_far.gradient_norm,
    }
