"""Predict probabilities for any pictures: find the faces, bring them to the network's input, ask it."""

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Literal

import cv2
import dlib
import numpy as np
import torch
from PIL import Image, ImageOps
from pytorch_grad_cam.utils.image import show_cam_on_image
from torchvision.models import ResNet

from emotions import params_file
from emotions.attention import cam
from emotions.attention.knobs import MapParams, choose_cam_layer
from emotions.data import images
from emotions.data.images import ImageError
from emotions.data.knobs import ImageLimits
from emotions.model import resnet, weight_files
from emotions.model.preprocessing import normalise, to_float
from emotions.model.weight_files import WeightsError
from emotions.runtime.parallel import cores, in_order

Crop = Literal["auto", "always", "never"]
How = Literal["a crop already", "no face found", "as asked", "face"]
"""Reason why the whole picture was taken, or `face` if a face was cut out."""

SMALL: Final = 160
"""Shorter side, in pixels, below which a picture counts as a crop: faces are found from 80 px on."""
LOOKED_AT: Final = 1024
"""Longer side, in pixels, to which larger pictures are reduced for face detection."""
FILLS: Final = 0.5
"""Least share of the shorter side that the only face of a crop takes."""
MARGIN: Final = 0.25
"""Crop margin, as a fraction of the face's side: the detector's square cuts brows and chin."""
STORED: Final = 224
"""Side, in pixels, of the study's stored images, which are then resized to the network's size."""


@dataclass(frozen=True)
class Face:
    """A square that the network is asked about.

    `path`: the picture. `number`: from 1, largest face first, out of `of`. `box`: left, top, right, bottom in
    the upright picture, in pixels. `how`: whether it was cut out, and if not, why.
    """

    path: str
    number: int
    of: int
    box: tuple[int, int, int, int]
    how: How
    pixels: np.ndarray


