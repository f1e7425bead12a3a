"""Weight files: what is loaded fits, and a wrong file is told by name."""

import gzip
import hashlib
import io
import pickle
import re
import socket
from pathlib import Path

import pytest
import safetensors.torch
import torch
from test_resnet import body, same
from torch import nn
from torchvision.models import ResNet, resnet18, resnet50, resnet101

from emotions.model import imagenet, resnet, weight_files
from emotions.model.weight_files import WeightsError
from emotions.runtime import outs
from emotions.taxonomy import compound_classes
from stages import pretrain
from tests.rafce_lookalike import zipped

CLASSES = compound_classes("rafdb11")
pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")


@pytest.fixture(scope="module")
def model() -> ResNet:
    """Not to be trained or loaded into: shared."""
    return resnet.build(11, 0.5, seed=0)


@pytest.fixture(scope="module")
def imagenet_bytes() -> bytes:
    """A weight file of torchvision's shape for ImageNet whose tensors are all 0.25."""
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in resnet50(num_classes=1000).state_dict().items()}
    out = io.BytesIO()
    torch.save({k: torch.tensor(0.25).expand(shape) for k, shape in shapes.items()}, out)
    return out.getvalue()


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
        weight_files.read_checkpoint(path)
    assert not marker.exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(WeightsError, match=r"model\.pth is not a safe weight file"):
        weight_files.read_checkpoint(tmp_path / "model.pth")


def test_a_missing_weight_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth does not exist; `make repro` makes the models"):
        weight_files.read_checkpoint(tmp_path / "none.pth")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_a_file_that_is_no_weight_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"a\.pth is not a safe weight file"):
        weight_files.read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "a Git LFS pointer; run"),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "it is a web page"),
        (b'{"error": "not found"}', "it is JSON text"),
        (b"PK\x03\x04" + bytes(300), "it is damaged, incomplete or not of torch"),
        (b"\x89HDF\r\n\x1a\n" + bytes(300), "it is an HDF5 file"),
        (gzip.compress(bytes(300), mtime=0), "it is packed by gzip; unpack it"),
        (b"Rar!\x1a\x07\0" + bytes(300), "it is packed by rar; unpack it"),
        (bytes(257) + b"ustar\x0000" + bytes(300), "it is an archive of other files; unpack it"),
        (zipped({"model/best.pth": b"weights"}), "it is an archive of other files; unpack it"),
        (bytes(5000), "it is damaged, incomplete or not of torch"),
    ],
)
def test_the_message_says_what_the_file_is(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError) as refused:
        weight_files.read_checkpoint(tmp_path / "a.pth")
    assert message in str(refused.value)
    assert "weights_only" not in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*TorchScript:UserWarning")
def test_torchscript_is_named_with_how_to_save_its_weights(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=r"a\.pt .*it is TorchScript; save `torch\.jit\.load"):
        weight_files.read_checkpoint(tmp_path / "a.pt")


def test_a_folder_is_refused_as_one(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a folder; name the weight file in it"):
        weight_files.read_checkpoint(tmp_path)


def test_a_pickled_network_is_named_without_advice_to_read_it_unsafely(tmp_path: Path) -> None:
    torch.save(resnet.build(3, 0.0, seed=0), tmp_path / "whole.pth")
    with pytest.raises(WeightsError) as refused:
        weight_files.read_checkpoint(tmp_path / "whole.pth")
    assert "ResNet" in str(refused.value) and "save `model.state_dict()`" in str(refused.value)
    assert "weights_only" not in str(refused.value) and "safe_globals" not in str(refused.value)


STATE = {"conv1.weight": torch.ones(2), "fc.bias": torch.zeros(1)}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE},
        {"model": STATE, "epoch": 3},
        {"model_state_dict": STATE, "optimizer_state_dict": {"lr": 0.1}},
        {"state_dict": {f"module.{name}": tensor for name, tensor in STATE.items()}},
        {f"module._orig_mod.{name}": tensor for name, tensor in STATE.items()},
        {"net": {f"model.{name}": tensor for name, tensor in STATE.items()}},
        {"state_dict_ema": STATE},
        {"state_dict": STATE, "state_dict_ema": {"conv1.weight": torch.zeros(2)}},
    ],
)
def test_harmless_wrappings_of_other_scripts_are_read(tmp_path: Path, content: dict) -> None:
    torch.save(content, tmp_path / "a.pth")
    found = weight_files.read_checkpoint(tmp_path / "a.pth")
    assert list(found["state_dict"]) == list(STATE)
    assert all(torch.equal(found["state_dict"][name], tensor) for name, tensor in STATE.items())
    assert found.get("epoch") == content.get("epoch")


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_safetensors_are_read_whatever_they_are_called(tmp_path: Path, name: str) -> None:
    safetensors.torch.save_file(STATE, tmp_path / name)
    found = weight_files.read_checkpoint(tmp_path / name)["state_dict"]
    assert all(torch.equal(found[key], tensor) for key, tensor in STATE.items())


