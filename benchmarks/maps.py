"""Seconds of Grad-CAM maps: this project's way against the ways that the grad-cam library documents.

Usage: python -m benchmarks.maps [--images 32] [--rounds 3]

The same ResNet-50, images and targets for each: one image at a time, gradients down to the input (the
library's example); batches, gradients down to the input; batches, gradients down to the layer
(`rafce.attention`). Each is timed in every round, in turn; ratios are within a round.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from rafce import attention, network
from rafce.augment import normalise, to_float

BATCH = 16
CPU = torch.device("cpu")


def by_library(model: torch.nn.Module, layer: str, images: torch.Tensor, size: int) -> np.ndarray:
    maps = []
    with GradCAM(model, [getattr(model, layer)[-1]]) as cam:
        for batch in images.split(size):
            inputs = normalise(to_float(batch)).requires_grad_(True)
            maps.append(cam(inputs, [ClassifierOutputTarget(0)] * len(batch)))
    return np.concatenate(maps)


def main() -> None:
    usage = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks.maps"
    )
    usage.add_argument("--images", type=int, default=32)
    usage.add_argument("--rounds", type=int, default=3)
    arguments = usage.parse_args()
    torch.set_num_threads(2)
    model = network.build(11, 0.0, 0).eval()
    generator = torch.Generator().manual_seed(0)
    print(
        "| px, layer | one image, library | batches, library | ours | x one image | differs from batches by |"
    )
    print("|:--|--:|--:|--:|--:|--:|")
    for size, layer in ((96, "layer2"), (224, "layer3")):
        images = torch.randint(
            0, 256, (arguments.images, 3, size, size), generator=generator, dtype=torch.uint8
        )
        targets = [0] * len(images)
        ways: dict[str, Callable[[], np.ndarray]] = {
            "one": lambda: by_library(model.requires_grad_(True), layer, images, 1),  # noqa: B023
            "batches": lambda: by_library(model.requires_grad_(True), layer, images, BATCH),  # noqa: B023
            "ours": lambda: attention.heat_maps(model, images, targets, "gradcam", layer, BATCH, CPU),  # noqa: B023
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        maps = {}
        for _ in range(arguments.rounds):
            for name, way in ways.items():
                begun = time.perf_counter()
                maps[name] = way()
                seconds[name].append((time.perf_counter() - begun) / len(images))
        faster = statistics.median(a / b for a, b in zip(seconds["one"], seconds["ours"], strict=True))
        each = [f"{1000 * statistics.median(s):.0f} ms" for s in seconds.values()]
        apart = float(np.abs(maps["batches"] - maps["ours"]).max())
        print(f"| {size}, {layer} | " + " | ".join(each) + f" | {faster:.1f} | {apart:.1e} |", flush=True)


if __name__ == "__main__":
    main()
