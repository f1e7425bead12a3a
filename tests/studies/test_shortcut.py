"""The case with a known answer, in small, through the real stages: walls that tell the class, or do not.

`docs/attention.md` has it in full. Here a network sees few faces for a short time: enough to learn walls of
eleven colours, too few to learn faces. Without walls it is then no better than chance, and its few answers go
with whatever it sees, the brightness of the background included: so what is asked is how much more they go
with a wall, and whether accuracy comes from there.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from accelerate.state import AcceleratorState
from conftest import Study
from small_study import scrutinised, seen, study

from emotions import params_file
from emotions.attention import examination, landmarks
from emotions.data import dataset
from emotions.evidence.claims import claims
from emotions.model import resnet, weight_files
from emotions.taxonomy import compound_classes
from stages import extract, faithfulness, preprocess, pretrain, train

RUNS = ("run1", "run2", "run3")
CPU = torch.device("cpu")
SMALL = (
    ("basic_emotions: {epochs: 3", "basic_emotions: {epochs: 0"),
    ("image_size: 64 ", "image_size: 32 "),
    ("\n  epochs: 5", "\n  epochs: 8"),
    ("lr: {body: 1.0e-4, head: 1.0e-4}", "lr: {body: 1.0e-3, head: 1.0e-3}"),
)
FACES = (600, 250, 250, 2400, 0.0)


def faces(train: int, val: int, test: int, basic: int, shortcut: float) -> str:
    """How params.yaml says that so many are drawn."""
    numbers = {"train": train, "val": val, "test": test, "basic": basic, "shortcut": shortcut}
    return "".join(f"    {name}: {number}\n" for name, number in numbers.items())


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, dict[str, Any]]]:
    """By `data.synthetic.shortcut`: the last epoch of run1, and what its answers rest on then."""
    threads, measured = torch.get_num_threads(), {}
    AcceleratorState._reset_state(reset_partial_state=True)  # of another precision, by tests before
    for shortcut in (0, 1):
        one = Study(tmp_path_factory.mktemp(f"shortcut-{shortcut}"))
        one.params((faces(*FACES), faces(220, 110, 11, 0, float(shortcut))), *SMALL)
        with contextlib.chdir(one.folder):
            measured[shortcut] = trained()
    torch.set_num_threads(threads)
    yield measured


def trained() -> dict[str, Any]:
    """Run the stages up to the training of run1, in this folder, and look at its network."""
    file = Path("params.yaml")
    for stage in (extract, preprocess, pretrain):
        stage.main(params_file.read(file, stage.PARAMS))
    train.main(params_file.read(file, train.PARAMS, run="run1"), "run1", 0)
    values = params_file.read(file, faithfulness.PARAMS, run="run1")
    classes, options = compound_classes(values["data.classes"]), values["train"]
    model = resnet.build(len(classes), 0.0, seed=0)
    path = Path("models/last_epoch/run1-0.pth")
    weight_files.load_whole(model, weight_files.read_checkpoint(path)["state_dict"], str(path))
    splits = {
        s: dataset.load_split(
            faithfulness.DATASET, classes, "compound", split=s, params=options, decoded=Path(".decoded")
        )
        for s in ("train", "val")
    }

    def locate(split: dataset.Split, title: str) -> landmarks.Located:
        return landmarks.locate(faithfulness.DATASET, split, options, decoded=Path(".decoded"), title=title)

    rests_on = examination.by_split(model, splits, locate, seed=0, device=CPU, dtype=torch.float32)
    last = pd.read_csv("plots/history/run1-0.csv").iloc[-1]
    return {"last": last, "rests_on": rests_on}


def test_with_the_wall_training_goes_up_and_validation_does_not_follow(
    found: dict[int, dict[str, Any]],
) -> None:
    without, with_wall = (found[s]["last"] for s in (0, 1))
    assert with_wall["train_accuracy"] > without["train_accuracy"] + 0.15
    assert with_wall["val_accuracy"] < with_wall["train_accuracy"] - 0.3


def test_answers_go_with_the_wall_and_training_accuracy_goes_with_it(
    found: dict[int, dict[str, Any]],
) -> None:
    without, with_wall = (found[s]["rests_on"] for s in (0, 1))
    assert with_wall["val"]["follows"]["interval"][0] > 0.2
    difference = [one["val"]["follows"]["difference"] for one in (without, with_wall)]
    assert difference[1] > difference[0] + 0.2
    assert with_wall["train"]["background"]["swapped"]["interval"][1] < -0.2
    assert with_wall["train"]["accuracy"]["only background"] > without["train"]["accuracy"]["only background"]


def ledger(rests_on: dict[str, Any]) -> dict[str, str]:
    """Verdicts on the claims that the background decides, of a study whose runs all rest on this."""
    one = study(
        attention={name: seen() for name in RUNS},
        faithfulness={name: {**scrutinised(name), "rests_on": rests_on} for name in RUNS},
    )
    return {c.entry.claim: c.verdict for c in claims(one) if c.entry.claim in ("memorised", "background")}


def test_the_ledger_flips(found: dict[int, dict[str, Any]]) -> None:
    assert ledger(found[1]["rests_on"]) == {"memorised": "supported", "background": "supported"}
    assert ledger(found[0]["rests_on"])["memorised"] != "supported"