def test_a_weight_file_cut_short_is_refused(tmp_path: Path) -> None:
    outs.write_torch(tmp_path / "a.pth", {"state_dict": {"a": torch.ones(1000)}})
    whole = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"a\.pth is not a safe weight file"):
        weight_files.read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.ones(1)], torch.ones(1), {"state_dict": 1}])
def test_a_file_without_a_state_dict_is_refused_with_what_to_save(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a\.pth holds no state dict; save `model\.state_dict\(\)`"):
        weight_files.read_checkpoint(tmp_path / "a.pth")


def test_unknown_keys_are_named_since_one_of_them_may_be_meant(tmp_path: Path) -> None:
    torch.save({"student": STATE, "teacher": STATE}, tmp_path / "a.pth")
    with pytest.raises(
        WeightsError, match=r"a\.pth holds no state dict; .*\(it holds 'student', 'teacher'\)"
    ):
        weight_files.read_checkpoint(tmp_path / "a.pth")


def test_weights_in_half_precision_are_loaded_as_the_networks_own(model: ResNet) -> None:
    state = {k: v.half() if v.is_floating_point() else v for k, v in resnet.snapshot(model).items()}
    target = resnet.build(11, 0.0, seed=1)
    weight_files.load_whole(target, state, "x.pth")
    loaded = target.state_dict()
    assert {v.dtype for v in loaded.values() if v.is_floating_point()} == {torch.float32}
    assert torch.equal(loaded["conv1.weight"], state["conv1.weight"].float())


def test_a_bare_state_dict_and_a_wrapped_one_read_alike(tmp_path: Path) -> None:
    state = {"a": torch.ones(3)}
    torch.save(state, tmp_path / "bare.pth")
    torch.save({"state_dict": state, "epoch": 4}, tmp_path / "wrapped.pth")
    bare, wrapped = (weight_files.read_checkpoint(tmp_path / f"{n}.pth") for n in ("bare", "wrapped"))
    assert torch.equal(bare["state_dict"]["a"], wrapped["state_dict"]["a"])
    assert wrapped["epoch"] == 4


@pytest.mark.parametrize("other", [resnet18, resnet101])
def test_weights_of_another_architecture_are_refused_and_nothing_is_loaded(
    model: ResNet, other: object
) -> None:
    before = resnet.snapshot(model)
    with pytest.raises(WeightsError, match=r"x\.pth is not a ResNet-50 of torchvision"):
        weight_files.load_body(model, other(num_classes=11).state_dict(), "x.pth")  # type: ignore[operator]
    assert all(same(before, resnet.snapshot(model)))


def test_one_missing_tensor_is_enough_to_refuse(model: ResNet) -> None:
    state = resnet.snapshot(model)
    del state["layer3.5.bn2.running_mean"]
    with pytest.raises(WeightsError, match=r"1 tensor\(s\) missing \['layer3\.5\.bn2\.running_mean'\]"):
        weight_files.load_body(model, state, "x.pth")


def test_loading_the_body_leaves_the_head_and_loading_the_whole_does_not() -> None:
    source = resnet.snapshot(resnet.build(11, 0.0, seed=1))
    target = resnet.build(11, 0.0, seed=0)
    head = target.state_dict()["fc.weight"].clone()
    weight_files.load_body(target, source, "x.pth")
    assert all(same(body(source), body(target.state_dict())))
    assert torch.equal(target.state_dict()["fc.weight"], head)
    weight_files.load_whole(target, source, "x.pth")
    assert all(same(source, target.state_dict()))


def test_a_head_of_another_number_of_classes_is_refused(model: ResNet) -> None:
    state = resnet.snapshot(model)
    state |= {"fc.weight": torch.zeros(14, 2048), "fc.bias": torch.zeros(14)}
    with pytest.raises(WeightsError, match=r"x\.pth: head is \(14, 2048\), this study needs \(11, 2048\)"):
        weight_files.load_whole(model, state, "x.pth")
    with pytest.raises(WeightsError, match="head is none"):
        weight_files.load_whole(model, body(state), "x.pth")


def test_weights_for_the_same_classes_in_another_order_are_refused() -> None:
    weight_files.check_classes({"classes": list(CLASSES)}, CLASSES, "x.pth")
    for wrong in (sorted(CLASSES), CLASSES[:-1], ()):
        with pytest.raises(WeightsError, match=r"x\.pth was trained for"):
            weight_files.check_classes({"classes": list(wrong)}, CLASSES, "x.pth")
    with pytest.raises(WeightsError, match=r"x\.pth carries no class list"):
        weight_files.check_classes({}, CLASSES, "x.pth")


def test_weights_of_other_data_are_refused() -> None:
    weight_files.check_data({"data": "abc"}, "abc", "x.pth")
    for weights in ({"data": "abd"}, {}):
        with pytest.raises(WeightsError, match=r"x\.pth was trained on data .* train again"):
            weight_files.check_data(weights, "abc", "x.pth")


def test_what_goes_with_the_weights_survives_the_safe_loader(tmp_path: Path) -> None:
    outs.write_torch(
        tmp_path / "a.pth", {"state_dict": {"a": torch.ones(1)}, **weight_files.usage(CLASSES, 96, "data")}
    )
    read = weight_files.read_checkpoint(tmp_path / "a.pth")
    weight_files.check_classes(read, CLASSES, "a.pth")
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
    monkeypatch.setitem(imagenet.IMAGENET, "imagenet1k_v1", f"{url}/{name}")
    return cache / name


def test_imagenet_weights_in_torchs_cache_are_used_without_a_network(
    cache: Path, closed_url: str, imagenet_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(cache, imagenet_bytes, monkeypatch, closed_url)
    model = resnet.build(11, 0.0, seed=0)
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
        pretrain.initial_body(resnet.build(11, 0.0, seed=0), "imagenet1k_v1")
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
        imagenet.download(f"{closed_url}/resnet50-0676ba61.pth")
    message = str(caught.value)
    assert "resnet50-0676ba61.pth is not in torch's cache" in message
    assert f"place it at {cache / 'resnet50-0676ba61.pth'}" in message
    assert f"{closed_url}/resnet50-0676ba61.pth" in message
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_named_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"Not a directory.*place it at .*file/hub/checkpoints/resnet50-0"):
        imagenet.download("http://127.0.0.1/resnet50-0676ba61.pth")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "~/.cache/torch/hub")  # of a user without a home
    with pytest.raises(WeightsError, match=r"no home directory .*: set TORCH_HOME"):
        imagenet.download("http://127.0.0.1/resnet50-0676ba61.pth")
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("name", sorted(imagenet.IMAGENET))
def test_torchvisions_weight_files_carry_a_checksum_in_their_name(name: str) -> None:
    assert re.fullmatch(r"https://\S+/resnet50-[0-9a-f]{8,}\.pth", imagenet.IMAGENET[name])


def test_the_order_of_a_files_keys_stays_since_copies_of_weights_have_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"run": "run1", "state_dict": {"fc.bias": torch.zeros(3)}, "epoch": 3}, path)
    assert list(weight_files.read_checkpoint(path)) == ["run", "state_dict", "epoch"]
