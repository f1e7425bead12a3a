"""Class-activation maps: of the class asked for, whatever the batch, where a network is known to look."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from conftest import rounding
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock

from emotions.attention import cam, heat_shares
from emotions.attention.knobs import choose_cam_layer
from emotions.model.preprocessing import normalise, to_float

CPU = torch.device("cpu")
IMAGES = torch.randint(0, 256, (5, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
TARGETS = [0, 1, 2, 1, 0]
ROUNDING = rounding(1.0)
"""Tolerance of a map, whose largest value is 1."""


@pytest.fixture(scope="module")
def model() -> Iterator[ResNet]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        yield ResNet(BasicBlock, [1, 1, 1, 1], num_classes=3)


def maps(model: ResNet, targets: list[int], batch_size: int, method: str = "gradcam") -> np.ndarray:
    return cam.heat_maps(
        model, IMAGES, targets, method=method, layer="layer2", batch_size=batch_size, device=CPU
    )


@pytest.mark.parametrize(
    ("size", "min_grid", "chosen"),
    [
        (96, 12, ("layer2", 12)),
        (96, 3, ("layer4", 3)),
        (112, 12, ("layer2", 14)),
        (112, 7, ("layer3", 7)),
        (112, 8, ("layer2", 14)),
        (224, 12, ("layer3", 14)),
        (224, 7, ("layer4", 7)),
        (100, 13, ("layer2", 13)),
        (96, 24, ("layer1", 24)),
    ],
)
def test_the_deepest_layer_is_chosen_whose_grid_is_fine_enough(
    size: int, min_grid: int, chosen: tuple[str, int]
) -> None:
    assert choose_cam_layer(size, min_grid) == chosen


@pytest.mark.parametrize("size", [32, 96, 100, 224])
def test_the_grid_of_a_layer_is_the_one_that_the_network_has(model: ResNet, size: int) -> None:
    grids = {}
    handles = [
        getattr(model, name).register_forward_hook(
            lambda _module, _inputs, out, name=name: grids.update({name: out.shape[-1]})
        )
        for name in ("layer1", "layer2", "layer3", "layer4")
    ]
    model.eval()(torch.zeros(1, 3, size, size))
    for handle in handles:
        handle.remove()
    for layer, grid in grids.items():
        assert choose_cam_layer(size, grid) == (layer, grid)


def test_a_grid_finer_than_any_layers_is_an_error_that_names_the_knob() -> None:
    with pytest.raises(
        ValueError, match=r"gradcam\.min_grid is 30, at 96 px the finest grid is 24; lower it"
    ):
        choose_cam_layer(96, 30)


@pytest.mark.parametrize("method", sorted(cam.METHODS))
def test_maps_do_not_depend_on_the_size_of_the_batches(model: ResNet, method: str) -> None:
    together = maps(model, TARGETS, 5, method)
    assert (together.dtype, together.shape) == (np.float32, (5, 48, 48))
    assert together.min() >= 0
    assert together.max() <= 1
    for size in (1, 2):
        assert np.allclose(maps(model, TARGETS, size, method), together, atol=ROUNDING)


def test_a_map_is_of_the_class_that_was_asked_for(model: ResNet) -> None:
    first, other = maps(model, [0] * 5, 5), maps(model, [1] * 5, 5)
    mixed = maps(model, TARGETS, 5)
    assert not np.allclose(first, other, atol=0.05)
    assert np.allclose(mixed[[0, 4]], first[[0, 4]], atol=ROUNDING)
    assert np.allclose(mixed[[1, 3]], other[[1, 3]], atol=ROUNDING)


def test_nothing_is_left_on_the_network(model: ResNet) -> None:
    model.train().requires_grad_(True)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    maps(model, TARGETS, 2)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())


def test_the_gradient_from_the_layer_alone_gives_the_maps_of_the_librarys_own_way(model: ResNet) -> None:
    """The documented loop: one image at a time, the gradient all the way down."""
    for method, kind in cam.METHODS.items():
        whole = []
        for image, target in zip(IMAGES, TARGETS, strict=True):
            with kind(model, [model.layer2[-1]]) as library:
                batch = normalise(to_float(image[None])).requires_grad_(True)
                whole.append(library(batch, [ClassifierOutputTarget(target)])[0])
        assert np.abs(maps(model, TARGETS, 5, method) - np.stack(whole)).max() < ROUNDING


class Reads(nn.Module):
    """A network that answers by the brightness of one part of the picture and sees nothing else."""

    def __init__(self, rows: slice, columns: slice) -> None:
        super().__init__()
        self.layer2 = nn.Sequential(nn.Conv2d(3, 1, 8, 8, bias=False))
        nn.init.constant_(self.layer2[0].weight, 1 / 192)
        self.looks = torch.zeros(6, 6)
        self.looks[rows, columns] = 1

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = (self.layer2(images)[:, 0] * self.looks).sum((1, 2))
        return torch.stack([seen, -seen, 0 * seen], 1)


@pytest.mark.parametrize("method", sorted(cam.METHODS))
def test_the_map_of_a_network_that_reads_one_part_lies_there(method: str) -> None:
    """LayerCAM keeps to the part. Grad-CAM averages gradients over the picture, so it lights up wherever the
    picture is bright: it cannot localise in an early layer."""
    bright = torch.full((2, 3, 48, 48), 255, dtype=torch.uint8)
    mouth = Reads(slice(4, 6), slice(2, 4))
    heat = cam.heat_maps(mouth, bright, [0, 0], method=method, layer="layer2", batch_size=2, device=CPU)
    masks = {"part": np.zeros((2, 48, 48), bool)}
    masks["part"][:, 32:48, 16:32] = True
    masks["rest"] = ~masks["part"]
    if method == "gradcam":
        assert (
            heat_shares.by_image(heat, masks).kept.sum() == 0
        )  # constant, so empty once its least value is 0
        return
    found = heat_shares.summary(heat_shares.by_image(heat, masks))
    assert found["part"]["ratio"] > 5
    assert found["rest"]["ratio"] < 0.4


def test_the_gallery_shows_the_most_confident_right_and_wrong_answers_of_each_class() -> None:
    labels = np.array([0, 0, 0, 0, 0, 1, 1])
    probabilities = np.array(
        [[0.6, 0.4], [0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.1, 0.9], [0.3, 0.7]]
    )
    rows = cam.gallery_rows(labels, probabilities.argmax(1), probabilities.max(1), classes=2, examples=2)
    assert [(r["label"], r["right"], r["index"]) for r in rows] == [
        (0, True, 1),
        (0, True, 2),
        (0, False, 3),
        (0, False, 4),
        (1, True, 5),
        (1, True, 6),
    ]
    assert rows[2] == {"index": 3, "label": 0, "predicted": 1, "probability": 0.8, "right": False}


def test_equally_confident_answers_are_shown_in_the_order_of_the_data() -> None:
    rows = cam.gallery_rows(np.zeros(3, int), np.zeros(3, int), np.full(3, 0.8), classes=2, examples=2)
    assert [r["index"] for r in rows] == [0, 1]


def test_confusions_come_most_frequent_first_each_with_its_most_confident_errors() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 2])
    predicted = np.array([1, 1, 0, 0, 1, 0, 0])
    confidence = np.array([0.6, 0.9, 0.99, 0.8, 0.7, 0.5, 0.4])
    found = cam.confusion_rows(labels, predicted, confidence, classes=3, most=2, examples=1)
    assert [[(r["label"], r["predicted"], r["index"], r["right"]) for r in rows] for rows in found] == [
        [(0, 1, 1, False)],
        [(2, 0, 5, False)],
    ]
    assert len(cam.confusion_rows(labels, predicted, confidence, classes=3, most=9, examples=2)) == 3
