"""Augmentation: each function does exactly what its name says, to each image by its own draws."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emotions.model import preprocessing
from emotions.model.preprocessing import MEAN, STD
from emotions.training import augment
from emotions.training.augment import DRAWS

IMAGES = torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(0))
HALF = torch.full((6, 3), 0.5)


def with_draw(column: int, value: float) -> torch.Tensor:
    draws = HALF.clone()
    draws[:, column] = value
    return draws


def grey(images: torch.Tensor) -> torch.Tensor:
    return images[:, 0] * 0.299 + images[:, 1] * 0.587 + images[:, 2] * 0.114


def test_flip_mirrors_exactly_the_images_whose_draw_is_below_a_half() -> None:
    flipped = augment.flip(IMAGES, torch.tensor([0.0, 0.49, 0.5, 0.99, 0.3, 0.7]))
    for i, mirrored in enumerate([True, True, False, False, True, False]):
        assert torch.equal(flipped[i], IMAGES[i].flip(2) if mirrored else IMAGES[i])


def test_rotating_by_nothing_changes_nothing() -> None:
    assert torch.allclose(augment.rotate(IMAGES, torch.full((6,), 0.5)), IMAGES, atol=1e-5)


def test_a_quarter_turn_is_a_quarter_turn_and_the_other_way_for_the_other_extreme() -> None:
    turned = augment.rotate(IMAGES, torch.tensor([1.0, 0.0] * 3), degrees=90)
    for i, image in enumerate(IMAGES):
        assert torch.allclose(turned[i], torch.rot90(image, 1 if i % 2 == 0 else -1, (1, 2)), atol=1e-5)


def test_a_rotated_point_lands_where_geometry_puts_it() -> None:
    dot = torch.zeros(1, 3, 101, 101)
    dot[:, :, 50, 89:92] = 1  # 40 px right of the centre
    turned = augment.rotate(dot, torch.tensor([1.0]), degrees=30)[0, 0]
    mass = turned / turned.sum()
    across, down = torch.arange(101.0) - 50, torch.arange(101.0)[:, None] - 50
    assert (mass * across).sum().item() == pytest.approx(40 * math.cos(math.radians(30)), abs=0.5)
    assert abs((mass * down).sum().item()) == pytest.approx(40 * math.sin(math.radians(30)), abs=0.5)


def test_rotation_leaves_no_black_corners() -> None:
    assert augment.rotate(torch.ones(2, 3, 24, 24), torch.tensor([0.0, 0.999])).min() > 0.999


def test_jitter_with_middle_draws_changes_nothing() -> None:
    assert torch.allclose(augment.jitter(IMAGES, HALF), IMAGES, atol=1e-5)


@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.8), (0.75, 1.1), (1.0, 1.2)])
def test_brightness_contrast_and_saturation_scale_by_their_own_factor(draw: float, factor: float) -> None:
    images = 0.4 + 0.2 * IMAGES  # far from black and white, where values are cut off
    assert torch.allclose(augment.jitter(images, with_draw(0, draw)), factor * images, atol=1e-5)
    mean = grey(images).mean((1, 2)).view(-1, 1, 1, 1)
    contrast = augment.jitter(images, with_draw(1, draw))
    assert torch.allclose(contrast - mean, factor * (images - mean), atol=1e-5)
    saturation = augment.jitter(images, with_draw(2, draw))
    assert torch.allclose(grey(saturation), grey(images), atol=1e-5)
    luma = grey(images)[:, None]
    assert torch.allclose(saturation - luma, factor * (images - luma), atol=1e-5)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_standard_augmentation_keeps_shape_and_range(seed: int, level: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.cat([torch.rand(3, 3, 9, 9, generator=generator), torch.full((1, 3, 9, 9), level)])
    changed = augment.augment(images, torch.rand(4, DRAWS, generator=generator), "standard")
    assert changed.shape == images.shape
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_none_is_the_identity_and_standard_is_not() -> None:
    draws = augment.epoch_draws(0, 1, 6)
    assert torch.equal(augment.augment(IMAGES, draws, "none"), IMAGES)
    changed = augment.augment(IMAGES, draws, "standard")
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in zip(changed, IMAGES, strict=True))


def test_what_happens_to_an_image_does_not_depend_on_its_place_in_a_batch() -> None:
    draws = augment.epoch_draws(0, 1, 6)
    together = augment.augment(IMAGES, draws, "standard")
    order = torch.tensor([4, 0, 5])
    assert torch.allclose(
        augment.augment(IMAGES[order], draws[order], "standard"), together[order], atol=1e-5
    )


def test_copies_of_an_image_in_a_batch_are_changed_differently() -> None:
    same = IMAGES[:1].expand(6, -1, -1, -1)
    changed = augment.augment(same, augment.epoch_draws(0, 1, 6), "standard").flatten(1)
    distance = torch.cdist(changed, changed) + torch.eye(6)
    assert distance.min() > 1e-3


def test_draws_repeat_for_an_epoch_and_differ_between_epochs_and_seeds() -> None:
    draws = augment.epoch_draws(0, 1, 50)
    assert draws.shape == (50, DRAWS)
    assert torch.equal(augment.epoch_draws(0, 1, 50), draws)
    assert not torch.equal(augment.epoch_draws(0, 2, 50), draws)
    assert not torch.equal(augment.epoch_draws(1, 1, 50), draws)
    assert len(draws.unique()) == draws.numel()


def test_normalising_gives_imagenets_mean_zero_and_one_deviation_one() -> None:
    mean = torch.tensor(MEAN).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    std = torch.tensor(STD).view(1, 3, 1, 1)
    assert torch.allclose(preprocessing.normalise(mean), torch.zeros(2, 3, 4, 4), atol=1e-5)
    assert torch.allclose(preprocessing.normalise(mean + std), torch.ones(2, 3, 4, 4), atol=1e-5)
    assert preprocessing.normalise(mean).is_contiguous(memory_format=torch.channels_last)


def test_white_is_one_and_black_is_zero() -> None:
    assert preprocessing.to_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx(
        [0, 0.2, 1]
    )


TARGETS = torch.eye(6)


def mix(
    alpha: float = 0.4, seed: int = 0, epoch: int = 1, step: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    weight, partner = augment.mixup_draws(seed, epoch, step, size=len(IMAGES), alpha=alpha)
    return tuple(augment.mixup(x, x[partner], weight) for x in (IMAGES, TARGETS))  # type: ignore[return-value]


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 5.0])
def test_mixed_targets_sum_to_one_and_say_what_the_images_are_mixed_of(alpha: float) -> None:
    images, targets = mix(alpha)
    assert torch.allclose(targets.sum(1), torch.ones(6))
    assert targets.min() >= 0
    # One-hot targets of six images: row i of the mixed targets holds the share of every image in image i.
    assert torch.allclose(images, torch.einsum("ij,jchw->ichw", targets, IMAGES), atol=1e-5)


def test_mixup_draws_a_weight_for_every_sample_of_its_own() -> None:
    _, targets = mix(alpha=5.0)
    largest = targets.amax(1)[targets.amax(1) < 1]
    assert len(largest) >= 2
    assert len(largest.unique()) == len(largest)


def test_mixup_repeats_for_a_step_and_differs_between_steps_epochs_and_seeds() -> None:
    first = mix()[1]
    assert torch.equal(mix()[1], first)
    for other in ({"step": 1}, {"epoch": 2}, {"seed": 1}):
        assert not torch.equal(mix(**other)[1], first)


def test_a_zoomed_image_is_the_window_that_its_draws_name() -> None:
    across = torch.linspace(0, 1, 101).expand(3, 1, 101, 101)
    draws = torch.tensor([[0.0, 0.9, 0.1], [1.0, 0.0, 0.5], [1.0, 1.0, 0.5]])
    whole, left, right = augment.zoom(across, draws)[:, 0, 50]
    assert torch.allclose(whole, across[0, 0, 0], atol=1e-5), (
        "a window of all of it, wherever it is said to be"
    )
    assert (left[0].item(), left[-1].item()) == pytest.approx((0, 0.75), abs=0.01)
    assert (right[0].item(), right[-1].item()) == pytest.approx((0.25, 1), abs=0.01)
    down = augment.zoom(across.transpose(2, 3), torch.tensor([[1.0, 0.5, 1.0]] * 3))[0, 0, :, 50]
    assert (down[0].item(), down[-1].item()) == pytest.approx((0.25, 1), abs=0.01)


def test_every_second_image_loses_a_rectangle_of_the_size_and_at_the_place_of_its_draws() -> None:
    white = torch.ones(4, 3, 100, 100)
    draws = torch.tensor(
        [
            [0.5, 0.5, 0.5, 0.5, 0.5],
            [0.1, 0.0, 0.5, 0.0, 0.0],
            [0.1, 1.0, 0.5, 1.0, 1.0],
            [0.1, 1.0, 1.0, 0.0, 0.0],
        ]
    )
    erased = (augment.erase(white, draws) != 1).all(1)
    low, high = augment.ERASED
    assert erased.float().mean((1, 2)).tolist() == pytest.approx([0, low, high, high], abs=0.01)
    assert erased[1, 0, 0]
    assert erased[2, -1, -1]
    rows, columns = erased[3].any(1).sum().item(), erased[3].any(0).sum().item()
    assert rows / columns == pytest.approx(3, rel=0.05)
    assert torch.allclose(augment.erase(white, draws)[1, :, 0, 0], torch.tensor(MEAN))


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_strong_augmentation_keeps_shape_and_range_and_is_each_images_own(seed: int, level: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.cat([torch.rand(3, 3, 9, 9, generator=generator), torch.full((1, 3, 9, 9), level)])
    draws = torch.rand(4, augment.STRONG_DRAWS, generator=generator)
    changed = augment.augment(images, draws, "strong")
    assert changed.shape == images.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    order = torch.tensor([2, 0])
    assert torch.allclose(augment.augment(images[order], draws[order], "strong"), changed[order], atol=1e-5)


def test_strong_draws_begin_with_those_of_the_standard_augmentation() -> None:
    strong = augment.epoch_draws(0, 1, 50, kind="strong")
    assert strong.shape == (50, augment.STRONG_DRAWS)
    assert torch.equal(strong[:, :DRAWS], augment.epoch_draws(0, 1, 50))
    assert len(strong.unique()) == strong.numel()


def test_gradients_pass_through_after_images_were_scored_first() -> None:
    preprocessing.by_channel.cache_clear()
    with torch.inference_mode():
        preprocessing.normalise(IMAGES)
    images = IMAGES.clone().requires_grad_()
    preprocessing.normalise(images).sum().backward()
    assert images.grad is not None
