"""Whether training repeats itself to the last bit, and goes on so after an interruption, on this device.

Usage: python -m benchmarks.exactness [--size 96] [--batch 16] [--images 320] [--epochs 2]

On the first GPU where torch finds one, else on the CPU. Each run of params.yaml trains on drawn faces from
random weights in each number format that the device has: once, again, and interrupted in the middle of the
last epoch and taken up from the checkpoint. `same`: every weight and every number of the history is, bit for
bit; else the largest difference of a weight. Then what torch warned of: operators that are not deterministic.
"""

import argparse
import os
import signal
import tempfile
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from accelerate.state import AcceleratorState

from benchmarks import throughput
from benchmarks.throughput import CLASSES, Setting
from emotions import inference
from emotions.model import resnet
from emotions.training import distributed, loop
from emotions.training.checkpoints import Checkpoints
from emotions.training.loop import Fitted


def fit(s: Setting, run: str, precision: str, epochs: int, checkpoints: Checkpoints | None = None) -> Fitted:
    """Train one run from its random weights."""
    AcceleratorState._reset_state(reset_partial_state=True)
    params = s.params(precision)
    accelerator = distributed.start(s.device, inference.resolve_precision(params.precision, s.device))
    model = resnet.build(len(CLASSES), s.runs[run].dropout, seed=0)
    return loop.fit(
        model,
        s.train,
        s.val,
        params=params,
        run=s.runs[run],
        seed=0,
        accelerator=accelerator,
        epochs=epochs,
        on_epoch=lambda _: None,
        title="",
        checkpoints=checkpoints,
    )


def interrupted(s: Setting, run: str, precision: str, epochs: int) -> Fitted:
    """The same, told to stop in the middle of the last epoch and begun again."""
    checkpoints = Checkpoints(s.folder / "checkpoints", {})
    step, taken, stop = loop._Training.step, 0, int((epochs - 0.5) * (s.images // s.batch))

    def until_told(self: loop._Training, *batch: Any) -> None:
        nonlocal taken
        taken += 1
        if taken == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        step(self, *batch)

    with mock.patch.object(loop._Training, "step", until_told):
        try:
            fit(s, run, precision, epochs, checkpoints)
        except KeyboardInterrupt:
            found = fit(s, run, precision, epochs, checkpoints)
        else:
            raise RuntimeError("the training was not interrupted: take more images")
    if taken != epochs * (s.images // s.batch):
        raise RuntimeError(f"{taken} steps in place of {epochs * (s.images // s.batch)}: it began anew")
    checkpoints.discard()
    return found


def told(one: Fitted, other: Fitted) -> str:
    """`same`, or by how much the weights differ."""
    pairs = [(one.last_state[k], other.last_state[k]) for k in one.last_state]
    pairs += [(one.selected_state[k], other.selected_state[k]) for k in one.selected_state]
    if one.history == other.history and all(torch.equal(a, b) for a, b in pairs):
        return "same"
    return f"{max((a.double() - b.double()).abs().max().item() for a, b in pairs):.1e}"


def main() -> None:
    usage = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks.exactness"
    )
    for name, value in {"size": 96, "batch": 16, "images": 320, "epochs": 2}.items():
        usage.add_argument(f"--{name}", type=int, default=value)
    arguments = usage.parse_args()
    print(throughput.facts(argparse.Namespace(torchvision_references=None, timm=None, **vars(arguments))))
    device = inference.prepare_device(torch.get_num_threads())
    formats = ["float32", "bfloat16"] + (["float16"] if device.type == "cuda" else [])
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        s = throughput.setting(Path(place), arguments.size, arguments.batch, arguments.images, device)
        print("\n| run | format | again | after an interruption |\n|:--|:--|--:|--:|", flush=True)
        for run in s.runs:
            for precision in formats:
                first, again = (fit(s, run, precision, arguments.epochs) for _ in range(2))
                resumed = interrupted(s, run, precision, arguments.epochs)
                print(f"| {run} | {precision} | {told(first, again)} | {told(first, resumed)} |", flush=True)
    said = {str(w.message).splitlines()[0] for w in heard if "deterministic" in str(w.message)}
    print("\nWarnings of operators that are not deterministic:", "; ".join(sorted(said)) or "none", end=".\n")


if __name__ == "__main__":
    main()
