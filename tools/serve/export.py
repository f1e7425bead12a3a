"""A trained network for others: safetensors, ONNX, and a model card.

Usage: python -m tools.serve.export [--model models/best_resnet50.pth] [--out export]

Writes OUT/model.safetensors (torchvision's names; classes and preprocessing in its metadata), OUT/model.onnx
(input `images`, float [N, 3, S, S], normalised; output `logits` [N, C]; N is free) and OUT/README.md, the
card: intended use, data, metrics with intervals, limits, licence. Reads both files back, runs them on random
images and prints their greatest difference from the network; more than TOLERANCE is an error.
"""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import save
from torchvision.models import ResNet

from emotions.model import resnet, weight_files
from emotions.model.weight_files import WeightsError
from emotions.runtime import outs
from emotions.taxonomy import display
from tools.serve.predictor import Predictor

TOLERANCE: Final = 1e-3
"""Greatest allowed difference of logits, as a fraction of the largest: other kernels sum in another order."""
IMAGES: Final = 8
"""Number of random images for the comparison."""


class ExportError(RuntimeError):
    """The exported files do not answer as the network does."""


def to_safetensors(path: Path, model: ResNet, usage: Mapping[str, Any]) -> None:
    """Write the weights under torchvision's names, with `usage` as JSON in the metadata."""
    state = resnet.snapshot(model)
    with outs.new_file(path) as temporary:
        temporary.write_bytes(save(state, {key: json.dumps(value) for key, value in usage.items()}))


def to_onnx(path: Path, model: ResNet, usage: Mapping[str, Any]) -> None:
    """Write the network as a graph, with `usage` as JSON in its metadata."""
    size = int(usage["preprocessing"]["image_size"])
    with warnings.catch_warnings(), outs.new_file(path) as temporary:
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            plain(model),
            (torch.zeros(2, 3, size, size),),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        graph = program.model_proto
        onnx.helper.set_model_props(graph, {key: json.dumps(value) for key, value in usage.items()})
        onnx.checker.check_model(graph)
        temporary.write_bytes(graph.SerializeToString())


def plain(model: ResNet) -> ResNet:
    """The same network as torchvision alone builds it."""
    alone = torchvision.models.resnet50(num_classes=model.fc.out_features)
    alone.load_state_dict(resnet.snapshot(model))
    return alone.eval()


