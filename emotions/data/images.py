"""From image bytes to square RGB."""

import hashlib
import io
import struct
from dataclasses import dataclass
from typing import Any, Final, Literal

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from emotions.data.knobs import MOST_MEGAPIXELS, ImageLimits

Fault = Literal["unreadable", "truncated", "blank"]


class ImageError(ValueError):
    """An image that cannot be used; the message names it. `fault`: the kind, for counts."""

    def __init__(self, message: str, fault: Fault = "unreadable") -> None:
        super().__init__(message)
        self.fault = fault


_UNREADABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    struct.error,
    IndexError,
    OSError,
    SyntaxError,
    ValueError,
)
"""Exceptions of Pillow on files that are damaged, too large or not an image."""
_BROKEN_EXIF = (struct.error, KeyError, OSError, SyntaxError, TypeError, ValueError)
"""Exceptions of Pillow on EXIF that does not parse."""
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transpositions that turn a picture upright, by EXIF orientation. `ImageOps.exif_transpose` also writes the
EXIF anew, which fails on the content of some other tags."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """`image`: upright, RGB. `format`, `mode`: the file's, as Pillow says. `upright`: whether it was so."""

    image: Image.Image
    format: Literal["JPEG", "PNG"]
    mode: str
    upright: bool


def decode(content: bytes, name: str, megapixels: int = MOST_MEGAPIXELS) -> Decoded:
    """A JPEG or PNG as an upright RGB image.

    Sixteen bits per channel are cut to the upper eight. Alpha is dropped if nothing shows through. A JPEG
    with several pictures (as phones write) gives its first. Orientation follows EXIF if that can be read;
    colour profiles are not applied, and only the pixels are kept.

    Raises:
        ImageError: anything else, an animation, a picture with transparent parts, one that ends early, or one
            of more than `megapixels`. `docs/data/bad_input.md` lists the cases.
    """
    remedy = "replace the file or leave it out"
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            kind: Literal["JPEG", "PNG"] = "PNG" if image.format == "PNG" else "JPEG"
            if image.width * image.height > megapixels * 1_000_000:
                raise ImageError(
                    f"{name}: {image.width} x {image.height} px, over data.image_limits.megapixels, "
                    f"{megapixels}; leave it out"
                )
            if kind == "PNG" and getattr(image, "is_animated", False):
                raise ImageError(f"{name}: an animation; {remedy}")
            image.load()
            mode = image.mode
            if isinstance(image.info.get("transparency"), str):  # Pillow keeps a PNG's texts there too
                raise ImageError(f"{name}: has a text named 'transparency'; {remedy}")
            if mode == "P" and image.palette is None:
                raise ImageError(f"{name}: lacks its palette; {remedy}")
            turn = _turn(image)
            upright = image if turn is None else image.transpose(turn)
            see_through = False
            if mode.startswith("I"):
                values = np.asarray(upright).astype(np.uint32)
                see_through = bool((values == image.info.get("transparency")).any())
                upright = Image.fromarray((values >> 8).astype(np.uint8))
            elif upright.has_transparency_data:
                upright = upright.convert("RGBA")
                see_through = _ranges(upright)[3] != (255, 255)
            if see_through:
                raise ImageError(f"{name}: has transparent parts, so what it shows is not certain; {remedy}")
            plain = upright.convert("RGB")
            plain.info.clear()
            return Decoded(plain, kind, mode, upright=turn is None)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        what = "empty" if not content else "not a JPEG or PNG image"
        raise ImageError(f"{name}: {what}; {remedy}") from error
    except _UNREADABLE as error:
        fault: Fault = "truncated" if "truncated" in str(error).lower() else "unreadable"
        raise ImageError(f"{name}: cannot be read as an image ({error}); {remedy}", fault) from error


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Transposition that turns the picture upright; None if it is upright or its EXIF cannot be read."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _BROKEN_EXIF:
        return None


def inspect(content: bytes, name: str, limits: ImageLimits) -> Decoded:
    """Decode an image from outside, with more checks than `decode`.

    Raises:
        ImageError: as `decode`; also a side under `limits.min_side`, a picture of one colour (some
            collections hold such in place of an unreadable image), and a PNG that Pillow reads although it is
            damaged or incomplete (in a JPEG nothing shows this).
    """
    decoded = decode(content, name, limits.megapixels)
    width, height = decoded.image.size
    if min(width, height) < limits.min_side:
        raise ImageError(
            f"{name}: {width} x {height} px, under data.image_limits.min_side, {limits.min_side}; "
            "leave it out"
        )
    if decoded.format == "PNG" and not _has_its_chunks(content):
        raise ImageError(
            f"{name}: truncated, ends before its last chunk; replace the file or leave it out", "truncated"
        )
    if decoded.format == "PNG" and cv2.imdecode(np.frombuffer(content, np.uint8), -1) is None:
        raise ImageError(f"{name}: a PNG that is damaged or lacks rows; replace the file or leave it out")
    if all(low == high for low, high in _ranges(decoded.image)):
        raise ImageError(f"{name}: one colour all over, so it shows no face; leave it out", "blank")
    return decoded


def _has_its_chunks(content: bytes) -> bool:
    """Whether a PNG holds all bytes that its chunks claim: OpenCV would allocate memory for any claim."""
    at, kind = len(b"\x89PNG\r\n\x1a\n"), b""
    while kind != b"IEND" and at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        at += 12 + length
    return kind == b"IEND" and at <= len(content)


def _ranges(image: Image.Image) -> list[tuple[int, int]]:
    """Lowest and highest value of each channel of an image with several."""
    return [(int(low), int(high)) for low, high in image.getextrema()]  # type: ignore[misc]


def pixel_hash(image: Image.Image) -> str:
    """Hash of the decoded image: equal for the same pixels in another container."""
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()


def encoded(image: Image.Image, kind: Literal["JPEG", "PNG"], **options: Any) -> bytes:
    """The image as the bytes of a file; `options` are those of Pillow's writer of that kind."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def to_square(content: bytes, name: str, size: int) -> bytes:
    """Image bytes at `size` x `size` RGB: centre crop to a square, then bicubic resize.

    JPEG stays JPEG (quality 95, no chroma subsampling), all else becomes PNG. An upright RGB image that has
    the size already is returned as it is, so that a finished dataset passes through unchanged.
    """
    decoded = decode(content, name)
    if decoded.mode == "RGB" and decoded.upright and decoded.image.size == (size, size):
        return content
    square = ImageOps.fit(decoded.image, (size, size), Image.Resampling.BICUBIC)
    if decoded.format == "JPEG":
        return encoded(square, "JPEG", quality=95, subsampling=0)
    return encoded(square, "PNG", compress_level=1)


def resize_regions(content: bytes, name: str, size: int) -> bytes:
    """A region map (PNG, mode L) at `size` x `size`, cropped like its image, nearest neighbour: no new
    values."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            square = ImageOps.fit(image, (size, size), Image.Resampling.NEAREST)
    except _UNREADABLE as error:
        raise ImageError(f"{name}: cannot be read as a region map ({error})") from error
    if square.mode != "L":
        raise ImageError(f"{name}: a region map is a grey PNG (mode L), this one has mode {square.mode}")
    return encoded(square, "PNG")
