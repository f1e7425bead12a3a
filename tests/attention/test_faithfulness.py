"""Tests of the maps themselves: maps of a network that reads one part pass, maps that know nothing fail."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from test_cam import Reads

from emotions.attention import cam, faithfulness
from emotions.model import resnet
from emotions.model.resnet import PARTS

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pictures(images: int = 12) -> torch.Tensor:
    """Noise with a bright patch where `Reads(slice(4, 6), slice(2, 4))` looks."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(60, 140, (images, 3, 48, 48), generator=generator, dtype=torch.uint8)
    noise[:, :, 32:48, 16:32] = 250
    return noise


def test_road_puts_a_true_map_above_random_ones_and_a_random_one_not() -> None:
    model, images = Reads(slice(4, 6), slice(2, 4)), pictures()
    targets = [0] * len(images)
    heat = cam.heat_maps(model, images, targets, method="layercam", layer="layer2", batch_size=4, device=CPU)
    true = faithfulness.road(model, images, targets, heat=heat, grid=6, batch_size=4, device=CPU, seed=0)
    assert true["map"]["interval"][0] > 0
    assert true["less_random"]["interval"][0] > 0
    assert true["less_centre"]["interval"][0] > 0
    noise = faithfulness.random_maps(len(images), 48, 6, generator=np.random.default_rng(5))
    blind = faithfulness.road(model, images, targets, heat=noise, grid=6, batch_size=4, device=CPU, seed=0)
    assert blind["less_random"]["interval"][0] < 0
    assert blind["less_centre"]["interval"][0] < 0
    assert faithfulness.road(model, images, targets, heat=heat, grid=6, batch_size=12, device=CPU, seed=0)[
        "map"
    ]["mean"] == pytest.approx(true["map"]["mean"], abs=0.02), "the noise differs by batch, nothing else"
    again = faithfulness.road(model, images, targets, heat=heat, grid=6, batch_size=4, device=CPU, seed=0)
    assert again == true


def test_randomisation_goes_from_the_head_down_and_ends_at_a_network_without_training() -> None:
    model = resnet.build(3, 0.0, seed=4)
    images = pictures(2)[:, :, :32, :32]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    seen = []
    for name in faithfulness.randomised(model, 7):
        seen.append(name)
        changed = {k.split(".")[0] for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
        assert ("fc" in changed) and (("conv1" in changed) == (name == "stem"))
    assert seen == list(reversed(PARTS))
    fresh = resnet.build(3, 0.0, seed=7).state_dict()
    assert all(torch.equal(v, fresh[k]) for k, v in model.state_dict().items())

    heat = cam.heat_maps(model, images, [0, 0], method="layercam", layer="layer2", batch_size=2, device=CPU)
    found, maps = faithfulness.randomisation(
        model, images, heat, method="layercam", layer="layer2", grid=4, batch_size=2, device=CPU, seed=0
    )
    assert list(found["by_part"]) == list(reversed(PARTS))
    assert found["all"]["mean"] == pytest.approx(found["by_part"]["stem"])
    assert maps.shape == heat.shape


def test_rank_correlation_is_that_of_equal_reversed_and_constant_maps() -> None:
    maps = np.random.default_rng(0).random((3, 4, 4))
    assert faithfulness.rank_correlation(maps, np.exp(maps)) == pytest.approx(1)
    assert faithfulness.rank_correlation(maps, -maps) == pytest.approx(-1)
    assert faithfulness.rank_correlation(maps, np.ones_like(maps)) == pytest.approx(0)


def interval(low: float, high: float) -> dict:
    return {"mean": (low + high) / 2, "interval": [low, high]}


def test_what_is_within_chance_does_not_pass() -> None:
    weights = {
        "mouth": {"interval": [0.1, 0.5]},
        "nose": {"interval": [-0.1, 0.5]},
        "hair": {"interval": [-0.5, -0.1]},
    }
    road = {"less_random": interval(0.1, 0.2), "less_centre": interval(-0.1, 0.2)}
    assert faithfulness.passed(road, weights) == {"random": True, "centre": False, "areas": ["mouth", "hair"]}


def test_the_middle_of_the_picture_is_marked_most() -> None:
    prior = faithfulness.centre_prior(2, 33)
    assert prior.shape == (2, 33, 33)
    assert np.unravel_index(prior[0].argmax(), (33, 33)) == (16, 16)
    assert prior[0, 0, 0] < 0.2