def differences(folder: Path, model: ResNet, size: int) -> dict[str, float]:
    """Greatest difference of each file's logits from the network's on IMAGES random images, as a fraction of
    the largest logit."""
    images = torch.randn(IMAGES, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(images).numpy()
        with safe_open(folder / "model.safetensors", "pt") as file:
            alone = torchvision.models.resnet50(num_classes=expected.shape[1]).eval()
            alone.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
        read = alone(images).numpy()
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at import; else it reports to its makers
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    (run,) = session.run(["logits"], {"images": images.numpy()})
    return {
        "model.safetensors": float(np.abs(read - expected).max() / np.abs(expected).max()),
        "model.onnx": float(np.abs(run - expected).max() / np.abs(expected).max()),
    }


def card(
    weights: Mapping[str, Any], metrics: Mapping[str, Any] | None, data: Mapping[str, Any] | None
) -> str:
    """The model card as Markdown.

    Args:
        metrics, data: metrics/runs/<run>-<seed>.json and metrics/data.json where they belong to these
        weights, else None.
    """
    usage = weights["preprocessing"]
    lines = ["# ResNet-50 for compound emotions", ""]
    lines += [
        f"torchvision's ResNet-50 with {len(weights['classes'])} outputs, run `{weights.get('run', '?')}`, "
        f"seed {weights.get('seed', '?')}, "
        f"epoch {weights.get('epoch', '?')}. Input: {usage['colours']}, {usage['image_size']} x "
        f"{usage['image_size']} px, one aligned face that fills the picture, scaled to [0, 1], less "
        f"{usage['mean']}, over {usage['std']}.",
        "",
        "Classes, in the order of the outputs: " + ", ".join(display(c) for c in weights["classes"]) + ".",
        "",
        "## Data",
        "",
        f"Fingerprint `{weights['data']}`.",
    ]
    if data is not None:
        counts = [sum(c[split] for c in data["compound"].values()) for split in ("train", "val", "test")]
        lines[-1] += f" Source: {data['source']}; images in train, validation, test: "
        lines[-1] += ", ".join(f"{n:,}" for n in counts) + "."
    lines += ["", "## How good", ""]
    if metrics is None:
        lines += ["The metrics in the repository are of other weights: nothing is claimed here."]
    else:
        test = metrics["selected"]["test"]
        lines += [
            f"On {test['images']} test images; in brackets 95% intervals, which know the chance of these",
            "images and not that of training: another seed may lie outside.",
            "",
            "| | |",
            "|:--|--:|",
        ]
        for key, title in (("accuracy", "accuracy"), ("balanced_accuracy", "balanced accuracy"),
                           ("macro_f1", "macro-F1"), ("top2_accuracy", "among the first two")):  # fmt: skip
            low, high = test["intervals"][key]
            lines.append(f"| {title} | {test[key]:.3f} ({low:.3f} to {high:.3f}) |")
        lines += [f"| expected calibration error | {test['ece']:.3f} |", ""]
        lines += ["| class | test images | recall |", "|:--|--:|--:|"]
        for name in metrics["classes"]:
            low, high = test["recall_intervals"][name]
            one = test["per_class"][name]
            lines.append(
                f"| {display(name)} | {one['support']} | {one['recall']:.2f} ({low:.2f} to {high:.2f}) |"
            )
    lines += [
        "",
        "## Load it",
        "",
        "`images` are float32 [N, 3, height, width] as above; the answers are logits [N, classes]. Classes",
        "and preprocessing stand as JSON in the metadata of both files.",
        "",
        "```python",
        "import onnxruntime",
        "",
        'session = onnxruntime.InferenceSession("model.onnx")',
        '(logits,) = session.run(["logits"], {"images": images})',
        "```",
        "",
        "```python",
        "import torch, torchvision",
        "from safetensors.torch import load_file",
        "",
        f"model = torchvision.models.resnet50(num_classes={len(weights['classes'])})",
        'model.load_state_dict(load_file("model.safetensors"))',
        "logits = model.eval()(torch.as_tensor(images))",
        "```",
        "",
        "## Use it for",
        "",
        "Research on methods: comparing training regimes, repeating this study, teaching.",
        "",
        "## Do not use it for",
        "",
        "- Reading what strangers feel. A face shows an expression, and expressions are weak evidence of",
        "  what a person feels (Barrett et al. 2019, doi 10.1177/1529100619832930); labels of",
        "  photographs are what raters agreed on.",
        "- Decisions about people. In the EU, inferring emotions at work and in education is prohibited",
        "  (Regulation 2024/1689, Article 5(1)(f)), and emotion recognition elsewhere is high-risk (Annex",
        "  III).",
        "",
        "## Limits",
        "",
        "- How it does on people of other ages, skin colours and cultures than its data's was not measured.",
        *(["- Rare classes are rarely or never named; the table above says which."] if metrics else []),
        "- Probabilities are those of the softmax; the calibration error says how far to believe them.",
        "",
        "## Licence",
        "",
        "The code is Apache-2.0. Weights inherit the terms of the data that they were trained on, and of the",
        "weights that training began with; those of RAF-CE, for one, are for academic research only.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def of_these_weights(weights: Mapping[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Metrics and data description in the repository, each None unless it belongs to these weights."""
    found = []
    scores = Path(f"metrics/runs/{weights.get('run')}-{weights.get('seed')}.json")
    for path in (scores, Path("metrics/data.json")):
        found.append(json.loads(path.read_text(encoding="utf-8")) if path.exists() else None)
    metrics, data = found
    if metrics is not None and (metrics["data"], metrics["selected"]["epoch"]) != (
        weights["data"],
        weights.get("epoch"),
    ):
        metrics = None
    if data is not None and data["fingerprint"] != weights["data"]:
        data = None
    return metrics, data


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="tools.serve.export"
    )
    parser.add_argument("--model", type=Path, default=Path("models/best_resnet50.pth"))
    parser.add_argument("--out", type=Path, default=Path("export"))
    arguments = parser.parse_args()
    try:
        predictor = Predictor(arguments.model, device="cpu")
        weights = weight_files.read_checkpoint(arguments.model)
        usage = {key: weights[key] for key in ("classes", "data", "preprocessing")}
        to_safetensors(arguments.out / "model.safetensors", predictor.model, usage)
        to_onnx(arguments.out / "model.onnx", predictor.model, usage)
        found = differences(arguments.out, predictor.model, predictor.image_size)
        for name, difference in found.items():
            print(f"{arguments.out / name}: logits differ by at most {difference:.1e} of the largest")
        if max(found.values()) > TOLERANCE:
            raise ExportError(f"more than {TOLERANCE:g} of the largest: do not use these files")
        outs.write_text(arguments.out / "README.md", card(weights, *of_these_weights(weights)))
    except (WeightsError, ExportError, outs.OutsError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.out / 'README.md'}: the model card")
    return 0


if __name__ == "__main__":
    sys.exit(main())
