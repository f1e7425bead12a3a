"""Weight files: read without running their code, and checked against the study."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from emotions.model.preprocessing import MEAN, STD

if TYPE_CHECKING:
    from torchvision.models import ResNet


class WeightsError(ValueError):
    """Weights that cannot be used; the message names the file and the remedy."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a weight file, which holds `{"state_dict": tensors, ...}` or a bare state dict.

    Returns:
        The first form in both cases: a bare state dict comes as `{"state_dict": ...}`.

    Raises:
        WeightsError: no such file, not a torch file, or one that holds more than tensors and plain values.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(
            f"{path} does not exist; `make repro` makes the models; put other weights there yourself"
        ) from error
    except Exception as error:  # torch.load raises a dozen types on a broken file
        raise WeightsError(
            f"{path} is not a safe weight file (tensors and plain values only): {error}"
        ) from error
    if isinstance(content, dict):
        wrapped = content if "state_dict" in content else {"state_dict": content}
        state = wrapped["state_dict"]
        if isinstance(state, dict) and state and all(isinstance(v, torch.Tensor) for v in state.values()):
            return wrapped
    raise WeightsError(f"{path} holds no state dict; save `model.state_dict()` of a torchvision resnet50")


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
