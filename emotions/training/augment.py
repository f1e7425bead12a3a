"""Augmentation as pure functions on batches, on the model's device, with one independent draw per sample.

The draws are a table of uniform numbers, one row per sample. So an image's augmentation depends on the seed,
the epoch and the image, not on its place in a batch.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from emotions.model.preprocessing import MEAN, by_channel
from emotions.random_streams import numpy_stream, stream_seed
from emotions.training.knobs import Augmentation

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma, ITU-R BT.601."""
MAX_ROTATION = 10.0
"""Degrees to either side, `standard` augmentation."""
JITTER = 0.2
"""Largest relative change of brightness, contrast and saturation, `standard` augmentation."""
DRAWS = 5
"""Uniform numbers per image: flip, angle, brightness, contrast, saturation."""

STRONG_ROTATION = 15.0
"""Degrees to either side, `strong` augmentation."""
STRONG_JITTER = 0.4
"""Largest relative change of brightness, contrast and saturation, `strong` augmentation."""
ZOOM = 0.25
"""Largest relative reduction of the side of the square window that `strong` augmentation shows."""
ERASED = (0.02, 0.2)
"""Least and largest erased share of an image, `strong` augmentation; half the images are affected."""
STRONG_DRAWS = DRAWS + 8
"""DRAWS, size and place of the window (3), and whether, area, aspect and place of erasing (5)."""


def epoch_draws(seed: int, epoch: int, images: int, *, kind: Augmentation = "standard") -> torch.Tensor:
    """Uniform numbers in [0, 1) for one epoch, a row per image: float32 [images, DRAWS]. `strong` has
    STRONG_DRAWS columns, the first equal to those of `standard`."""
    generator = torch.Generator().manual_seed(stream_seed(seed, "augmentation", epoch))
    draws = torch.rand(images, DRAWS, generator=generator)
    if kind != "strong":
        return draws
    generator = torch.Generator().manual_seed(stream_seed(seed, "strong augmentation", epoch))
    return torch.cat([draws, torch.rand(images, STRONG_DRAWS - DRAWS, generator=generator)], 1)


def flip(images: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
    """Mirror left-right where `draw` [N] < 0.5."""
    return torch.where((draw < 0.5).view(-1, 1, 1, 1), images.flip(3), images)


def rotate(images: torch.Tensor, draw: torch.Tensor, degrees: float = MAX_ROTATION) -> torch.Tensor:
    """Rotate by up to `degrees` to either side, bilinear, edges mirrored. `draw` [N] in [0, 1)."""
    angle = (2 * draw - 1) * math.radians(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    theta = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def jitter(images: torch.Tensor, draws: torch.Tensor, strength: float = JITTER) -> torch.Tensor:
    """Scale brightness, contrast and saturation by factors in 1 +- `strength`. `draws` [N, 3]; result in [0,
    1]."""
    brightness, contrast, saturation = (1 + strength * (2 * draws - 1)).view(-1, 3, 1, 1, 1).unbind(1)
    images = (images * brightness).clamp(0, 1)
    images = torch.lerp(_grey(images).mean((2, 3), keepdim=True), images, contrast).clamp(0, 1)
    return torch.lerp(_grey(images), images, saturation).clamp(0, 1)


def zoom(images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Enlarge a square window of each image to full size, bilinear. `draws` [N, 3]: its side, from 1 - ZOOM
    to 1 of the image's, and its place across and down."""
    side = 1 - ZOOM * draws[:, 0]
    across, down = ((2 * draws[:, i] - 1) * (1 - side) for i in (1, 2))
    zero = torch.zeros_like(side)
    theta = torch.stack([torch.stack([side, zero, across], 1), torch.stack([zero, side, down], 1)], 1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def erase(images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Fill a rectangle of half the images with ImageNet's mean colour (random erasing, Zhong et al. 2020,
    arXiv 1708.04896). `draws` [N, 5]: whether (< 0.5), its area within ERASED, its aspect from 1:3 to 3:1,
    its place across and down."""
    area = ERASED[0] + (ERASED[1] - ERASED[0]) * draws[:, 1]
    aspect = 3 ** (2 * draws[:, 2] - 1)
    height, width = (area * aspect).sqrt(), (area / aspect).sqrt()

    def inside(pixels: int, extent: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Mask of the pixels of a side that lie in the rectangle: bool [N, pixels]."""
        centres = (torch.arange(pixels, device=images.device) + 0.5) / pixels
        start = (place * (1 - extent))[:, None]
        return (centres >= start) & (centres < start + extent[:, None])

    rows, columns = (inside(images.shape[d], e, draws[:, i]) for d, e, i in ((2, height, 4), (3, width, 3)))
    erased = rows[:, None, :, None] & columns[:, None, None, :] & (draws[:, 0] < 0.5)[:, None, None, None]
    return torch.where(erased, by_channel(MEAN, images.device), images)


def augment(images: torch.Tensor, draws: torch.Tensor, kind: Augmentation) -> torch.Tensor:
    """Apply an augmentation to float images [N, 3, H, W] in [0, 1] with `draws` from `epoch_draws`.

    `standard`: flip, rotation, jitter. `strong`: flip, larger rotation and jitter, zoom, erasing.
    """
    if kind == "none":
        return images
    images = flip(images, draws[:, 0])
    if kind == "standard":
        return jitter(rotate(images, draws[:, 1]), draws[:, 2:])
    images = zoom(rotate(images, draws[:, 1], STRONG_ROTATION), draws[:, DRAWS : DRAWS + 3])
    return erase(jitter(images, draws[:, 2:DRAWS], STRONG_JITTER), draws[:, DRAWS + 3 :])


def mixup_draws(
    seed: int, epoch: int, step: int, *, size: int, alpha: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mixing weight of each image of a batch, Beta(alpha, alpha), float32 [size], and its partner's place in
    the batch, int64 [size]."""
    draws = numpy_stream(seed, "mixup", epoch, step)
    weight = torch.from_numpy(draws.beta(alpha, alpha, size).astype(np.float32))
    return weight, torch.from_numpy(draws.permutation(size))


def mixup(one: torch.Tensor, other: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Mix images or targets [N, ...] sample by sample (Zhang et al. 2018, arXiv 1710.09412).

    Args:
        weight: [N], weight of `one`; `other` has the rest.
    """
    weight = weight.view(-1, *[1] * (one.dim() - 1))
    return weight * one + (1 - weight) * other


def _grey(images: torch.Tensor) -> torch.Tensor:
    """Luma of RGB images: float32 [N, 1, H, W]."""
    return (images * by_channel(LUMA, images.device)).sum(1, keepdim=True)
