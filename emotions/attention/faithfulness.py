"""Faithfulness of class-activation maps: they should change with the weights and mark what the network uses.

Two tests, each against an uninformed map. *Parameter randomisation* (Adebayo et al. 2018, NeurIPS 31)
replaces the weights by random ones, part by part from the head down. Maps that stay the same show the picture
and not the network. *ROAD* (Rong et al. 2022, ICML, in the grad-cam library) fills in the pixels that a map
ranks highest, then those it ranks lowest. With a good map the first hurts the answer more. The same is done
with random maps and with one that marks the middle.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_grad_cam.metrics.road import ROADCombined
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from scipy.stats import rankdata
from torchvision.models import ResNet

from emotions.attention.cam import heat_maps
from emotions.evidence.intervals import mean_interval
from emotions.model import resnet
from emotions.model.preprocessing import normalise, to_float
from emotions.model.resnet import PARTS
from emotions.random_streams import numpy_stream, stream_seed
from emotions.runtime.console import progress

PERCENTILES: Final = (20, 40, 60, 80)
"""Percentages of the pixels that ROAD fills in, one after another."""
CENTRE_WIDTH: Final = 0.25
"""Standard deviation of the map that marks the middle, as a share of the image's side."""


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlation of paired maps [N, H, W], float [N]; 0 where either map is constant."""
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    centred = [r - r.mean(1, keepdims=True) for r in ranks]
    product = (centred[0] * centred[1]).sum(1)
    norms = np.sqrt((centred[0] ** 2).sum(1) * (centred[1] ** 2).sum(1))
    return np.divide(product, norms, out=np.zeros(len(product)), where=norms > 0)


def randomised(model: ResNet, seed: int) -> Iterator[str]:
    """Replace the weights of `model` by those of a new network, part by part from the head down, and yield
    the name of each part after it. Batch-norm statistics become those of a new network, too."""
    fresh = resnet.build(model.fc.out_features, 0.0, seed=seed)
    for name in reversed(PARTS):
        for own, new in zip(resnet.part(model, name), resnet.part(fresh, name), strict=True):
            own.load_state_dict(new.state_dict())
        yield name


@torch.inference_mode()
def answers(model: ResNet, images: torch.Tensor, batch_size: int, *, device: torch.device) -> list[int]:
    """The class that `model` gives each image, uint8 [N, 3, H, W]."""
    model.eval()
    found: list[int] = []
    for batch in images.split(batch_size):
        found += model(normalise(to_float(batch.to(device)))).argmax(1).tolist()
    return found


def to_cells(heat: np.ndarray, grid: int) -> np.ndarray:
    """Average maps over the cells of their layer, float [N, H, W] -> [N, grid, grid]. The pixels between
    cells are interpolated, and would raise any correlation of two maps."""
    return F.adaptive_avg_pool2d(torch.from_numpy(heat)[:, None], grid)[:, 0].numpy()


def randomisation(
    model: ResNet,
    images: torch.Tensor,
    heat: np.ndarray,
    *,
    method: str,
    layer: str,
    grid: int,
    batch_size: int,
    device: torch.device,
    seed: int,
    title: str = "",
) -> tuple[dict[str, Any], np.ndarray]:
    """Rank correlation of the maps with those after randomisation, and the maps of a fully random network,
    float32 [N, H, W]. The weights of `model` are lost.

    Each network explains its own answer. To a network with a random head one class is as good as another, and
    the map of a class that it does not answer is often empty. Faces lie in the middle, and edges draw heat
    under any weights, so the correlation stays high where every map avoids the background. It therefore only
    describes; a number is judged by whether that number changes (`passed`).

    Args:
        images: uint8 [N, 3, H, W]; N at least 2. heat: float [N, H, W], the maps of `model` for
        its answers.

    Returns:
        `by_part`: last part randomised, counting from the head -> mean correlation. `all`: mean and 95 %
        interval with all parts random. `other_image`: mean correlation of maps of different images, a
        baseline for how alike maps are anyway.
    """
    trained = to_cells(heat, grid)
    by_part: dict[str, float] = {}
    last, maps = np.zeros(len(heat)), heat
    for part in randomised(model, stream_seed(seed, "randomisation")):
        targets = answers(model, images, batch_size, device=device)
        maps = heat_maps(
            model,
            images,
            targets,
            method=method,
            layer=layer,
            batch_size=batch_size,
            device=device,
            title=f"{title}, {part}",
        )
        last = rank_correlation(trained, to_cells(maps, grid))
        by_part[part] = float(last.mean())
    found = {
        "by_part": by_part,
        "all": mean_interval(last),
        "other_image": float(rank_correlation(trained, np.roll(trained, 1, 0)).mean()),
    }
    return found, maps


def centre_prior(images: int, side: int) -> np.ndarray:
    """A map that marks the middle of any picture, float32 [N, side, side] in [0, 1]."""
    distance = (np.arange(side) + 0.5) / side - 0.5
    bell = np.exp(-0.5 * (distance / CENTRE_WIDTH) ** 2)
    return np.repeat(np.outer(bell, bell)[None].astype(np.float32), images, 0)


def random_maps(images: int, side: int, grid: int, *, generator: np.random.Generator) -> np.ndarray:
    """Maps of random cells, as smooth as the layer's maps, float32 [N, side, side] in [0, 1]."""
    cells = torch.from_numpy(generator.random((images, 1, grid, grid), np.float32))
    return F.interpolate(cells, (side, side), mode="bilinear", align_corners=False)[:, 0].numpy()


