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
import hashlib
import io
import json
import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from emotions.attention.knobs import AttentionError
from emotions.data.leftovers import is_leftover
from emotions.model.weight_files import WeightsError
from emotions.params_file import ParamsError
from emotions.plotting import png
from emotions.runtime import outs
from emotions.runtime.console import progress
from emotions.taxonomy import display
from tools.serve.predictor import Failure, Prediction, Predictor, maps_of

SUFFIXES: Final = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png"),
    *(".webp", ".heic", ".heif", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".jp2", ".jxl"),
}
"""Suffixes of pictures; a folder's pictures of kinds that are not read are listed at the end."""
BEGINNINGS: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
"""First bytes of JPEG and PNG files, which tell a picture without suffix."""
LONGEST: Final = 60
"""Characters of a map's name before its number, at most 4 bytes each."""
TOP: Final = 3
COLUMNS: Final = (
    "image", "face", "of", "left", "top", "right", "bottom", "how",
    *(f"{what}_{i}" for i in range(1, TOP + 1) for what in ("class", "probability")),
)  # fmt: skip


def pictures(paths: Sequence[str]) -> Iterator[Path]:
    """Files that the arguments name; a folder stands for its JPEGs and PNGs by name, subfolders included."""
    for path in paths:
        if path == "-":
            lines = (line.removeprefix("\ufeff").rstrip("\r\n") for line in sys.stdin)
            yield from pictures([line for line in lines if line.strip()])
        elif Path(path).is_dir():
            yield from sorted(_under(Path(path)))
        else:
            yield Path(path)


def is_picture_without_suffix(path: Path) -> bool:
    """Whether it begins as one; what cannot be read is none."""
    if path.suffix or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(BEGINNINGS)
    except OSError:
        return False


def _under(folder: Path) -> Iterator[Path]:
    """Pictures in a folder and below; a folder that cannot be listed stands for what lies in it."""
    closed: list[Path] = []
    for base, folders, files in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        folders[:] = [name for name in folders if not is_leftover(name)]
        paths = (Path(base, name) for name in files if not is_leftover(name))
        yield from (p for p in paths if p.suffix.lower() in SUFFIXES or is_picture_without_suffix(p))
    yield from closed


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


class OverlayNames:
    """A file name in one folder for each face of each picture: `photos__trip__one.jpg-2.png`."""

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}

    def __call__(self, found: Prediction) -> str:
        """The name; the hash of the path joins it where another picture's would be the same file."""
        path = found.face.path
        parts = [p for p in Path(path).parts if p not in ("/", "..", ".")]
        stem = "__".join(parts)[-LONGEST:]
        same = unicodedata.normalize("NFC", stem).casefold()
        if self._taken.setdefault(same, path) != path:
            stem = f"{stem}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
        return f"{stem}-{found.face.number}.png"


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
    for stream in (sys.stdout, sys.stderr):  # names that the terminal's encoding lacks are escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    failures: list[Failure] = []
    overlay_name = OverlayNames()
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
