"""Drawn faces as crops and on wide pictures, and a network to ask about them."""

import io
from pathlib import Path

import torch
from conftest import ROOT
from PIL import Image

from emotions.data import images
from emotions.model import resnet, weight_files
from emotions.runtime import outs
from emotions.sources import synthetic
from emotions.sources.synthetic import Planned

CLASSES = ("Happily_Surprised", "Sadly_Angry", "Fearfully_Surprised", "Sadly_Fearful")
SIZE = 64


def drawn(number: int) -> bytes:
    """A drawn face that fills its picture of 224 px, as PNG."""
    prototypes = synthetic.load_prototypes(ROOT / "data/raw/synthetic")
    face = synthetic.draw_face(Planned("compound", "val", number, CLASSES[0]), prototypes, seed=5)
    return png(picture(face.content).resize((224, 224), Image.Resampling.BICUBIC))


def picture(content: bytes) -> Image.Image:
    return images.decode(content, "face").image


def photograph(*faces: tuple[int, int, int]) -> Image.Image:
    """Drawn faces on a wide grey picture, each at (left, top) with so many pixels a side."""
    wide = Image.new("RGB", (900, 600), (127, 127, 127))
    for number, (left, top, side) in enumerate(faces):
        wide.paste(picture(drawn(number)).resize((side, side)), (left, top))
    return wide


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def write_weights(path: Path) -> Path:
    """A network that was not trained, of CLASSES at SIZE."""
    model = resnet.build(len(CLASSES), 0.0, seed=3)
    with torch.no_grad():  # far enough from even for an order of the classes that rounding does not turn
        model.fc.weight *= 20
    outs.write_torch(path, {"state_dict": resnet.snapshot(model), **weight_files.usage(CLASSES, SIZE, "abc")})
    return path