def road(
    model: ResNet,
    images: torch.Tensor,
    targets: Sequence[int],
    *,
    heat: np.ndarray,
    grid: int,
    batch_size: int,
    device: torch.device,
    seed: int,
    title: str = "",
) -> dict[str, Any]:
    """ROAD of the maps against random maps and the middle of the picture.

    A map's score compares the answer's probability after filling in its lowest-ranked pixels with that after
    its highest-ranked. It is half of the first less the second, mean over PERCENTILES.

    Returns:
        `map`: mean score and 95 % interval; `less_random`, `less_centre`: the same for paired differences.
    """
    model.eval()
    metric = ROADCombined(percentiles=list(PERCENTILES))
    side = heat.shape[-1]
    maps = {
        "map": heat,
        "random": random_maps(len(heat), side, grid, generator=numpy_stream(seed, "road", "random")),
        "centre": centre_prior(len(heat), side),
    }
    scores: dict[str, list[np.ndarray]] = {name: [] for name in maps}
    with torch.random.fork_rng(devices=[]), progress(title, len(images)) as bar:
        torch.manual_seed(stream_seed(seed, "road", "noise"))  # the library adds noise to filled pixels
        for start in range(0, len(images), batch_size):
            rows = slice(start, start + batch_size)
            batch = normalise(to_float(images[rows].to(device)))
            wanted = [ClassifierOutputSoftmaxTarget(target) for target in targets[rows]]
            for name, some in maps.items():
                scores[name].append(metric(batch, some[rows], wanted, model))
            bar.update(len(batch))
    by_image = {name: np.concatenate(parts) for name, parts in scores.items()}
    return {
        "map": mean_interval(by_image["map"]),
        "less_random": mean_interval(by_image["map"] - by_image["random"]),
        "less_centre": mean_interval(by_image["map"] - by_image["centre"]),
    }


def passed(road: Mapping[str, Any], random_weights: Mapping[str, Any]) -> dict[str, Any]:
    """The tests that the maps pass, each beyond chance.

    Args:
        road: as `road` gives it. random_weights: by area, as `heat_shares.against` compares the maps with
        those of a network of random weights.

    Returns:
        `random`, `centre`: whether the maps mark what the network uses better than such maps do. `areas`:
        areas whose share of heat differs from that under random weights. The other areas' shares say nothing
        about this network.
    """
    return {
        "random": road["less_random"]["interval"][0] > 0,
        "centre": road["less_centre"]["interval"][0] > 0,
        "areas": [a for a, one in random_weights.items() if one["interval"][0] > 0 or one["interval"][1] < 0],
    }
