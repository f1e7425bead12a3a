"""Coverage-guided fuzzing of all that reads foreign bytes: only the project's own errors may come out.

    pip install atheris          # not among the requirements, since nothing else needs it
    PYTHONPATH=. python -m tests.fuzz_reading CORPUS_DIR -max_total_time=600

CORPUS_DIR keeps inputs that reach new code; the cases of `tests/bad_input.py` are added to it. The first byte
of an input chooses what reads the rest of it. Any other option is libFuzzer's.
"""

import hashlib
import logging
import re
import struct
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["emotions", "zipfile", "PIL"]):
    import zipfile  # noqa: F401

    from PIL import JpegImagePlugin, MpoImagePlugin, PngImagePlugin  # noqa: F401

    from emotions.data import manifest
    from emotions.data.images import ImageError, decode, inspect, to_square
    from emotions.data.knobs import ImageLimits
    from emotions.data.manifest import ManifestError
    from emotions.sources.archive import Archive, ArchiveError
    from emotions.sources.ferplus import png_of
    from emotions.sources.knobs import ArchiveLimits
    from emotions.sources.rafce import parse_emotion, parse_rows, parse_shares, parse_split
    from emotions.sources.sample import SourceError
    from emotions.taxonomy import parse_units

from tests.bad_input import CASES

ARCHIVES = ArchiveLimits(members=50, gib=1, ratio=50, file_mib=1)
IMAGES = ImageLimits(megapixels=1, min_side=1)
LARGEST_SEED = 50_000
SIDE = 32


def read_zip(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.zip").write_bytes(content)
        with Archive(Path(folder), ARCHIVES) as opened:
            for name in opened.names:
                assert name.isprintable() and ".." not in name.split("/")
                with suppress(ArchiveError, ImageError):
                    read_image(opened.read(name))
                with suppress(ArchiveError):
                    list(opened.lines(name))


def read_image(content: bytes) -> None:
    inspect(content, "a.jpg", IMAGES)
    square = to_square(content, "a.jpg", SIDE)
    assert decode(square, "a.jpg").image.size == (SIDE, SIDE)
    assert to_square(square, "a.jpg", SIDE) == square


def read_mended_png(content: bytes) -> None:
    """As `read_image`, with the right checksum in every chunk, which mutations would hardly ever hit."""
    mended, at = bytearray(content), 8
    while at + 12 <= len(mended):
        (length,) = struct.unpack_from(">I", mended, at)
        if at + 12 + length > len(mended):
            break
        struct.pack_into(">I", mended, at + 8 + length, zlib.crc32(mended[at + 4 : at + 8 + length]))
        at += 12 + length
    read_image(bytes(mended))


def read_labels(content: bytes) -> None:
    text = content.decode(errors="replace")
    for parse in (parse_emotion, parse_split, parse_units, parse_shares):
        with suppress(SourceError):
            parse_rows(text.split("\n"), "labels.txt", parse)
    png_of(text, "fer2013.csv, line 2")


def read_manifest(content: bytes) -> None:
    manifest.read(content.decode(errors="replace"))


READERS: dict[bytes, tuple[Callable[[bytes], None], str]] = {
    b"z": (read_zip, r"\.zip"),
    b"i": (read_image, r"\.(jpg|png)"),
    b"p": (read_mended_png, r"\.png"),
    b"l": (read_labels, r"\.txt"),
    b"m": (read_manifest, r"manifest\.csv"),
}
"""Reader by first byte, and which files are seeds for it."""


def read_anything(data: bytes) -> None:
    reader, _ = READERS.get(data[:1], READERS[b"z"])
    with suppress(ArchiveError, SourceError, ImageError, ManifestError):
        reader(data[1:])


def seed(corpus: Path) -> None:
    """Write the files of all cases there, each for every reader that it suits."""
    corpus.mkdir(parents=True, exist_ok=True)
    for case in CASES.values():
        with tempfile.TemporaryDirectory() as folder:
            case.build(Path(folder))
            for path in (path for path in Path(folder).rglob("*") if path.is_file()):
                content = path.read_bytes()
                for first, (_, files) in READERS.items():
                    if re.search(f"{files}$", path.name) and len(content) <= LARGEST_SEED:
                        name = hashlib.sha256(first + content).hexdigest()[:16]
                        (corpus / name).write_bytes(first + content)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    if folders:
        seed(folders[0])
    atheris.Setup(sys.argv, read_anything)
    atheris.Fuzz()
