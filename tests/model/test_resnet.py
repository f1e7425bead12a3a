"""ResNet-50: what is frozen stays, parts learn at their rates, a snapshot is plain torchvision's."""

import pytest
import torch
import torch.nn.functional as F
from conftest import rounding
from torch import nn
from torchvision.models import ResNet, resnet50

from emotions.model import resnet
from emotions.model.resnet import PARTS, DropoutLinear, Part
from emotions.taxonomy import compound_classes

State = dict[str, torch.Tensor]
CLASSES = compound_classes("rafdb11")


@pytest.fixture(scope="module")
def model() -> ResNet:
    """Not to be trained or loaded into: shared."""
    return resnet.build(11, 0.5, seed=0)


def same(first: State, second: State) -> list[bool]:
    return [torch.equal(first[k], second[k]) for k in first if k in second]


def body(state: State) -> State:
    return {k: v for k, v in state.items() if not k.startswith("fc.")}


def of_part(name: Part, state: State) -> State:
    prefixes = {"stem": ("conv1.", "bn1."), "head": ("fc.",)}.get(name, (f"{name}.",))
    return {k: v for k, v in state.items() if k.startswith(prefixes)}


def one_step(model: ResNet, trainable: list[Part]) -> tuple[State, State]:
    resnet.freeze(model, trainable)
    resnet.train_mode(model)
    before = resnet.snapshot(model)
    optimizer = torch.optim.SGD(resnet.parameter_groups(model, 0.1, 0.1))
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    F.cross_entropy(model(images), torch.tensor([0, 1, 2, 3])).backward()
    optimizer.step()
    return before, resnet.snapshot(model)


@pytest.mark.parametrize("trainable", [["layer4", "head"], ["stem", "layer1", "layer2"]])
def test_frozen_parts_keep_their_parameters_and_their_batch_norm_statistics(trainable: list[Part]) -> None:
    before, after = one_step(resnet.build(4, 0.0, seed=0), trainable)
    for name in PARTS:
        unchanged = same(of_part(name, before), of_part(name, after))
        assert len(unchanged) >= 2
        assert all(unchanged) if name not in trainable else not any(unchanged), name


def test_recomputed_statistics_are_those_of_the_images_and_frozen_parts_keep_theirs() -> None:
    model = resnet.build(4, 0.5, seed=0)
    resnet.freeze(model, ["stem", "layer4", "head"])
    momentum = model.bn1.momentum
    model.fc.keep = torch.ones(16, model.fc.in_features, dtype=torch.bool)  # of another batch
    before = resnet.snapshot(model)
    images = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for _ in range(2):  # what was there before has no part in it
        resnet.recompute_statistics(model, images.split(6))
    after = resnet.snapshot(model)
    with torch.no_grad():
        seen = model.conv1(images)
    torch.testing.assert_close(after["bn1.running_mean"], seen.mean((0, 2, 3)))
    halves = torch.stack([half.var((0, 2, 3)) for half in seen.split(6)])
    torch.testing.assert_close(after["bn1.running_var"], halves.mean(0))
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed == {
        k for k in before if k.startswith(("bn1.", "layer4.")) and ("running" in k or "num_" in k)
    }
    assert model.bn1.momentum == momentum


def test_every_tensor_of_the_network_belongs_to_exactly_one_part(model: ResNet) -> None:
    assert sum(len(of_part(name, model.state_dict())) for name in PARTS) == len(model.state_dict())
    listed = [id(p) for name in PARTS for module in resnet.part(model, name) for p in module.parameters()]
    assert sorted(listed) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("trainable", [list(PARTS), ["layer3", "layer4", "head"], ["head"], ["layer1"]])
def test_every_trainable_parameter_is_optimised_once_at_the_rate_of_its_part(
    model: ResNet, trainable: list[Part]
) -> None:
    resnet.freeze(model, trainable)
    groups = resnet.parameter_groups(model, body_lr=1e-5, head_lr=1e-3)
    parameters = dict(model.named_parameters())
    optimised = [(id(p), group["lr"]) for group in groups for p in group["params"]]
    expected = [
        (id(p), 1e-3 if name == "head" else 1e-5)
        for name in trainable
        for p in of_part(name, parameters).values()
    ]
    assert sorted(optimised) == sorted(expected)
    resnet.freeze(model, PARTS)


def test_earlier_parts_learn_more_slowly_where_rates_decay(model: ResNet) -> None:
    resnet.freeze(model, ["layer2", "layer3", "layer4", "head"])
    groups = resnet.parameter_groups(model, body_lr=1e-3, head_lr=1e-2, decay=0.5)
    rates = {group["name"]: group["lr"] for group in groups}
    assert rates == {"layer4": 1e-3, "layer3": 5e-4, "layer2": 2.5e-4, "head": 1e-2}
    parameters = [id(p) for group in groups for p in group["params"]]
    assert sorted(parameters) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    resnet.freeze(model, PARTS)


def test_a_frozen_head_does_not_drop_and_a_trained_one_does() -> None:
    model = resnet.build(4, 0.5, seed=0)
    resnet.freeze(model, ["layer4"])
    resnet.train_mode(model)
    assert not model.fc.training
    resnet.freeze(model, ["head"])
    resnet.train_mode(model)
    assert model.fc.training
    assert not model.layer4.training


def test_the_head_is_a_plain_linear_layer_when_it_scores_and_drops_when_it_trains() -> None:
    head = DropoutLinear(64, 5, dropout=0.6)
    features = torch.ones(200, 64)
    head.eval()
    assert torch.equal(head(features), F.linear(features, head.weight, head.bias))
    head.train()
    nn.init.ones_(head.weight)
    nn.init.zeros_(head.bias)
    head.keep = resnet.dropout_draws(0, 1, 0, size=200, head=head)
    kept = head(features)[:, 0] * 0.4  # dropout divides what it keeps by 0.4
    assert torch.allclose(kept, kept.round(), atol=1e-4)
    assert kept.mean().item() == pytest.approx(64 * 0.4, abs=2)


def test_the_body_starts_alike_whatever_the_number_of_classes_and_differs_between_seeds(
    model: ResNet,
) -> None:
    other = resnet.build(7, 0.0, seed=0)
    assert all(same(body(model.state_dict()), body(other.state_dict())))
    assert other.fc.out_features == 7
    another_seed = resnet.build(11, 0.5, seed=1).state_dict()
    assert not torch.equal(another_seed["layer4.2.conv3.weight"], model.state_dict()["layer4.2.conv3.weight"])
    assert not torch.equal(another_seed["fc.weight"], model.state_dict()["fc.weight"])


def test_building_neither_reads_nor_moves_the_global_generator(model: ResNet) -> None:
    torch.manual_seed(77)
    before = torch.get_rng_state()
    again = resnet.build(11, 0.5, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(same(again.state_dict(), model.state_dict()))


def test_plain_torchvision_loads_a_snapshot(model: ResNet) -> None:
    plain = resnet50(num_classes=11)
    assert list(plain.state_dict()) == list(resnet.snapshot(model))
    plain.load_state_dict(resnet.snapshot(model))
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        expected = model.eval()(images)
        assert torch.allclose(plain.eval()(images), expected, atol=rounding(expected))


def test_a_snapshot_is_a_contiguous_copy_that_later_training_does_not_change() -> None:
    net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    kept = resnet.snapshot(net)
    assert all(v.is_contiguous() for v in kept.values())
    before = kept["weight"].clone()
    with torch.no_grad():
        net.weight += 1
    assert torch.equal(kept["weight"], before)
