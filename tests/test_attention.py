"""Class-activation maps: of the class asked for, whatever the batch; shares of heat checked by hand."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock

from rafce import attention
from rafce.attention import AREAS
from rafce.regions import REGIONS

CPU = torch.device("cpu")
IMAGES = torch.randint(0, 256, (5, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
TARGETS = [0, 1, 2, 1, 0]


@pytest.fixture(scope="module")
def model() -> Iterator[ResNet]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        yield ResNet(BasicBlock, [1, 1, 1, 1], num_classes=3)
    torch.set_num_threads(threads)


def maps(model: ResNet, targets: list[int], batch_size: int, method: str = "gradcam") -> np.ndarray:
    return attention.heat_maps(model, IMAGES, targets, method, "layer2", batch_size, CPU)


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
    assert attention.choose_layer(size, min_grid) == chosen


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
        assert attention.choose_layer(size, grid) == (layer, grid)


def test_a_grid_finer_than_any_layers_is_an_error_that_names_the_knob() -> None:
    with pytest.raises(
        ValueError, match=r"gradcam\.min_grid is 30, at 96 px the finest grid is 24; lower it"
    ):
        attention.choose_layer(96, 30)


@pytest.mark.parametrize("method", sorted(attention.METHODS))
def test_maps_do_not_depend_on_the_size_of_the_batches(model: ResNet, method: str) -> None:
    together = maps(model, TARGETS, 5, method)
    assert (together.dtype, together.shape) == (np.float32, (5, 48, 48))
    assert together.min() >= 0
    assert together.max() <= 1
    for size in (1, 2):
        assert np.allclose(maps(model, TARGETS, size, method), together, atol=1e-4)


def test_a_map_is_of_the_class_that_was_asked_for(model: ResNet) -> None:
    first, other = maps(model, [0] * 5, 5), maps(model, [1] * 5, 5)
    mixed = maps(model, TARGETS, 5)
    assert not np.allclose(first, other, atol=0.05)
    assert np.allclose(mixed[[0, 4]], first[[0, 4]], atol=1e-4)
    assert np.allclose(mixed[[1, 3]], other[[1, 3]], atol=1e-4)


def test_nothing_is_left_on_the_network(model: ResNet) -> None:
    model.train().requires_grad_(True)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    maps(model, TARGETS, 2)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())


def region_maps(*names: str) -> np.ndarray:
    """A 4 x 4 map an argument; each name fills a row."""
    return np.stack([np.repeat([[REGIONS.index(r)] for r in name.split()], 4, 1) for name in names]).astype(
        np.uint8
    )


def test_shares_of_heat_and_area_are_those_counted_by_hand() -> None:
    regions = region_maps("hair eyes brows mouth", "hair hair eyes background")
    heat = np.zeros((2, 4, 4), np.float32)
    heat[0, 1] = 0.25  # eyes 1
    heat[0, 2] = 0.25  # brows 1
    heat[0, 3] = 0.5  # mouth 2
    heat[1, 0, 0] = 0.1  # all on hair
    shares = attention.area_shares(heat, regions)
    assert list(shares) == list(AREAS)
    assert shares["eyes_brows"] == pytest.approx({"heat": 0.25, "area": 3 / 8, "ratio": 2 / 3})
    assert shares["mouth"] == pytest.approx({"heat": 0.25, "area": 1 / 8, "ratio": 2})
    assert shares["hair"] == pytest.approx({"heat": 0.5, "area": 3 / 8, "ratio": 4 / 3})
    assert shares["background"] == pytest.approx({"heat": 0, "area": 1 / 8, "ratio": 0})
    assert shares["nose"] == {"heat": 0.0, "area": 0.0, "ratio": 0.0}


def test_every_region_belongs_to_exactly_one_area_so_that_shares_add_up_to_one() -> None:
    assert sorted(r for members in AREAS.values() for r in members) == sorted(REGIONS)
    random = np.random.default_rng(0)
    regions = random.integers(0, len(REGIONS), (3, 16, 16)).astype(np.uint8)
    shares = attention.area_shares(random.random((3, 16, 16)).astype(np.float32), regions)
    assert sum(s["heat"] for s in shares.values()) == pytest.approx(1, abs=1e-5)
    assert sum(s["area"] for s in shares.values()) == pytest.approx(1, abs=1e-5)


def test_even_heat_has_no_preference() -> None:
    regions = np.random.default_rng(0).integers(0, len(REGIONS), (3, 16, 16)).astype(np.uint8)
    shares = attention.area_shares(np.full((3, 16, 16), 0.3, np.float32), regions)
    assert all(s["ratio"] == pytest.approx(1, rel=1e-4) for s in shares.values())


def test_empty_maps_count_neither_as_heat_nor_as_area() -> None:
    regions = region_maps("mouth mouth mouth mouth", "hair hair hair eyes")
    heat = np.zeros((2, 4, 4), np.float32)
    heat[1] = 1
    shares = attention.area_shares(heat, regions)
    assert shares["mouth"] == {"heat": 0.0, "area": 0.0, "ratio": 0.0}
    assert shares["hair"]["heat"] == pytest.approx(0.75)
    assert attention.area_shares(np.zeros_like(heat), regions) == {}
    assert attention.centre_shares(np.zeros_like(heat)) == {}


def test_the_centre_is_the_middle_sixty_percent_of_the_side() -> None:
    heat = np.zeros((2, 10, 10), np.float32)
    heat[0, 2:8, 2:8] = 1  # all in the centre
    heat[1, 1, 1] = 0.5  # all in the border
    shares = attention.centre_shares(heat)
    assert shares["centre"] == pytest.approx({"heat": 0.5, "area": 0.36, "ratio": 0.5 / 0.36})
    assert shares["border"] == pytest.approx({"heat": 0.5, "area": 0.64, "ratio": 0.5 / 0.64})


def test_the_gallery_shows_the_most_confident_right_and_wrong_answers_of_each_class() -> None:
    labels = np.array([0, 0, 0, 0, 0, 1, 1])
    probabilities = np.array(
        [[0.6, 0.4], [0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.1, 0.9], [0.3, 0.7]]
    )
    rows = attention.gallery_rows(labels, probabilities.argmax(1), probabilities.max(1), 2, examples=2)
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
    rows = attention.gallery_rows(np.zeros(3, int), np.zeros(3, int), np.full(3, 0.8), 2, examples=2)
    assert [r["index"] for r in rows] == [0, 1]
