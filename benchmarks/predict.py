"""Images per second of `make predict` against a plain torchvision loop; what finding faces and maps cost.

Usage: python -m benchmarks.predict [--images 192] [--rounds 3] [--model models/best_resnet50.pth]

Drawn faces as JPEGs of 224 px. The plain loop is what one writes by hand: a Dataset with PIL transforms, a
DataLoader (0, 1 and 2 workers, the fastest counts), batches of 32 in float32. Both ask the same network, and
their answers are compared. They take turns, ROUNDS times; a ratio is of one round, given as median and range.
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.throughput import span, write_images
from emotions.attention.knobs import MapParams
from emotions.model.preprocessing import MEAN, STD
from tools.serve.predictor import Crop, Failure, Predictor

ROOT = Path(__file__).parent.parent
BATCH = 32
WORKERS = (0, 1, 2)


class Pictures(Dataset[torch.Tensor]):
    """Pictures as one prepares them by hand, at the size that the network was trained at."""

    def __init__(self, paths: list[Path], size: int) -> None:
        steps = [transforms.Resize((size, size), transforms.InterpolationMode.BICUBIC)]
        self.prepare = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.prepare(Image.open(self.paths[index]).convert("RGB"))


@torch.inference_mode()
def plain(predictor: Predictor, paths: list[Path], workers: int) -> list[int]:
    """The most probable class of each picture."""
    loader = DataLoader(Pictures(paths, predictor.image_size), BATCH, num_workers=workers)
    return [int(a) for batch in loader for a in predictor.model(batch.to(predictor.device)).argmax(1)]


MAPS = MapParams(method="gradcam", min_grid=12)
"""Those of the default study."""


def ours(predictor: Predictor, paths: list[Path], crop: Crop, explain: bool) -> list[int]:
    predictor.crop, predictor.maps = crop, MAPS if explain else None
    answers = []
    for found in predictor(paths, BATCH):
        if isinstance(found, Failure):
            raise RuntimeError(found.why)
        answers.append(int(found.probabilities.argmax()))
    return answers


def main() -> None:
    usage = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks.predict"
    )
    usage.add_argument("--images", type=int, default=192)
    usage.add_argument("--rounds", type=int, default=3)
    usage.add_argument("--model", type=Path, default=ROOT / "models/best_resnet50.pth")
    arguments = usage.parse_args()
    predictor = Predictor(arguments.model)
    hand = [f"plain loop, {n} workers" for n in WORKERS]
    speeds: dict[str, list[float]] = defaultdict(list)
    said: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), arguments.images)
        paths = sorted(Path(folder, "tree/train").rglob("*.jpg"))
        works: dict[str, Callable[[], list[int]]] = {
            name: partial(plain, predictor, paths, n) for name, n in zip(hand, WORKERS, strict=True)
        }
        works |= {
            "predict --crop never": partial(ours, predictor, paths, "never", False),
            "predict": partial(ours, predictor, paths, "auto", False),
            "predict --explain": partial(ours, predictor, paths, "auto", True),
        }
        for _ in range(arguments.rounds):
            for name, work in works.items():
                begun = time.perf_counter()
                said[name] = work()
                speeds[name].append(len(paths) / (time.perf_counter() - begun))
    best = max(hand, key=lambda name: statistics.median(speeds[name]))
    print(
        f"{arguments.images} faces of 224 px, a network of {predictor.image_size} px, {predictor.device}.\n"
    )
    print("| | images/s | x the plain loop | same answer as it |\n|---|--:|--:|--:|")
    for name, found in speeds.items():
        ratio = span([a / b for a, b in zip(found, speeds[best], strict=True)])
        # One answer a picture: a crop is taken whole, and no drawn face holds a second one.
        same = sum(a == b for a, b in zip(said[name], said[best], strict=True))
        print(f"| {name} | {span(found, 1)} | {ratio} | {same} of {len(paths)} |")


if __name__ == "__main__":
    main()
