"""Forecast of how long due trainings take on this machine, from a measured second of steps of each."""

import json
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch.nn import functional

from emotions import inference, params_file
from emotions.model import resnet
from emotions.params_file import StudyParams
from emotions.sources import DataParams
from emotions.training.knobs import PretrainedParams, RunParams, TrainParams

KNOBS: Final = {
    "data": DataParams,
    "train": TrainParams,
    "pretrained": PretrainedParams,
    "study": StudyParams,
    "runs": dict[str, RunParams],
}
AUDIT: Final = Path("metrics/data.json")
OTHER_STAGE_SECONDS: Final = 10.0
"""Seconds for a stage that does not train: imports, scoring a thousand images, figures."""


def images(data: DataParams, counted: bool) -> dict[str, tuple[int, int]] | None:
    """Number of training and validation images by role (`basic`, `compound`). Drawn faces are counted from
    params.yaml, others by the last `extract`; None where that is still to come (not `counted`)."""
    if data.source == "synthetic":
        drawn = data.synthetic
        return {"compound": (drawn.train, drawn.val), "basic": (drawn.basic * 3 // 4, drawn.basic // 8)}
    if not counted or not AUDIT.exists():
        return None
    audit = json.loads(AUDIT.read_text(encoding="utf-8"))
    counts = {role: [audit[role][label] for label in audit[role]] for role in ("compound", "basic")}
    return {role: (sum(c["train"] for c in of), sum(c["val"] for c in of)) for role, of in counts.items()}


class Training(NamedTuple):
    """A training that is due. `role`: role of its images, `fraction`: their share; `parts`: the parts that
    learn."""

    role: str
    epochs: int
    parts: list[resnet.Part]
    fraction: float = 1.0


def trainings(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Training]:
    """Trainings among the stages `names`, by stage."""
    found = {}
    epochs = values["pretrained"].basic_emotions.epochs
    if "pretrain" in names and epochs:
        found["pretrain"] = Training("basic", epochs, list(resnet.PARTS))
    for name, networks in values["study"].networks.items():
        run = values["runs"][name]
        epochs, share = run.epochs or values["train"].epochs, run.fraction or values["train"].fraction
        for network in networks:
            if f"train@{network}" in names:
                found[f"train@{network}"] = Training("compound", epochs, run.trainable_parts, share)
    return found


def measured(train: TrainParams, parts: list[resnet.Part]) -> tuple[float, float]:
    """Seconds an image that this machine takes to train, and to score, where `parts` learn."""
    device = inference.prepare_device(train.threads)
    dtype = inference.resolve_precision(train.precision, device)
    model = resnet.build(11, 0.0, seed=0).to(device)
    resnet.freeze(model, parts)
    resnet.train_mode(model)
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=1e-6)
    pixels = torch.randn(train.batch_size, 3, train.image_size, train.image_size, device=device)
    labels = torch.zeros(train.batch_size, dtype=torch.long, device=device)

    def step() -> None:
        with inference.autocast(device, dtype):
            loss = functional.cross_entropy(model(pixels), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()  # waits for a GPU

    def score() -> None:
        with torch.inference_mode(), inference.autocast(device, dtype):
            model(pixels).float().cpu()

    seconds = seconds_each(step) / train.batch_size
    model.eval()
    return seconds, seconds_each(score) / train.batch_size


def seconds_each(work: Callable[[], None]) -> float:
    """Mean seconds a call, over about a second of calls after an uncounted first."""
    work()
    begun, times = time.perf_counter(), 0
    while not times or time.perf_counter() - begun < 1:
        work()
        times += 1
    return (time.perf_counter() - begun) / times


class Forecast(NamedTuple):
    """Rough seconds of each stage, none where images were not counted, and `line`, the whole in words."""

    seconds: dict[str, float]
    line: str


def forecast(path: Path, names: Collection[str], jobs: int = 1) -> Forecast:
    """How long the stages `names` take here, `jobs` at once, with the knobs in `path`; an empty line where
    none of them trains.

    Raises:
        ParamsError: a knob that cannot be used.
    """
    values = params_file.read(path, KNOBS)
    found, train = trainings(values, names), values["train"]
    if not found:
        return Forecast({}, "")
    sizes = images(values["data"], "extract" not in names)
    speeds = {tuple(one.parts): measured(train, one.parts) for one in found.values()}
    each = {name: speeds[tuple(one.parts)] for name, one in found.items()}
    if sizes is None:
        told = ", ".join(f"{name} {1 / seconds:.0f}" for name, (seconds, _) in each.items())
        line = f"Training speed here, images a second: {told}. `extract` will count the images."
        return Forecast({}, line)
    duration = dict.fromkeys(names, OTHER_STAGE_SECONDS)
    for name, (role, epochs, _, fraction) in found.items():
        images_train, images_val = sizes[role]
        images_train = int(images_train * fraction)
        step, score = each[name]
        an_epoch = images_train * step + (images_val + min(images_train, images_val)) * score
        duration[name] = epochs * an_epoch
    minutes = {name: duration[name] / 60 for name in found}
    minutes["the other stages"] = (len(names) - len(found)) * OTHER_STAGE_SECONDS / 60
    told = ", ".join(f"{name} {m:.1f}" for name, m in minutes.items())
    together = f", {jobs} at once" if jobs > 1 else ""
    total = max(1, round(sum(minutes.values()) / jobs))
    line = f"About {total} minute{'s' if total > 1 else ''} on this machine{together} ({told})."
    return Forecast(duration, line)
