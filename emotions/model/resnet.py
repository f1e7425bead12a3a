"""ResNet-50 and its named parts: building, freezing, parameter groups, snapshots."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torchvision.models import ResNet, resnet50

from emotions.model.parts import PARTS, Part
from emotions.random_streams import stream_seed


class DropoutLinear(nn.Linear):
    """The head: dropout, then linear. Its weights keep torchvision's names (`fc.*`).

    `keep`: mask of the features kept in the next training batch, bool [N, in_features]. The training loop
    sets it, so that the draws depend on the images, not on the process or device.
    """

    def __init__(self, in_features: int, out_features: int, dropout: float) -> None:
        super().__init__(in_features, out_features)
        self.dropout = dropout
        self.keep = torch.ones(0, in_features, dtype=torch.bool)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """features: [N, in_features] -> logits [N, out_features]."""
        if self.training and self.dropout:
            features = features * self.keep / (1 - self.dropout)
        return super().forward(features)


def dropout_draws(seed: int, epoch: int, step: int, *, size: int, head: DropoutLinear) -> torch.Tensor:
    """Mask of the features kept in each image of a batch: bool [size, in_features]."""
    generator = torch.Generator().manual_seed(stream_seed(seed, "dropout", epoch, step))
    return torch.rand(size, head.in_features, generator=generator) >= head.dropout


def build(classes: int, dropout: float, seed: int, *, zero_init_residual: bool = False) -> ResNet:
    """A randomly initialised ResNet-50 (channels_last); body and head draw from separate streams.

    Args:
        zero_init_residual: each block begins as the identity (Goyal et al. 2017, arXiv 1706.02677, 5.1).
        Without it few steps of training from random weights teach next to nothing.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "initialisation", "body"))
        model = resnet50(weights=None, num_classes=1, zero_init_residual=zero_init_residual)
        torch.manual_seed(stream_seed(seed, "initialisation", "head"))
        model.fc = DropoutLinear(model.fc.in_features, classes, dropout)
    return model.to(memory_format=torch.channels_last)


def part(model: ResNet, name: Part) -> list[nn.Module]:
    """The modules that make up a part."""
    if name == "stem":
        return [model.conv1, model.bn1]
    return [model.fc if name == "head" else getattr(model, name)]


def freeze(model: ResNet, trainable: Iterable[Part]) -> None:
    """Freeze all parameters but those of the `trainable` parts."""
    for name in PARTS:
        for module in part(model, name):
            module.requires_grad_(name in tuple(trainable))


def train_mode(model: ResNet) -> None:
    """Set trainable parts to training mode; frozen parts stay in eval mode, batch-norm statistics
    included."""
    model.eval()
    for name in PARTS:
        for module in part(model, name):
            if any(p.requires_grad for p in module.parameters()):
                module.train()


def recompute_statistics(model: ResNet, batches: Iterable[torch.Tensor]) -> None:
    """Replace the batch-norm statistics of the parts in training by the mean over `batches`.

    Where Mixup trains, running statistics describe mixed images, and clean ones are scored with them. Those
    of frozen parts stay, and so does dropout's mask.

    Args:
        batches: clean images, float [n, 3, H, W], normalised.
    """
    train_mode(model)
    model.fc.eval()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d) and m.training]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches, in place of a running one
    if norms:
        with torch.no_grad():
            for images in batches:
                model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def parameter_groups(
    model: ResNet, body_lr: float, head_lr: float, *, decay: float = 1.0
) -> list[dict[str, Any]]:
    """Optimiser groups of the trainable parameters: body and head, each with its learning rate.

    With `decay` below 1, layer4 has the body's rate, and each earlier part `decay` times that of the part
    after it (discriminative fine-tuning, Howard and Ruder 2018, arXiv 1801.06146).
    """
    wanted: list[tuple[str, float, tuple[Part, ...]]] = [("body", body_lr, PARTS[:-1])]
    if decay < 1:
        wanted = [(p, body_lr * decay**back, (p,)) for back, p in enumerate(reversed(PARTS[:-1]))]
    groups = []
    for name, lr, parts in (*wanted, ("head", head_lr, PARTS[-1:])):
        parameters = [q for n in parts for m in part(model, n) for q in m.parameters() if q.requires_grad]
        if parameters:
            groups.append({"params": parameters, "lr": lr, "name": name})
    return groups


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the state dict on the CPU, contiguous: tensors only."""
    return {
        k: v.detach().cpu().clone(memory_format=torch.contiguous_format)
        for k, v in model.state_dict().items()
    }
