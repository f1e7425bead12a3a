"""Fine-tune the pretrained network in one regime.

Usage: python -m stages.train run1
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import dvclive

from rafce import images, network, outs, training
from rafce.taxonomy import ClassSet, compound_classes
from rafce.training import Epoch, RunParams, TrainParams
from stages import command

PARAMS = {"seed": int, "data.classes": ClassSet, "train": TrainParams, "runs.{run}": RunParams}
DATASET = Path("data/dataset_resnet_224.zip")
PRETRAINED = Path("models/pretrained.pth")


def main(values: dict[str, Any], name: str) -> None:
    classes, train, run = compound_classes(values["data.classes"]), values["train"], values["runs.{run}"]
    device = training.prepare_device(train.threads)

    train_split, val_split = (
        images.load_split(DATASET, classes, "compound", s, train.image_size, train.threads)
        for s in ("train", "val")
    )
    model = network.build(len(classes), run.dropout, values["seed"])
    network.load_body(model, network.read_checkpoint(PRETRAINED)["state_dict"], str(PRETRAINED))

    history: list[Epoch] = []
    with dvclive.Live(f"dvclive/{name}", dvcyaml=None, save_dvc_exp=False, report=None) as live:

        def on_epoch(epoch: Epoch) -> None:
            history.append(epoch)
            outs.write_text(Path(f"plots/runs/{name}/history.csv"), training.history_csv(history))
            for key, value in asdict(epoch).items():
                if key != "epoch":
                    live.log_metric(key, value)
            live.next_step()

        fitted = training.fit(
            model.to(device),
            train_split,
            val_split,
            train,
            run,
            values["seed"],
            device,
            train.epochs,
            on_epoch,
            f"train {name}",
        )

    def weights(state: dict, epoch: Epoch) -> dict:
        return {
            "state_dict": state,
            "run": name,
            "epoch": epoch.epoch,
            **network.usage(classes, train.image_size, train_split.data),
        }

    outs.write_torch(Path(f"models/runs/{name}.pth"), weights(fitted.selected_state, fitted.selected))
    outs.write_torch(Path(f"models/last_epoch/{name}.pth"), weights(fitted.last_state, fitted.history[-1]))


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
