"""ResNet-50: what is frozen stays, what is loaded fits, and a wrong file is told by name."""

import hashlib
import io
import pickle
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import rounding
from torch import nn
from torchvision.models import ResNet, resnet18, resnet50, resnet101

from rafce import network, outs
from rafce.network import PARTS, DropoutLinear, Part, WeightsError
from rafce.taxonomy import compound_classes
from stages import pretrain

State = dict[str, torch.Tensor]
CLASSES = compound_classes("rafdb11")
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:Detected pickle protocol"),
]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Many small tests beside other work: one thread each is faster than two that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model() -> ResNet:
    """Not to be trained or loaded into: shared."""
    return network.build(11, 0.5, seed=0)


@pytest.fixture(scope="module")
def imagenet_bytes() -> bytes:
    """A weight file of torchvision's shape for ImageNet whose tensors are all 0.25."""
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in resnet50(num_classes=1000).state_dict().items()}
    out = io.BytesIO()
    torch.save({k: torch.tensor(0.25).expand(shape) for k, shape in shapes.items()}, out)
    return out.getvalue()


def same(first: State, second: State) -> list[bool]:
    return [torch.equal(first[k], second[k]) for k in first if k in second]


def body(state: State) -> State:
    return {k: v for k, v in state.items() if not k.startswith("fc.")}


def of_part(name: Part, state: State) -> State:
    prefixes = {"stem": ("conv1.", "bn1."), "head": ("fc.",)}.get(name, (f"{name}.",))
    return {k: v for k, v in state.items() if k.startswith(prefixes)}


def one_step(model: ResNet, trainable: list[Part]) -> tuple[State, State]:
    network.freeze(model, trainable)
    network.train_mode(model)
    before = network.snapshot(model)
    optimizer = torch.optim.SGD(network.parameter_groups(model, 0.1, 0.1))
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    F.cross_entropy(model(images), torch.tensor([0, 1, 2, 3])).backward()
    optimizer.step()
    return before, network.snapshot(model)


@pytest.mark.parametrize("trainable", [["layer4", "head"], ["stem", "layer1", "layer2"]])
def test_frozen_parts_keep_their_parameters_and_their_batch_norm_statistics(trainable: list[Part]) -> None:
    before, after = one_step(network.build(4, 0.0, seed=0), trainable)
    for name in PARTS:
        unchanged = same(of_part(name, before), of_part(name, after))
        assert len(unchanged) >= 2
        assert all(unchanged) if name not in trainable else not any(unchanged), name


def test_every_tensor_of_the_network_belongs_to_exactly_one_part(model: ResNet) -> None:
    assert sum(len(of_part(name, model.state_dict())) for name in PARTS) == len(model.state_dict())
    listed = [id(p) for name in PARTS for module in network.part(model, name) for p in module.parameters()]
    assert sorted(listed) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("trainable", [list(PARTS), ["layer3", "layer4", "head"], ["head"], ["layer1"]])
def test_every_trainable_parameter_is_optimised_once_at_the_rate_of_its_part(
    model: ResNet, trainable: list[Part]
) -> None:
    network.freeze(model, trainable)
    groups = network.parameter_groups(model, body_lr=1e-5, head_lr=1e-3)
    parameters = dict(model.named_parameters())
    optimised = [(id(p), group["lr"]) for group in groups for p in group["params"]]
    expected = [
        (id(p), 1e-3 if name == "head" else 1e-5)
        for name in trainable
        for p in of_part(name, parameters).values()
    ]
    assert sorted(optimised) == sorted(expected)
    network.freeze(model, PARTS)


def test_earlier_parts_learn_more_slowly_where_rates_decay(model: ResNet) -> None:
    network.freeze(model, ["layer2", "layer3", "layer4", "head"])
    groups = network.parameter_groups(model, body_lr=1e-3, head_lr=1e-2, decay=0.5)
    rates = {group["name"]: group["lr"] for group in groups}
    assert rates == {"layer4": 1e-3, "layer3": 5e-4, "layer2": 2.5e-4, "head": 1e-2}
    parameters = [id(p) for group in groups for p in group["params"]]
    assert sorted(parameters) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    network.freeze(model, PARTS)


def test_a_frozen_head_does_not_drop_and_a_trained_one_does() -> None:
    model = network.build(4, 0.5, seed=0)
    network.freeze(model, ["layer4"])
    network.train_mode(model)
    assert not model.fc.training
    network.freeze(model, ["head"])
    network.train_mode(model)
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
    head.keep = network.dropout_draws(0, 1, 0, 200, head)
    kept = head(features)[:, 0] * 0.4  # dropout divides what it keeps by 0.4
    assert torch.allclose(kept, kept.round(), atol=1e-4)
    assert kept.mean().item() == pytest.approx(64 * 0.4, abs=2)


