"""Training targets: one-hot labels, soft labels from votes, the class prior."""

import torch
import torch.nn.functional as F

from emotions.data.dataset import Split
from emotions.data.manifest import Row, shares_of
from emotions.taxonomy import SIX, components


class TargetsError(ValueError):
    """Targets that the images do not support; the message names the key and the remedy."""


def targets(split: Split, soft: float) -> torch.Tensor:
    """Class distribution of each image, float32 [N, C]: share `soft` from votes, the rest from its label.

    An image without votes keeps its label alone.

    Raises:
        TargetsError: no image of the split has votes that name one of its classes.
    """
    hard = F.one_hot(split.labels, len(split.classes)).float()
    if soft == 0:
        return hard
    voted = [of_votes(row, split.classes) for row in split.rows]
    if not any(one is not None for one in voted):
        raise TargetsError("soft_labels: these images have no votes; set it to 0 or use a source with votes")
    whole = torch.stack(
        [h if v is None else torch.tensor(v).float() for h, v in zip(hard, voted, strict=True)]
    )
    return torch.lerp(hard, whole, soft)


def of_votes(row: Row, classes: tuple[str, ...]) -> list[float] | None:
    """Class shares from votes for single emotions. A compound's share is proportional to the product of its
    two emotions' shares: the chance that two voters name them. None without votes for any class."""
    shares = shares_of(row)
    if shares is None:
        return None
    of = dict(zip(SIX, shares, strict=True))
    products = [of[first] * of[second] for first, second in map(components, classes)]
    total = sum(products)
    return [p / total for p in products] if total > 0 else None


def log_prior(targets: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Logarithms of the mean class shares of the targets, float32 [N, C] -> [C], smoothing included.

    The prior is that of the targets, not of the labels: where smoothing raises a class from 0.001 to 0.01,
    the labels' prior would adjust it tenfold too much.
    """
    mean = targets.double().mean(0)
    return ((1 - smoothing) * mean + smoothing / len(mean)).log().float()
