"""torchvision's ImageNet weights, from torch hub's cache or downloaded into it; checksums are verified."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlparse

import torch
from torchvision.models import ResNet50_Weights

from emotions.model.weight_files import WeightsError, file_sha256, read_checkpoint
from emotions.runtime.console import watched

IMAGENET: Final = {
    "imagenet1k_v1": ResNet50_Weights.IMAGENET1K_V1.url,
    "imagenet1k_v2": ResNet50_Weights.IMAGENET1K_V2.url,
}


def download(url: str) -> tuple[dict[str, torch.Tensor], str]:
    """Read weights from torch hub's cache, downloading from `url` if absent; always verify the checksum in
    the file's name.

    Returns the state dict and the file's SHA-256.

    Raises:
        WeightsError: no network and no cached file, or a wrong checksum. The message names the file and its
        place.
    """
    name = Path(urlparse(url).path).name
    place = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not place.is_absolute():
        raise WeightsError(f"no home directory for torch's cache: set TORCH_HOME to a folder for {name}")
    if not place.exists():
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(place), progress=watched())
        except OSError as error:
            raise WeightsError(
                f"{name} is not in torch's cache and could not be downloaded ({error}). Download {url} "
                f"on another machine and place it at {place}"
            ) from error
    digest = file_sha256(place)
    expected = re.search(r"-([0-9a-f]{8,})\.", name)
    if expected is None or not digest.startswith(expected[1]):
        promised = expected[1] if expected else "none"
        raise WeightsError(
            f"{place} has checksum {digest[:16]}..., its name promises {promised}; "
            "it is damaged or another file. Delete it and run again"
        )
    return read_checkpoint(place)["state_dict"], digest