def test_the_body_starts_alike_whatever_the_number_of_classes_and_differs_between_seeds(
    model: ResNet,
) -> None:
    other = network.build(7, 0.0, seed=0)
    assert all(same(body(model.state_dict()), body(other.state_dict())))
    assert other.fc.out_features == 7
    another_seed = network.build(11, 0.5, seed=1).state_dict()
    assert not torch.equal(another_seed["layer4.2.conv3.weight"], model.state_dict()["layer4.2.conv3.weight"])
    assert not torch.equal(another_seed["fc.weight"], model.state_dict()["fc.weight"])


def test_building_neither_reads_nor_moves_the_global_generator(model: ResNet) -> None:
    torch.manual_seed(77)
    before = torch.get_rng_state()
    again = network.build(11, 0.5, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(same(again.state_dict(), model.state_dict()))


def test_plain_torchvision_loads_a_snapshot(model: ResNet) -> None:
    plain = resnet50(num_classes=11)
    assert list(plain.state_dict()) == list(network.snapshot(model))
    plain.load_state_dict(network.snapshot(model))
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        expected = model.eval()(images)
        assert torch.allclose(plain.eval()(images), expected, atol=rounding(expected))


def test_a_snapshot_is_a_contiguous_copy_that_later_training_does_not_change() -> None:
    net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    kept = network.snapshot(net)
    assert all(v.is_contiguous() for v in kept.values())
    before = kept["weight"].clone()
    with torch.no_grad():
        net.weight += 1
    assert torch.equal(kept["weight"], before)


class Payload:
    """Runs code where a pickle is loaded carelessly."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("save", [torch.save, lambda obj, path: path.write_bytes(pickle.dumps(obj))])
def test_a_file_that_holds_more_than_tensors_is_refused_and_its_code_does_not_run(
    tmp_path: Path, save: object
) -> None:
    path, marker = tmp_path / "bad.pth", tmp_path / "marker"
    save({"state_dict": {}, "extra": Payload(marker)}, path)  # type: ignore[operator]
    with pytest.raises(WeightsError, match=r"bad\.pth is not a safe weight file"):
        network.read_checkpoint(path)
    assert not marker.exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(WeightsError, match=r"model\.pth is not a safe weight file"):
        network.read_checkpoint(tmp_path / "model.pth")


def test_a_missing_weight_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth does not exist; `make repro` makes the models"):
        network.read_checkpoint(tmp_path / "none.pth")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_a_file_that_is_no_weight_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"a\.pth is not a safe weight file"):
        network.read_checkpoint(tmp_path / "a.pth")


def test_a_weight_file_cut_short_is_refused(tmp_path: Path) -> None:
    outs.write_torch(tmp_path / "a.pth", {"state_dict": {"a": torch.ones(1000)}})
    whole = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"a\.pth is not a safe weight file"):
        network.read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.ones(1)], torch.ones(1), {"state_dict": 1}])
def test_a_file_without_a_state_dict_is_refused_with_what_to_save(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a\.pth holds no state dict; save `model\.state_dict\(\)`"):
        network.read_checkpoint(tmp_path / "a.pth")


def test_a_bare_state_dict_and_a_wrapped_one_read_alike(tmp_path: Path) -> None:
    state = {"a": torch.ones(3)}
    torch.save(state, tmp_path / "bare.pth")
    torch.save({"state_dict": state, "epoch": 4}, tmp_path / "wrapped.pth")
    bare, wrapped = (network.read_checkpoint(tmp_path / f"{n}.pth") for n in ("bare", "wrapped"))
    assert torch.equal(bare["state_dict"]["a"], wrapped["state_dict"]["a"])
    assert wrapped["epoch"] == 4


@pytest.mark.parametrize("other", [resnet18, resnet101])
def test_weights_of_another_architecture_are_refused_and_nothing_is_loaded(
    model: ResNet, other: object
) -> None:
    before = network.snapshot(model)
    with pytest.raises(WeightsError, match=r"x\.pth is not a ResNet-50 of torchvision"):
        network.load_body(model, other(num_classes=11).state_dict(), "x.pth")  # type: ignore[operator]
    assert all(same(before, network.snapshot(model)))


def test_one_missing_tensor_is_enough_to_refuse(model: ResNet) -> None:
    state = network.snapshot(model)
    del state["layer3.5.bn2.running_mean"]
    with pytest.raises(WeightsError, match=r"1 tensor\(s\) missing \['layer3\.5\.bn2\.running_mean'\]"):
        network.load_body(model, state, "x.pth")


def test_loading_the_body_leaves_the_head_and_loading_the_whole_does_not() -> None:
    source = network.snapshot(network.build(11, 0.0, seed=1))
    target = network.build(11, 0.0, seed=0)
    head = target.state_dict()["fc.weight"].clone()
    network.load_body(target, source, "x.pth")
    assert all(same(body(source), body(target.state_dict())))
    assert torch.equal(target.state_dict()["fc.weight"], head)
    network.load_whole(target, source, "x.pth")
    assert all(same(source, target.state_dict()))


def test_a_head_of_another_number_of_classes_is_refused(model: ResNet) -> None:
    state = network.snapshot(model)
    state |= {"fc.weight": torch.zeros(14, 2048), "fc.bias": torch.zeros(14)}
    with pytest.raises(WeightsError, match=r"x\.pth: head is \(14, 2048\), this study needs \(11, 2048\)"):
        network.load_whole(model, state, "x.pth")
    with pytest.raises(WeightsError, match="head is none"):
        network.load_whole(model, body(state), "x.pth")


def test_weights_for_the_same_classes_in_another_order_are_refused() -> None:
    network.check_classes({"classes": list(CLASSES)}, CLASSES, "x.pth")
    for wrong in (sorted(CLASSES), CLASSES[:-1], ()):
        with pytest.raises(WeightsError, match=r"x\.pth was trained for"):
            network.check_classes({"classes": list(wrong)}, CLASSES, "x.pth")
    with pytest.raises(WeightsError, match=r"x\.pth carries no class list"):
        network.check_classes({}, CLASSES, "x.pth")


def test_weights_of_other_data_are_refused() -> None:
    network.check_data({"data": "abc"}, "abc", "x.pth")
    for weights in ({"data": "abd"}, {}):
        with pytest.raises(WeightsError, match=r"x\.pth was trained on data .* train again"):
            network.check_data(weights, "abc", "x.pth")


def test_what_goes_with_the_weights_survives_the_safe_loader(tmp_path: Path) -> None:
    outs.write_torch(
        tmp_path / "a.pth", {"state_dict": {"a": torch.ones(1)}, **network.usage(CLASSES, 96, "data")}
    )
    read = network.read_checkpoint(tmp_path / "a.pth")
    network.check_classes(read, CLASSES, "a.pth")
    assert read["preprocessing"]["image_size"] == 96
    assert read["preprocessing"]["mean"] == pytest.approx([0.485, 0.456, 0.406])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torch hub's folder of weight files, empty; nothing but this machine can be reached."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def closed_url() -> str:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}/models"


def place(cache: Path, content: bytes, monkeypatch: pytest.MonkeyPatch, url: str, digest: str = "") -> Path:
    """Put a file into the cache under the name that its checksum (or `digest`) gives it, and point to it."""
    name = f"resnet50-{digest or hashlib.sha256(content).hexdigest()[:8]}.pth"
    (cache / name).write_bytes(content)
    monkeypatch.setitem(network.IMAGENET, "imagenet1k_v1", f"{url}/{name}")
    return cache / name


def test_imagenet_weights_in_torchs_cache_are_used_without_a_network(
    cache: Path, closed_url: str, imagenet_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(cache, imagenet_bytes, monkeypatch, closed_url)
    model = network.build(11, 0.0, seed=0)
    head = model.state_dict()["fc.weight"].clone()
    origin, _ = pretrain.initial_body(model, "imagenet1k_v1")
    assert origin["sha256"] == hashlib.sha256(imagenet_bytes).hexdigest()
    assert origin["weights"] == "imagenet1k_v1"
    loaded = body(model.state_dict())
    assert all((v == 0.25).all() for k, v in loaded.items() if not k.endswith("num_batches_tracked"))
    assert torch.equal(model.state_dict()["fc.weight"], head)


def test_a_cached_file_whose_checksum_is_not_that_of_its_name_is_refused(
    cache: Path, closed_url: str, imagenet_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place(cache, imagenet_bytes, monkeypatch, closed_url, digest="0badc0de")
    with pytest.raises(WeightsError, match="its name promises 0badc0de") as caught:
        pretrain.initial_body(network.build(11, 0.0, seed=0), "imagenet1k_v1")
    assert str(path) in str(caught.value)


def test_cached_weights_of_another_architecture_are_refused(
    cache: Path, closed_url: str, model: ResNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.BytesIO()
    torch.save(
        {k: v.flatten()[:1].expand(v.shape) for k, v in resnet18().state_dict().items() if v.ndim}, out
    )
    place(cache, out.getvalue(), monkeypatch, closed_url)
    with pytest.raises(WeightsError, match="imagenet1k_v1 is not a ResNet-50 of torchvision"):
        pretrain.initial_body(model, "imagenet1k_v1")


def test_without_network_and_file_the_error_names_the_file_and_where_to_place_it(
    cache: Path, closed_url: str
) -> None:
    with pytest.raises(WeightsError) as caught:
        network.download(f"{closed_url}/resnet50-0676ba61.pth")
    message = str(caught.value)
    assert "resnet50-0676ba61.pth is not in torch's cache" in message
    assert f"place it at {cache / 'resnet50-0676ba61.pth'}" in message
    assert f"{closed_url}/resnet50-0676ba61.pth" in message
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("name", sorted(network.IMAGENET))
def test_torchvisions_weight_files_carry_a_checksum_in_their_name(name: str) -> None:
    assert re.fullmatch(r"https://\S+/resnet50-[0-9a-f]{8,}\.pth", network.IMAGENET[name])
