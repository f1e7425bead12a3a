"""Exports: the same answers in every format, and a card that claims only what is of these weights."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchvision
from conftest import ROOT, rounding
from safetensors import safe_open

from emotions.model import resnet, weight_files
from emotions.runtime import outs
from tools.serve import export

CLASSES = ("Happily_Surprised", "Sadly_Angry", "Fearfully_Surprised")
SIZE = 64


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an export, beside its `best.pth`."""
    folder = tmp_path_factory.mktemp("export")
    model = resnet.build(len(CLASSES), 0.5, seed=3)
    draw = torch.Generator().manual_seed(0)
    for module in model.modules():  # as after training: statistics that are not 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1, generator=draw)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5, generator=draw)
    weights = {
        "state_dict": resnet.snapshot(model),
        "run": "run1",
        "seed": 2,
        "epoch": 4,
        **weight_files.usage(CLASSES, SIZE, "abc"),
    }
    outs.write_torch(folder / "best.pth", weights)
    return folder


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["export", "--model", "best.pth", "--out", "out"])
    assert export.main() == 0
    return capsys.readouterr().out


def test_every_format_answers_as_the_network_does(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run(exported, monkeypatch, capsys)
    assert said.count("logits differ by") == 2
    # What the README says, with torchvision alone.
    weights = torch.load(exported / "best.pth", weights_only=True)
    model = torchvision.models.resnet50(num_classes=len(weights["classes"]))
    model.load_state_dict(weights["state_dict"])
    model.eval()
    for count in (1, 5):
        images = torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(count))
        with torch.no_grad():
            expected = model(images).numpy()
        session = onnxruntime.InferenceSession(exported / "out/model.onnx")
        (found,) = session.run(["logits"], {"images": images.numpy()})
        assert np.abs(found - expected).max() < rounding(expected) < np.ptp(expected)
    with safe_open(exported / "out/model.safetensors", "pt") as file:
        assert all(torch.equal(file.get_tensor(k), v) for k, v in weights["state_dict"].items())
        metadata = file.metadata()
    properties = {p.key: p.value for p in onnx.load(exported / "out/model.onnx").metadata_props}
    for found in (metadata, properties):
        assert json.loads(found["classes"]) == list(CLASSES)
        assert json.loads(found["preprocessing"])["image_size"] == SIZE


def test_the_card_says_how_to_load_what_lies_beside_it(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(exported, monkeypatch, capsys)
    monkeypatch.chdir(exported / "out")
    images = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).numpy()
    blocks = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    found = []
    for block in blocks:
        names = {"images": images}
        exec(block, names)
        found.append(torch.as_tensor(names["logits"]).detach().numpy())
    assert len(found) == 2
    assert found[0].shape == (2, len(CLASSES))
    assert np.abs(found[0] - found[1]).max() < rounding(found[0]) < np.ptp(found[0])


def test_the_card_claims_nothing_that_was_measured_of_other_weights(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = weight_files.read_checkpoint(exported / "best.pth")
    test = {
        "images": 50, "accuracy": 0.61, "balanced_accuracy": 0.5, "macro_f1": 0.45, "top2_accuracy": 0.8,
        "ece": 0.1,
        "intervals": {k: [0.4, 0.7] for k in ("accuracy", "balanced_accuracy", "macro_f1", "top2_accuracy")},
        "per_class": {c: {"support": 9, "recall": 0.33} for c in CLASSES},
        "recall_intervals": {c: [0.1, 0.6] for c in CLASSES},
    }  # fmt: skip
    metrics = {"data": "abc", "classes": CLASSES, "selected": {"epoch": 4, "test": test}}
    folder = exported / "metrics/runs"
    folder.mkdir(parents=True)
    for epoch, claims in ((4, True), (5, False)):
        metrics["selected"]["epoch"] = epoch
        (folder / "run1-2.json").write_text(json.dumps(metrics))
        run(exported, monkeypatch, capsys)
        text = (exported / "out/README.md").read_text()
        assert ("| accuracy | 0.610 (0.400 to 0.700) |" in text) == claims
        assert ("| Sadly angry | 9 | 0.33 (0.10 to 0.60) |" in text) == claims
        assert ("nothing is claimed here" in text) == (not claims)
    assert "run `run1`, seed 2, epoch 4." in text
    assert "`abc`" in text
    assert weights["data"] == "abc"
    assert "2024/1689" in text


def test_an_export_that_answers_otherwise_is_an_error(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(exported)
    monkeypatch.setattr("sys.argv", ["export", "--model", "best.pth", "--out", "other"])
    monkeypatch.setattr(export, "differences", lambda *_: {"model.onnx": 0.5})
    assert export.main() == 1
    assert "more than 0.001 of the largest: do not use these files" in capsys.readouterr().err
    assert not (exported / "other/README.md").exists()


def test_an_export_reports_to_nobody(exported: Path, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    command = [
        sys.executable,
        "-m",
        "tools.serve.export",
        "--model",
        str(exported / "best.pth"),
        "--out",
        "silent",
    ]
    paths = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=exported, env=environment | paths, check=True, capture_output=True)
    assert (exported / "silent/model.onnx").exists()
    assert list(tmp_path.glob("*.ses")) == []  # of onnxruntime's telemetry