@dataclass(frozen=True)
class Prediction:
    """`probabilities`: float [C], in the order of the network's classes. `heat`: float [H, W] in [0, 1], or
    None where no map was asked for."""

    face: Face
    probabilities: np.ndarray
    heat: np.ndarray | None

    def top(self, classes: tuple[str, ...], count: int = 3) -> list[tuple[str, float]]:
        """The most probable classes."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(classes[i], float(self.probabilities[i])) for i in order]

    def overlay(self) -> Image.Image:
        """The face beside the same face under its heat map.

        Raises:
            ValueError: there is no map.
        """
        if self.heat is None:
            raise ValueError("no map was asked for")
        face = self.face.pixels
        shown = show_cam_on_image(face / 255, self.heat, use_rgb=True, colormap=cv2.COLORMAP_INFERNO)
        return Image.fromarray(np.hstack([face, shown]))


@dataclass(frozen=True)
class Failure:
    """A picture that cannot be used, and why."""

    path: str
    why: str


def maps_of(params: Path) -> MapParams:
    """Read how the study of a params.yaml makes its maps.

    Raises:
        ParamsError: the file is missing, or its group `gradcam` is not valid.
    """
    return params_file.read(params, {"gradcam": MapParams})["gradcam"]


class Predictor:
    """A trained network, ready to predict.

    Args:
        path: weights as this project writes them. crop: whether faces are cut out of photographs. maps:
            settings of the answers' maps; None: no maps.

    Raises:
        WeightsError: not weights of this project.
        AttentionError: at these weights' image size, no layer has a grid as fine as `maps` asks for.
    """

    def __init__(
        self, path: Path, crop: Crop = "auto", maps: MapParams | None = None, *, device: str | None = None
    ) -> None:
        weights = weight_files.read_checkpoint(path)
        if "classes" not in weights or "preprocessing" not in weights:
            raise WeightsError(
                f"{path} does not say its classes and image size; take weights that this project has "
                "trained, such as models/best_resnet50.pth"
            )
        self.classes = tuple(str(c) for c in weights["classes"])
        self.image_size = int(weights["preprocessing"]["image_size"])
        self.crop, self.maps = crop, maps
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        model = resnet.build(len(self.classes), 0.0, seed=0)
        weight_files.load_whole(model, weights["state_dict"], str(path))
        if maps is not None:
            choose_cam_layer(self.image_size, maps.min_grid)
        self.model: ResNet = model.to(self.device).eval().requires_grad_(False)

    def __call__(
        self, paths: Iterable[Path], batch_size: int = 32, limits: ImageLimits | None = None
    ) -> Iterator[Prediction | Failure]:
        """Answers in the order of the pictures, each as soon as its batch is done; memory does not grow with
        their number."""
        limits = limits or ImageLimits()

        def read(path: Path) -> list[Face | Failure]:
            try:
                if path.exists() and not path.is_file():  # reading a pipe could wait for ever
                    return [Failure(str(path), f"{path}: not a file")]
                picture = images.inspect(path.read_bytes(), str(path), limits).image
                return list(cut(picture, str(path), self.crop, size=self.image_size))
            except (ImageError, OSError) as error:
                return [Failure(str(path), str(error))]
            except ValueError as error:  # a NUL in a list's name
                return [Failure(str(path), f"{str(path)!r}: {error}")]

        with ThreadPoolExecutor(cores()) as pool:
            found = (one for several in in_order(pool, read, paths, ahead=2 * batch_size) for one in several)
            while some := list(islice(found, batch_size)):
                answers = self._asked([one for one in some if isinstance(one, Face)])
                for one in some:
                    yield one if isinstance(one, Failure) else next(answers)

    def _asked(self, faces: list[Face]) -> Iterator[Prediction]:
        if not faces:
            return
        pixels = torch.from_numpy(np.stack([face.pixels for face in faces])).permute(0, 3, 1, 2)
        with torch.inference_mode():
            logits = self.model(normalise(to_float(pixels.to(self.device))))
            probabilities = torch.softmax(logits.double(), 1).cpu().numpy()
        heat: list[np.ndarray | None] = [None] * len(faces)
        if self.maps is not None:
            layer, _ = choose_cam_layer(self.image_size, self.maps.min_grid)
            answers = probabilities.argmax(1).tolist()
            heat = list(
                cam.heat_maps(
                    self.model,
                    pixels,
                    answers,
                    method=self.maps.method,
                    layer=layer,
                    batch_size=len(faces),
                    device=self.device,
                    title="",
                )
            )
        for face, own, one in zip(faces, probabilities, heat, strict=True):
            yield Prediction(face, own, one)


def cut(picture: Image.Image, path: str, crop: Crop, *, size: int) -> Iterator[Face]:
    """The faces of a picture as squares of `size` pixels, or the whole picture.

    `auto`: a small picture, or one filled by a single face, is a crop already and taken whole, as the study
    takes its images. Where no face is found the whole is taken, too.
    """
    width, height = picture.size
    boxes: list[tuple[int, int, int, int]] = []
    how: How = "as asked" if crop == "never" else "a crop already"
    if crop == "always" or (crop == "auto" and min(width, height) >= SMALL):
        boxes = find(picture)
        if not boxes:
            how = "no face found"
        elif crop == "auto" and len(boxes) == 1:
            face = (boxes[0][2] - boxes[0][0]) / (1 + 2 * MARGIN)
            boxes = [] if face >= FILLS * min(width, height) else boxes
    if not boxes:
        yield Face(path, 1, 1, (0, 0, width, height), how, squared(picture, size))
        return
    for number, box in enumerate(boxes, 1):
        # Edge pixels are repeated beyond the picture: a black border would be a shape of its own.
        left, top, right, bottom = box
        inside = np.asarray(picture)[
            np.clip(np.arange(top, bottom), 0, height - 1)[:, None],
            np.clip(np.arange(left, right), 0, width - 1),
        ]
        yield Face(path, number, len(boxes), box, "face", squared(Image.fromarray(inside), size))


def squared(picture: Image.Image, size: int) -> np.ndarray:
    """Resize a picture as the study's stages do for the network: uint8 [size, size, 3]."""
    for side in dict.fromkeys((STORED, size)):
        if picture.size != (side, side):
            picture = ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)
    return np.asarray(picture)


_own = threading.local()


def find(picture: Image.Image) -> list[tuple[int, int, int, int]]:
    """Squares around the faces in an RGB picture, MARGIN included, largest first; they may reach beyond its
    edges. dlib's detector (Dalal and Triggs 2005; King 2015) finds upright frontal faces of at least about 80
    pixels, in a picture whose longer side is at most LOOKED_AT."""
    detector = getattr(_own, "detector", None)
    if detector is None:  # dlib detectors are not thread-safe
        detector = _own.detector = dlib.get_frontal_face_detector()
    scale = min(1.0, LOOKED_AT / max(picture.size))
    small = picture if scale == 1 else picture.resize([max(1, round(x * scale)) for x in picture.size])
    found = []
    for box in detector(np.asarray(small.convert("L")), 0):
        half = (1 + 2 * MARGIN) * max(box.width(), box.height()) / 2 / scale
        across, down = box.center().x / scale, box.center().y / scale
        found.append((round(across - half), round(down - half), round(across + half), round(down + half)))
    return sorted(found, key=lambda b: (b[0] - b[2], b[0], b[1]))
