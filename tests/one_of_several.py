"""One process of a small training: `torchrun ... tests/one_of_several.py FOLDER [OPTION ...]`.

Writes into FOLDER what each process scored and was told, and, from the first, weights and history. Options:
`frozen` keeps batch-norm statistics, `long` trains six epochs, `stuck` would, too, but never ends its sixth
step.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from toy_training import CPU, FULL, TRAIN, VAL, params, regime, shallow

from emotions import inference
from emotions.data import dataset
from emotions.model import resnet
from emotions.runtime import outs, parallel
from emotions.training import distributed, loop
from emotions.training.checkpoints import Checkpoints


def main(folder: Path, *options: str) -> None:
    parallel.end_with_launcher()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    rank = int(os.environ.get("RANK", "0"))
    scored: dict[str, list[list[int]]] = {"train": [], "val": []}
    told: list[int] = []

    real_logits, real_step, real_mode = inference.predict_logits, loop._Training.step, resnet.train_mode

    def watched_logits(model: Any, split: dataset.Split, rows: torch.Tensor, *rest: Any) -> torch.Tensor:
        scored["train" if split is TRAIN else "val"].append(rows.tolist())
        return real_logits(model, split, rows, *rest)

    steps = 0

    def stuck_step(self: Any, *batch: torch.Tensor) -> None:
        nonlocal steps
        (folder / f"pid{rank}").write_text(str(os.getpid()))
        steps += 1
        while steps == 6:
            time.sleep(1)
        real_step(self, *batch)

    def frozen_mode(model: Any) -> None:
        real_mode(model)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()

    inference.predict_logits = watched_logits
    if "stuck" in options:
        loop._Training.step = stuck_step  # type: ignore[method-assign]
    if "frozen" in options:
        resnet.train_mode = frozen_mode

    accelerator = distributed.start(CPU, torch.float32)
    checkpoints = Checkpoints(folder / "checkpoints", {"processes": accelerator.num_processes})
    fitted = loop.fit(
        shallow(dropout=0.5),
        TRAIN,
        VAL,
        params=params(),
        run=regime(**FULL),
        seed=0,
        accelerator=accelerator,
        epochs=2 if not {"long", "stuck"} & set(options) else 6,
        on_epoch=lambda epoch: told.append(epoch.epoch),
        title="",
        checkpoints=checkpoints,
    )
    (folder / f"{rank}.json").write_text(json.dumps({"scored": scored, "told": told}))
    if accelerator.is_main_process:
        state = {"selected": fitted.selected_state, "last": fitted.last_state}
        outs.write_torch(folder / "weights.pth", state)
        outs.write_text(folder / "history.csv", loop.history_csv(fitted.history))
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
