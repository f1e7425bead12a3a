"""Weight files: read without running their code, and checked against the study."""

import hashlib
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import safetensors.torch
import torch

from emotions.model.preprocessing import MEAN, STD

if TYPE_CHECKING:
    from torchvision.models import ResNet


class WeightsError(ValueError):
    """Weights that cannot be used; the message names the file and the remedy."""


WRAPPERS: Final = ("state_dict", "model_state_dict", "model", "net", "weights", "state_dict_ema")
"""Keys under which training scripts store a state dict; the first that is there counts."""
PACKED: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
}
"""What files of packing programs begin with."""
PREFIXES: Final = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and wrapper classes put before every name."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a weight file, which holds `{"state_dict": tensors, ...}`, a state dict as other training scripts
    wrap it, a bare one, or safetensors.

    Returns:
        The first form in all cases, names as torchvision has them.

    Raises:
        WeightsError: no such file, or not weights; the message says what it is instead, and what to do.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        if isinstance(error, IsADirectoryError):
            raise WeightsError(f"{path} is a folder; name the weight file in it") from error
        if not isinstance(error, FileNotFoundError):
            raise WeightsError(f"{path} cannot be read ({error.strerror})") from error
        raise WeightsError(
            f"{path} does not exist; `make repro` makes the models; put other weights there yourself"
        ) from error
    try:
        if head[8:9] == b"{":  # a length of 8 bytes, then JSON
            content = safetensors.torch.load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the two raise a dozen types on a broken file
        raise WeightsError(f"{path} is not a safe weight file: {_instead(path, head, str(error))}") from error
    wrapper = next(
        (k for k in WRAPPERS if isinstance(content, dict) and isinstance(content.get(k), dict)), ""
    )
    state = content[wrapper] if wrapper else content
    if isinstance(state, dict) and state and all(isinstance(v, torch.Tensor) for v in state.values()):
        plain = _without_prefixes(state)
        if not wrapper:
            return {"state_dict": plain}
        return {"state_dict" if k == wrapper else k: plain if k == wrapper else v for k, v in content.items()}
    keys = ", ".join(f"{k!r}" for k in list(content)[:5]) if isinstance(content, dict) else ""
    raise WeightsError(
        f"{path} holds no state dict; save `model.state_dict()` of a torchvision resnet50"
        + (f" (it holds {keys})" if keys else "")
    )


