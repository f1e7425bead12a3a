"""What a network is trained towards: one-hot labels, soft labels from votes, the classes' prior."""

import torch
import torch.nn.functional as F

from emotions.data.dataset import Split
from emotions.data.manifest import Row, shares_of
from emotions.taxonomy import SIX, components


class TargetsError(ValueError):
    """Targets that these images cannot give; the message names the key and the remedy."""


def targets(split: Split, soft: float) -> torch.Tensor:
    """Class distribution of each image, float32 [N, C]: `soft` of what the votes say, the rest its label.

    An image without votes keeps its label alone.

    Raises:
        TargetsError: no image of the split has votes that name one of its classes.
    """
    hard = F.one_hot(split.labels, len(split.classes)).float()
    if soft == 0:
        return hard
    voted = [of_votes(row, split.classes) for row in split.rows]
    if not any(one is not None for one in voted):
        raise TargetsError("soft_labels: these images have no votes; set it to 0, or use a source that has")
    whole = torch.stack(
        [h if v is None else torch.tensor(v).float() for h, v in zip(hard, voted, strict=True)]
    )
    return torch.lerp(hard, whole, soft)


def of_votes(row: Row, classes: tuple[str, ...]) -> list[float] | None:
    """Shares of the classes by the votes for single emotions: a compound's is proportional to the product of
    its two emotions' shares, the chance that two voters name them. None without votes for any of them."""
    shares = shares_of(row)
    if shares is None:
        return None
    of = dict(zip(SIX, shares, strict=True))
    products = [of[first] * of[second] for first, second in map(components, classes)]
    total = sum(products)
    return [p / total for p in products] if total > 0 else None


def log_prior(targets: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Logarithms of the classes' mean shares of the targets, float32 [N, C] -> [C], smoothing included.

    Of what is trained towards, not of the labels: a share of 0.01 that smoothing gives a class of 0.001 would
    be overdone tenfold by the labels' prior.
    """
    mean = targets.double().mean(0)
    return ((1 - smoothing) * mean + smoothing / len(mean)).log().float()
