"""Preprocessing: scale to [0, 1], subtract ImageNet's channel means, divide by their deviations."""

import functools

import torch

MEAN = (0.485, 0.456, 0.406)
"""ImageNet's channel means (RGB, in [0, 1]), as torchvision's weights expect them."""


STD = (0.229, 0.224, 0.225)
"""ImageNet's channel standard deviations."""


@functools.cache
def by_channel(values: tuple[float, float, float], device: torch.device) -> torch.Tensor:
    """A number for each channel, float32 [1, 3, 1, 1]. Cached on the device: each new copy would wait for
    all pending GPU work."""
    with torch.inference_mode(False):  # cached tensors must serve training, too
        return torch.tensor(values, device=device).view(1, 3, 1, 1)


def to_float(images: torch.Tensor) -> torch.Tensor:
    """uint8 [N, 3, H, W] -> float32 in [0, 1]."""
    return images.float() / 255


def normalise(images: torch.Tensor) -> torch.Tensor:
    """float [N, 3, H, W] in [0, 1] -> zero mean, unit deviation by ImageNet's statistics, channels_last."""
    mean, std = (by_channel(values, images.device) for values in (MEAN, STD))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)
