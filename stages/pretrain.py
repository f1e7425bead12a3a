"""Make the weights that every run starts from: random, ImageNet or a file, then the basic emotions.

Usage: python -m stages.pretrain
"""

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from emotions import inference
from emotions.command import command
from emotions.data import dataset, images
from emotions.model import imagenet, resnet, weight_files
from emotions.runtime import console, outs
from emotions.taxonomy import BASIC
from emotions.training import distributed, loop
from emotions.training.checkpoints import Checkpoints, result_key
from emotions.training.knobs import LearningRates, OptimisationParams, PretrainedParams, RunParams
from emotions.training.resume import Epoch

PARAMS = {"seed": int, "pretrained": PretrainedParams, "train": OptimisationParams}
DATASET = Path("data/dataset_resnet_224.zip")
WEIGHTS = Path("data/raw/weights")
DECODED = Path(".decoded")
OUT = Path("models/pretrained.pth")
HISTORY = Path("plots/pretrain_history.csv")
METRICS = Path("metrics/pretrained.json")


def initial_body(model: resnet.ResNet, weights: str) -> tuple[dict[str, Any], list[torch.Tensor]]:
    """Load the chosen weights into the body of `model`.

    Returns the weights' origin, and weight and bias of ImageNet's head. Without that head nothing could
    measure later what a run forgets of ImageNet.
    """
    if weights == "none":
        return {"weights": "none"}, []
    if weights in imagenet.IMAGENET:
        url = imagenet.IMAGENET[weights]
        state, digest = imagenet.download(url)
        weight_files.load_body(model, state, weights)
        return {"weights": weights, "url": url, "sha256": digest}, [state["fc.weight"], state["fc.bias"]]
    path = WEIGHTS / weights
    weight_files.load_body(model, weight_files.read_checkpoint(path)["state_dict"], str(path))
    return {"weights": weights, "sha256": weight_files.file_sha256(path)}, []


def main(values: dict[str, Any]) -> None:
    pretrained, train = values["pretrained"], values["train"]
    epochs = pretrained.basic_emotions.epochs
    device = inference.prepare_device(train.threads)
    from_nothing = pretrained.weights == "none"
    model = resnet.build(len(BASIC), 0.0, values["seed"], zero_init_residual=from_nothing)
    origin, imagenet_head = initial_body(model, pretrained.weights)
    record: dict[str, Any] = {**origin, "basic_emotions_epochs": epochs}
    if epochs == 0:
        # The untrained head that `build` made is left out.
        state = {k: v for k, v in resnet.snapshot(model).items() if not k.startswith("fc.")}
        if console.first_process():
            write(state, [], record, more={"imagenet_head": imagenet_head} if imagenet_head else {})
        return
    if not any(row.role == "basic" for row in dataset.read_manifest(DATASET)):
        raise images.ImageError(
            f"pretrained.basic_emotions.epochs is {epochs}, but the data hold no basic emotions; set it to 0"
        )
    train_split, val_split = (
        dataset.load_split(DATASET, BASIC, "basic", split=s, params=train, decoded=DECODED)
        for s in ("train", "val")
    )
    lr = LearningRates(body=pretrained.basic_emotions.lr, head=pretrained.basic_emotions.lr)
    recipe = RunParams(
        title="Basic emotions",
        trainable_parts=list(resnet.PARTS),
        lr=lr,
        mixup_alpha=0,
        dropout=0,
        augmentation="standard",
    )
    dtype = inference.resolve_precision(train.precision, device)
    accelerator = distributed.start(device, dtype)
    inputs = {
        "train images": train_split.identity,
        "validation images": val_split.identity,
        "initial weights": record.get("sha256", ""),
        "number format": inference.dtype_name(dtype),  # what `auto` chose here
    }
    key = result_key(values, inputs, device, processes=accelerator.num_processes)
    checkpoints = Checkpoints(Path(".checkpoints/pretrain"), key)
    with checkpoints.at_work() if accelerator.is_main_process else contextlib.nullcontext():
        fitted = loop.fit(
            model.to(accelerator.device),
            train_split,
            val_split,
            params=train,
            run=recipe,
            seed=values["seed"],
            accelerator=accelerator,
            epochs=epochs,
            on_epoch=lambda e: None,
            title="basic emotions",
            checkpoints=checkpoints,
        )
        record |= {
            "data": train_split.data,
            "precision": inference.dtype_name(dtype),
            "train_images": len(train_split),
            "val_images": len(val_split),
            "selected": asdict(fitted.selected),
            "val_majority": (val_split.labels == train_split.labels.mode().values).double().mean().item(),
        }
        if accelerator.is_main_process:
            write(fitted.selected_state, fitted.history, record, more={})
            checkpoints.discard()
    accelerator.end_training()


def write(
    state: dict[str, torch.Tensor], history: list[Epoch], record: dict[str, Any], *, more: dict[str, Any]
) -> None:
    """Write the outs of the stage."""
    classes = list(BASIC) if history else []
    outs.write_torch(OUT, {"state_dict": state, "classes": classes, "origin": record, **more})
    outs.write_text(HISTORY, loop.history_csv(history))
    outs.write_json(METRICS, record)


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
