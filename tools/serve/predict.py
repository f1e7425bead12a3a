"""Predict the compound emotions that a trained network sees in pictures.

Usage: python -m tools.serve.predict PATH... [--model models/best_resnet50.pth] [--explain DIR] [--json|--csv]

PATH: JPEG and PNG files, folders of them, or `-` for a list on standard input, one path a line. Faces are cut
out of photographs (`--crop`). Each face gives one line on standard output as soon as it is known, with the
three most probable classes and what was cut out. `--json`: an object a line; `--csv`: with a header.
`--explain`: PNGs of each face beside its heat map, with these classes. Pictures that cannot be used are
listed at the end. Exit status: 1 if there are any, 2 if no picture could be used.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from emotions.attention.knobs import AttentionError
from emotions.model.weight_files import WeightsError
from emotions.params_file import ParamsError
from emotions.plotting import png
from emotions.runtime import outs
from emotions.runtime.console import progress
from emotions.taxonomy import display
from tools.serve.predictor import Failure, Prediction, Predictor, maps_of

SUFFIXES: Final = {".jpg", ".jpeg", ".png"}
TOP: Final = 3
COLUMNS: Final = (
    "image", "face", "of", "left", "top", "right", "bottom", "how",
    *(f"{what}_{i}" for i in range(1, TOP + 1) for what in ("class", "probability")),
)  # fmt: skip


def pictures(paths: Sequence[str]) -> Iterator[Path]:
    """Files that the arguments name; a folder stands for its JPEGs and PNGs by name, subfolders included."""
    for path in paths:
        if path == "-":
            yield from pictures([line.rstrip("\n") for line in sys.stdin if line.strip()])
        elif Path(path).is_dir():
            yield from sorted(
                p for p in Path(path).rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()
            )
        else:
            yield Path(path)


def record(found: Prediction, classes: tuple[str, ...]) -> dict[str, Any]:
    """A prediction as plain values."""
    face = found.face
    top = [{"class": name, "probability": round(p, 6)} for name, p in found.top(classes, TOP)]
    return {
        "image": face.path,
        "face": face.number,
        "of": face.of,
        "box": list(face.box),
        "how": face.how,
        "top": top,
    }


def row(one: dict[str, Any]) -> list[Any]:
    """A record as a CSV row of COLUMNS."""
    top = [value for entry in one["top"] for value in (entry["class"], entry["probability"])]
    top += [""] * (2 * TOP - len(top))
    return [one["image"], one["face"], one["of"], *one["box"], one["how"], *top]


def line(one: dict[str, Any]) -> str:
    """A record as a line for a person."""
    answers = ", ".join(f"{display(t['class'])} {100 * t['probability']:.0f}%" for t in one["top"])
    what = f"face {one['face']} of {one['of']}" if one["how"] == "face" else f"whole picture, {one['how']}"
    return f"{one['image']} ({what}): {answers}"


def explained(found: Prediction, one: dict[str, Any]) -> bytes:
    """PNG of the face, the face under the heat map of its first answer, and the answers of its record."""
    figure = Figure(figsize=(6.8, 3.7), layout="constrained")
    axes = figure.subplots()
    axes.imshow(found.overlay())
    axes.set_axis_off()
    first, *others = [f"{display(t['class'])} {100 * t['probability']:.0f}%" for t in one["top"]]
    axes.set_title(first, fontsize=13, pad=20)
    axes.annotate(
        ", ".join(others), (0.5, 1), (0, 6), "axes fraction", "offset points", ha="center", fontsize=9
    )
    bar = figure.colorbar(ScalarMappable(cmap="inferno"), ax=axes, shrink=0.75, ticks=[0, 1])
    bar.ax.set_yticklabels(["least", "most"], fontsize=8)
    bar.set_label(f"heat behind: {first.rpartition(' ')[0]}", fontsize=8)
    return png(figure, dpi=150)


def overlay_name(found: Prediction) -> str:
    """A unique file name for each face in one folder: `photos__trip__one.jpg-2.png`."""
    parts = [p for p in Path(found.face.path).parts if p not in ("/", "..", ".")]
    return f"{'__'.join(parts)}-{found.face.number}.png"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="tools.serve.predict"
    )
    parser.add_argument("paths", nargs="+", metavar="PATH")
    parser.add_argument("--model", type=Path, default=Path("models/best_resnet50.pth"))
    parser.add_argument(
        "--crop",
        choices=("auto", "always", "never"),
        default="auto",
        help="cut faces out of photographs, not of crops (auto), of all pictures, or of none",
    )
    parser.add_argument("--explain", type=Path, metavar="DIR", help="folder for heat maps")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument("--csv", action="store_true")
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()
    try:
        maps = maps_of(Path("params.yaml")) if arguments.explain is not None else None
        predictor = Predictor(arguments.model, arguments.crop, maps)
    except (WeightsError, AttentionError, ParamsError) as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2
    failures: list[Failure] = []
    asked, table = 0, csv.writer(sys.stdout, lineterminator="\n")
    if arguments.csv:
        table.writerow(COLUMNS)
    try:
        total = None
        if "-" not in arguments.paths:
            total = sum(1 for _ in pictures(arguments.paths))
        counted = progress("predict", total, pictures(arguments.paths))
        for found in predictor(counted, arguments.batch_size):
            if isinstance(found, Failure):
                failures.append(found)
                continue
            asked += 1
            one = record(found, predictor.classes)
            if arguments.csv:
                table.writerow(row(one))
            else:
                print(json.dumps(one) if arguments.json else line(one))
            sys.stdout.flush()
            if arguments.explain is not None:
                outs.write_bytes(arguments.explain / overlay_name(found), explained(found, one))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has closed the pipe
        sys.stderr.close()
        return 0
    for failure in failures:
        print(f"not used: {failure.why}", file=sys.stderr)
    if not asked:
        print(
            "predict: no picture could be used; give JPEG or PNG files, or folders of them", file=sys.stderr
        )
        return 2
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
