"""How fast Pillow decodes, against OpenCV, torchvision and simplejpeg (where it is installed), and how alike.

Usage: python -m benchmarks.decoders [IMAGES]

IMAGES (default 400) noisy pictures of each kind are decoded to RGB uint8 in one thread, best of seven rounds,
the decoders in turn within a round. Their pixels are compared with Pillow's; `refuses half a file`: a
truncated one is an error. Beside them stand the whole of `rafce.images.decode` and all that `extract` does
with an image in memory (`rafce.audit.identify`).
"""

import importlib.util
import io
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from rafce import audit, images
from rafce.images import ImageLimits
from rafce.sources.base import Sample
from rafce.streams import numpy_stream

ROUNDS = 7

Decoder = Callable[[bytes], Any]


def picture(number: int, side: int, grey: bool, kind: str) -> bytes:
    """Smooth structure with noise on it, as photographs have."""
    rng = numpy_stream(0, "decoders", number)
    coarse = rng.integers(0, 256, (12, 12) if grey else (12, 12, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(noisy).save(out, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return out.getvalue()


def pillow(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def opencv(content: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB))


def torchvision(content: bytes) -> torch.Tensor:
    data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    return decode_image(data, ImageReadMode.RGB).permute(1, 2, 0)


def decoders(kind: str) -> dict[str, Decoder]:
    found: dict[str, Decoder] = {"Pillow": pillow, "OpenCV": opencv, "torchvision": torchvision}
    if kind == "JPEG" and importlib.util.find_spec("simplejpeg"):
        import simplejpeg  # type: ignore[import-not-found]  # not among the requirements

        found["simplejpeg"] = simplejpeg.decode_jpeg
    return found


def best_seconds(works: Sequence[Callable[[], object]]) -> list[float]:
    """The least of several rounds for each, taken in turn."""
    best = [float("inf")] * len(works)
    for _ in range(ROUNDS):
        for at, work in enumerate(works):
            begun = time.perf_counter()
            work()
            best[at] = min(best[at], time.perf_counter() - begun)
    return best


def all_of(decode: Decoder, contents: Sequence[bytes]) -> Callable[[], None]:
    def work() -> None:
        for content in contents:
            decode(content)

    return work


def refuses(decode: Decoder, content: bytes) -> bool:
    """Whether a file that ends halfway is an error."""
    try:
        return decode(content[: len(content) // 2]) is None
    except (OSError, RuntimeError, ValueError):
        return True


def main() -> None:
    if len(sys.argv) > 2 or not all(a.isdigit() for a in sys.argv[1:]):
        sys.exit(__doc__)
    number = int(sys.argv[1]) if sys.argv[1:] else 400
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    kinds = {
        "JPEG 100 x 100": (100, False, "JPEG"),
        "JPEG 224 x 224": (224, False, "JPEG"),
        "grey PNG 48 x 48": (48, True, "PNG"),
        "PNG 224 x 224": (224, False, "PNG"),
    }
    for title, (side, grey, kind) in kinds.items():
        contents = [picture(n, side, grey, kind) for n in range(number)]
        found = decoders(kind)
        whole: list[Decoder] = [
            lambda c: images.decode(c, ""),
            lambda c: audit.identify(Sample("a", "Neutral", "basic", "train", c), ImageLimits()),
        ]
        works = [all_of(decode, contents) for decode in (*found.values(), *whole)]
        *seconds, decode_seconds, identify_seconds = best_seconds(works)
        expected = [pillow(content).astype(int) for content in contents]
        for (name, decode), taken in zip(found.items(), seconds, strict=True):
            off = [np.abs(np.asarray(decode(c)) - e) for c, e in zip(contents, expected, strict=True)]
            largest, differ = max(o.max() for o in off), np.mean([(o > 0).mean() for o in off])
            print(
                f"{title:16}  {name:11} {number / taken:7,.0f} images/s, {seconds[0] / taken:4.2f} x Pillow; "
                f"pixels: largest difference {largest}, {differ:.2%} of the values; "
                f"{'refuses' if refuses(decode, contents[0]) else 'accepts'} half a file"
            )
        each, saved = identify_seconds / number * 1e6, (seconds[0] - min(seconds)) / identify_seconds
        print(
            f"{title:16}  images.decode {decode_seconds / number * 1e6:,.0f} us, audit.identify {each:,.0f} "
            f"us an image; the fastest decoder would save {saved:.0%} of it",
            flush=True,
        )


if __name__ == "__main__":
    main()