def _without_prefixes(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict without prefixes that all of its names have."""
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in state)), ""):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _instead(path: Path, head: bytes, words: str) -> str:
    """What an unreadable file is, by its first bytes and the reader's words, and the remedy."""
    text = head.lstrip().lower()
    if not head:
        return "it is empty; fetch it again"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; run `git lfs pull` where it comes from, and copy the file again"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "it is a web page, such as a login or an error; fetch the file itself"
    if text.startswith((b"{", b"[")):
        return "it is JSON text; fetch the weights themselves"
    if head.startswith(b"\x89HDF"):
        return "it is an HDF5 file, as Keras writes; save the weights with torch"
    if packed := next((name for start, name in PACKED.items() if head.startswith(start)), ""):
        return f"it is packed by {packed}; unpack it"
    if head[257:262] == b"ustar" or _is_zip_of_others(path):
        return "it is an archive of other files; unpack it and name the weights in it"
    if "TorchScript" in words:
        return "it is TorchScript; save `torch.jit.load(file).state_dict()`"
    if not head.startswith((b"\x80", b"PK")) and head[8:9] != b"{":  # neither pickle nor zip nor safetensors
        return "it is damaged, incomplete or not of torch; fetch it again"
    foreign = re.search(r"GLOBAL ([\w.]+)", words)
    if foreign and not foreign[1].startswith("numpy"):
        return (
            f"it is a pickled object ({foreign[1]}), and reading it would run its code; "
            "where it was made, save `model.state_dict()`"
        )
    if "weights_only" in words.lower() or "Weights only" in words:
        return "it holds more than tensors and plain values; where it was made, save `model.state_dict()`"
    return f"it is damaged, incomplete or not of torch ({words.splitlines()[0][:100]}); fetch it again"


def _is_zip_of_others(path: Path) -> bool:
    """Whether the file is a zip, but not torch's, which has a `data.pkl`."""
    try:
        with zipfile.ZipFile(path) as opened:
            return not any(name.endswith("/data.pkl") for name in opened.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def usage(classes: Sequence[str], image_size: int, data: str) -> dict[str, Any]:
    """Facts needed to use the weights: the class of each output, the preprocessing, and the fingerprint of
    the training data (`emotions.data.manifest.fingerprint`)."""
    return {
        "classes": list(classes),
        "data": data,
        "preprocessing": {"image_size": image_size, "colours": "RGB", "mean": list(MEAN), "std": list(STD)},
    }


def check_classes(weights: dict[str, Any], classes: Sequence[str], name: str) -> None:
    """Raises:
    WeightsError: the weights were trained for other classes, or for the same ones in another order.
    """
    if "classes" not in weights:
        raise WeightsError(f"{name} carries no class list; use weights that this project has trained")
    if list(weights["classes"]) != list(classes):
        raise WeightsError(f"{name} was trained for {weights['classes']}, this study has {list(classes)}")


def check_data(weights: dict[str, Any], data: str, name: str) -> None:
    """Raises:
    WeightsError: the training data's fingerprint is not `data`.
    """
    if weights.get("data") != data:
        raise WeightsError(f"{name} was trained on data {weights.get('data')}, these are {data}; train again")


def load_body(model: "ResNet", state: dict[str, torch.Tensor], name: str) -> None:
    """Copy all but the head into `model`.

    Raises:
        WeightsError: keys or shapes are not those of torchvision's ResNet-50.
    """
    body = {k: v for k, v in state.items() if not k.startswith("fc.")}
    own = {k: v for k, v in model.state_dict().items() if not k.startswith("fc.")}
    missing = [k for k in own if k not in body and not k.endswith("num_batches_tracked")]
    wrong = [k for k, v in body.items() if k not in own or own[k].shape != v.shape]
    if missing or wrong:
        raise WeightsError(
            f"{name} is not a ResNet-50 of torchvision: {len(missing)} tensor(s) missing {missing[:3]}, "
            f"{len(wrong)} unknown or of another shape {wrong[:3]}"
        )
    model.load_state_dict(body, strict=False)


def load_whole(model: "ResNet", state: dict[str, torch.Tensor], name: str) -> None:
    """Copy body and head into `model`; the head must have the model's number of classes.

    Raises:
        WeightsError: another architecture or class count.
    """
    load_body(model, state, name)
    head = {k.removeprefix("fc."): v for k, v in state.items() if k.startswith("fc.")}
    if {k: v.shape for k, v in head.items()} != {k: v.shape for k, v in model.fc.state_dict().items()}:
        found = tuple(head["weight"].shape) if "weight" in head else "none"
        raise WeightsError(f"{name}: head is {found}, this study needs {tuple(model.fc.weight.shape)}")
    model.fc.load_state_dict(head)


def load_run(
    path: Path, classes: Sequence[str], data: str, *, device: torch.device
) -> tuple["ResNet", dict[str, Any]]:
    """Load a run's network, without dropout, onto `device`; return it and the content of its file.

    Args:
        classes, data: the classes, in order, and the data fingerprint that the file must have.

    Raises:
        WeightsError: the file cannot be read, or has other classes, other data or another network.
    """
    from emotions.model import resnet  # torchvision imports slowly; `best` only copies a file

    weights = read_checkpoint(path)
    check_classes(weights, classes, str(path))
    check_data(weights, data, str(path))
    model = resnet.build(len(classes), 0.0, seed=0)
    load_whole(model, weights["state_dict"], str(path))
    return model.to(device), weights


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
