"""Fine-tune the pretrained network in one regime, from one seed.

Usage: python -m stages.train run1 0
"""

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dvclive

from emotions import inference
from emotions.command import command
from emotions.data import dataset
from emotions.model import resnet, weight_files
from emotions.runtime import outs
from emotions.taxonomy import ClassSet, compound_classes
from emotions.training import distributed, loop
from emotions.training.checkpoints import Checkpoints, result_key
from emotions.training.knobs import RunParams, TrainParams
from emotions.training.resume import Epoch

PARAMS = {"seed": int, "data.classes": ClassSet, "train": TrainParams, "runs.{run}": RunParams}
DATASET = Path("data/dataset_resnet_224.zip")
PRETRAINED = Path("models/pretrained.pth")
DECODED = Path(".decoded")


def main(values: dict[str, Any], regime: str, seed: int) -> None:
    name = f"{regime}-{seed}"
    classes, train, run = compound_classes(values["data.classes"]), values["train"], values["runs.{run}"]
    device = inference.prepare_device(train.threads)
    train_split, val_split = (
        dataset.load_split(
            DATASET,
            classes,
            "compound",
            split=s,
            params=train,
            decoded=DECODED,
            fraction=fraction,
            seed=values["seed"],
        )
        for s, fraction in (("train", run.fraction or train.fraction), ("val", 1.0))
    )
    model = resnet.build(len(classes), run.dropout, seed)
    weight_files.load_body(model, weight_files.read_checkpoint(PRETRAINED)["state_dict"], str(PRETRAINED))
    dtype = inference.resolve_precision(train.precision, device)
    accelerator = distributed.start(device, dtype)

    inputs = {
        "train images": train_split.identity,
        "validation images": val_split.identity,
        "initial weights": weight_files.file_sha256(PRETRAINED),
        "number format": inference.dtype_name(dtype),  # what `auto` chose here
    }
    chosen = values | {"seed of this training": seed}
    key = result_key(chosen, inputs, device, processes=accelerator.num_processes)
    checkpoints = Checkpoints(Path(f".checkpoints/train@{name}"), key)
    history: list[Epoch] = []
    with contextlib.ExitStack() as stack:
        if accelerator.is_main_process:
            stack.enter_context(checkpoints.at_work())
            live = stack.enter_context(
                dvclive.Live(f"dvclive/{name}", dvcyaml=None, save_dvc_exp=False, report=None)
            )

        def on_epoch(epoch: Epoch) -> None:
            history.append(epoch)
            outs.write_text(Path(f"plots/history/{name}.csv"), loop.history_csv(history))
            for key, value in asdict(epoch).items():
                if key != "epoch":
                    live.log_metric(key, value)
            live.next_step()

        fitted = loop.fit(
            model.to(accelerator.device),
            train_split,
            val_split,
            params=train,
            run=run,
            seed=seed,
            accelerator=accelerator,
            epochs=run.epochs or train.epochs,
            on_epoch=on_epoch,
            title=f"train {name}",
            checkpoints=checkpoints,
        )

        def weights(state: dict, epoch: Epoch) -> dict:
            return {
                "state_dict": state,
                "run": regime,
                "seed": seed,
                "epoch": epoch.epoch,
                **weight_files.usage(classes, train.image_size, train_split.data),
            }

        if accelerator.is_main_process:
            selected, last = fitted.selected, fitted.history[-1]
            outs.write_torch(Path(f"models/runs/{name}.pth"), weights(fitted.selected_state, selected))
            outs.write_torch(Path(f"models/last_epoch/{name}.pth"), weights(fitted.last_state, last))
            checkpoints.discard()
    accelerator.end_training()


if __name__ == "__main__":
    command(main, PARAMS, __doc__, seeded=True)
