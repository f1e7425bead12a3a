"""The cases of docs/data/bad_input.md: each writes its files into a folder and gives the name of the file in
question."""

import functools
import gzip
import io
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from unittest import mock

import numpy as np
from PIL import Image

from emotions.data import manifest
from emotions.data.knobs import ImageLimits
from emotions.data.manifest import Row
from emotions.sources import ferplus, rafce
from emotions.sources.knobs import ArchiveLimits
from tests import rafce_lookalike
from tests.rafce_lookalike import zipped

Source = Literal["imagefolder", "rafce", "ferplus"]


@dataclass(frozen=True)
class Case:
    """`build` writes the files and returns the name that messages must hold."""

    build: Callable[[Path], str]
    source: Source
    archive_limits: ArchiveLimits
    image_limits: ImageLimits


CASES: dict[str, Case] = {}


def case(
    name: str,
    source: Source = "imagefolder",
    archive: ArchiveLimits | None = None,
    images: ImageLimits | None = None,
) -> Callable[[Callable[[Path], str]], Callable[[Path], str]]:
    def register(build: Callable[[Path], str]) -> Callable[[Path], str]:
        assert name not in CASES, f"two builders for {name!r}"
        CASES[name] = Case(build, source, archive or ArchiveLimits(), images or ImageLimits())
        return build

    return register


def put(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return name


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def corners(size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Four fields, clockwise from the upper left: red, green, white, blue."""
    width, height = size
    colours = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 255)]], np.uint8)
    return Image.fromarray(colours.repeat(height // 2, 0).repeat(width // 2, 1))


def noise(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8))


def jpeg(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "JPEG", quality=95, **({} if image.mode == "L" else {"subsampling": 0}), **options)


def png(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "PNG", **options)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def raw_png(
    size: tuple[int, int],
    depth: int,
    colour: int,
    rows: Iterable[bytes],
    *others: tuple[bytes, bytes],
    interlaced: bool = False,
) -> bytes:
    """A PNG of these packed rows, where Pillow cannot write it; `others`: more chunks."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlaced)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    middle = b"".join(chunk(kind, body) for kind, body in others)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + middle + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def deep(*channels: int) -> list[bytes]:
    """Rows of 32 x 32 px of sixteen bits a channel: fields of 0x12ff, 0x34ff, 0xffff, 0xabff."""
    fields = np.array([[0x12FF, 0x34FF], [0xABFF, 0xFFFF]], np.uint16).repeat(16, 0).repeat(16, 1)
    wanted = [fields if value < 0 else np.full_like(fields, value) for value in channels]
    return [row.astype(">u2").tobytes() for row in np.stack(wanted, -1)]


FACE = png(corners())
PLACE = "train/anger/face.png"


def one_image(folder: Path, content: bytes, name: str = "face.png") -> str:
    return put(folder, f"train/anger/{name}", content)


def one_zip(folder: Path, content: bytes) -> str:
    return put(folder, "faces.zip", content)


def zip_as_named(*names: str) -> bytes:
    """A zip of the same face under each name, kept as it is: zipfile would mend some."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in names:
            info = zipfile.ZipInfo()
            info.filename = name
            with file.open(info, "w") as member:
                member.write(FACE)
    return out.getvalue()


def with_members(folder: Path, *names: str) -> str:
    return one_zip(folder, zip_as_named(*names))


def with_mode(folder: Path, mode: int) -> str:
    info = zipfile.ZipInfo(PLACE)
    info.external_attr = mode << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(info, "/etc/passwd")
    return one_zip(folder, out.getvalue())


def packed(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return out.getvalue()


def in_directory(content: bytes, at: int, value: bytes) -> bytes:
    """A zip whose first directory entry has `value` at byte `at`."""
    start = content.index(b"PK\x01\x02") + at
    return content[:start] + value + content[start + len(value) :]


FLAGS, METHOD, FILE_SIZE = 8, 10, 24
"""Places in a directory entry."""


# --- archives


@case("member `../face.png`")
def _(folder: Path) -> str:
    return with_members(folder, "../face.png")


@case("member `/etc/face.png`")
def _(folder: Path) -> str:
    return with_members(folder, "/etc/face.png")


@case("member with a backslash")
def _(folder: Path) -> str:
    return with_members(folder, "train\\anger\\face.png")


def renamed(folder: Path, name: bytes) -> str:
    """One zip whose member has this name, byte by byte."""
    plain = b"x" * len(name)
    return one_zip(folder, zipped({plain.decode(): FACE}).replace(plain, name))


@case("member that leaves by backslashes")
def _(folder: Path) -> str:
    return with_members(folder, "train\\..\\..\\face.png")


@case("name in Shift-JIS with the byte of a backslash")
def _(folder: Path) -> str:
    return renamed(folder, "train/anger/ソ.png".encode("cp932"))


@case("name in GBK with the byte of a backslash")
def _(folder: Path) -> str:
    return renamed(folder, "train\\anger\\誠.png".encode("gbk"))


@case("name in Big5 with the byte of a backslash")
def _(folder: Path) -> str:
    return renamed(folder, "train\\anger\\功.png".encode("big5"))


@case("member on a Windows share")
def _(folder: Path) -> str:
    return with_members(folder, "\\\\server\\train\\anger\\face.png")


@case("member with a drive letter")
def _(folder: Path) -> str:
    return with_members(folder, "C:/train/anger/face.png")


@case("member with a NUL in its name")
def _(folder: Path) -> str:
    return with_members(folder, "train/anger/face.png\0.exe")


@case("member without a name")
def _(folder: Path) -> str:
    return with_members(folder, "")


@case("unsafe member of an inner zip")
def _(folder: Path) -> str:
    one_zip(folder, zipped({"inner.zip": zipped({"../face.png": FACE})}))
    return "faces.zip/inner.zip"


@case("link in a zip")
def _(folder: Path) -> str:
    return with_mode(folder, stat.S_IFLNK | 0o777)


@case("device in a zip")
def _(folder: Path) -> str:
    return with_mode(folder, stat.S_IFCHR | 0o666)


@case("encrypted member")
def _(folder: Path) -> str:
    return one_zip(folder, in_directory(zipped({PLACE: FACE}), FLAGS, b"\1"))


@case("member packed by LZMA")
def _(folder: Path) -> str:
    return one_zip(folder, packed({PLACE: FACE}, zipfile.ZIP_LZMA))


@case("member packed by Deflate64")
def _(folder: Path) -> str:
    return one_zip(folder, in_directory(zipped({PLACE: FACE}), METHOD, b"\x09"))


@case("zip in a zip")
def _(folder: Path) -> str:
    return one_zip(folder, zipped({"inner.zip": zipped({PLACE: FACE})}))


@case("zip in a zip in a zip")
def _(folder: Path) -> str:
    one_zip(folder, zipped({"inner.zip": zipped({"innermost.zip": zipped({PLACE: FACE})})}))
    return "faces.zip/inner.zip/innermost.zip"


@case("two members of one name")
def _(folder: Path) -> str:
    return with_members(folder, PLACE, PLACE)


@case("members `a` and `./a`")
def _(folder: Path) -> str:
    return with_members(folder, PLACE, f"./{PLACE}")


@case("inner zip beside a folder of its name")
def _(folder: Path) -> str:
    return one_zip(folder, zipped({f"inner.zip/{PLACE}": FACE, "inner.zip": zipped({PLACE: FACE})}))


@case("names that differ in case only")
def _(folder: Path) -> str:
    return with_members(folder, "train/anger/face.png", "train/anger/FACE.png")


@case("names that differ in Unicode form only")
def _(folder: Path) -> str:
    return with_members(
        folder, *(unicodedata.normalize(form, "train/anger/é.png") for form in ("NFC", "NFD"))
    )


@case("control character in a name")
def _(folder: Path) -> str:
    return with_members(folder, "train/anger/\x1b[2Jface.png")


@case("character that turns the writing direction")
def _(folder: Path) -> str:
    return with_members(folder, "train/anger/face\u202egnp.png")


@case("name that is not text, in a folder")
def _(folder: Path) -> str:
    put(folder, "train/anger/face\udcff.png", FACE)
    return "train/anger/face\\udcff.png"


@case("other scripts and accents in names")
def _(folder: Path) -> str:
    return with_members(folder, "train/anger/Gesicht-Äé-顔-лицо.png")


@case("accents as old tools write them")
def _(folder: Path) -> str:
    content = zipped({"train/anger/gesicht.png": FACE})
    return one_zip(folder, content.replace(b"gesicht", b"gesich\x84"))


@case("name marked UTF-8 that is not")
def _(folder: Path) -> str:
    content = zipped({"train/anger/gesicht.png": FACE}).replace(b"gesicht", b"gesich\xff")
    return one_zip(folder, in_directory(content, FLAGS, b"\0\x08"))


@case("part of a path over 200 bytes")
def _(folder: Path) -> str:
    return with_members(folder, f"train/anger/{'é' * 101}.png")


@case("bomb by ratio")
def _(folder: Path) -> str:
    return one_zip(folder, packed({PLACE: bytes(5 * 2**20)}))


@case("bomb by total over two zips", archive=ArchiveLimits(gib=1, ratio=10**9))
def _(folder: Path) -> str:
    claims = in_directory(zipped({PLACE: FACE}), FILE_SIZE, struct.pack("<I", 600 * 2**20))
    put(folder, "a.zip", claims)
    return put(folder, "b.zip", claims)


@case("too many members", archive=ArchiveLimits(members=2))
def _(folder: Path) -> str:
    return with_members(folder, *(f"train/anger/{number}.png" for number in range(3)))


@case("more than 200 zips")
def _(folder: Path) -> str:
    inner = zipped({"readme.txt": b""})
    return one_zip(folder, zipped({f"{number:03d}.zip": inner for number in range(200)}))


@case("member over `file_mib`", archive=ArchiveLimits(file_mib=1))
def _(folder: Path) -> str:
    one_zip(folder, zipped({PLACE: FACE + bytes(2**20)}))
    return f"faces.zip/{PLACE}"


@case("zip that breaks off")
def _(folder: Path) -> str:
    content = zipped({PLACE: FACE})
    return one_zip(folder, content[: len(content) // 2])


@case("zip whose beginning is missing")
def _(folder: Path) -> str:
    content = zipped({PLACE: FACE})
    return one_zip(folder, content[len(content) // 2 :])


@case("zip64 with a member beyond its end")
def _(folder: Path) -> str:
    with mock.patch.object(zipfile, "ZIP64_LIMIT", 0):
        content = zipped({"train/anger/a.png": FACE, PLACE: FACE})
    at = content.rindex(PLACE.encode()) + len(PLACE) + 20
    return one_zip(folder, content[:at] + struct.pack("<Q", 2**63) + content[at + 8 :])


@case("damaged member, stored")
def _(folder: Path) -> str:
    one_zip(folder, zipped({PLACE: b"picture"}).replace(b"picture", b"Picture"))
    return f"faces.zip/{PLACE}"


@case("damaged member, deflated")
def _(folder: Path) -> str:
    content = bytearray(packed({PLACE: bytes(range(256)) * 9}))
    content[content.index(b"face.png") + 12] ^= 255
    one_zip(folder, bytes(content))
    return f"faces.zip/{PLACE}"


@case("size field that says too little")
def _(folder: Path) -> str:
    one_zip(folder, in_directory(zipped({PLACE: FACE}), FILE_SIZE, struct.pack("<I", 50)))
    return f"faces.zip/{PLACE}"


@case("size field that says too much")
def _(folder: Path) -> str:
    one_zip(folder, in_directory(zipped({PLACE: FACE}), FILE_SIZE, struct.pack("<I", 5000)))
    return f"faces.zip/{PLACE}"


@case("directory and member disagree about the name")
def _(folder: Path) -> str:
    one_zip(folder, zipped({PLACE: FACE}).replace(b"face.png", b"mask.png", 1))
    return f"faces.zip/{PLACE}"


@case("empty zip")
def _(folder: Path) -> str:
    return one_zip(folder, zipped({}))


@case("zip64")
def _(folder: Path) -> str:
    with mock.patch.object(zipfile, "ZIP64_LIMIT", 0):
        return one_zip(folder, zipped({PLACE: FACE}))


@case("zip with a comment")
def _(folder: Path) -> str:
    out = io.BytesIO(zipped({PLACE: FACE}))
    with zipfile.ZipFile(out, "a") as file:
        file.comment = b"made in 2024"
    return one_zip(folder, out.getvalue())


@case("self-extracting zip")
def _(folder: Path) -> str:
    return one_zip(folder, b"MZ" + bytes(1000) + zipped({PLACE: FACE}))


@case("rar named .zip")
def _(folder: Path) -> str:
    return one_zip(folder, b"Rar!\x1a\x07\x01\x00" + bytes(600))


@case("web page named .zip")
def _(folder: Path) -> str:
    return one_zip(folder, b"\n<!DOCTYPE html><html><title>Sign in</title></html>")


@case("Git LFS pointer named .zip")
def _(folder: Path) -> str:
    return one_zip(folder, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


@case("tar named .zip")
def _(folder: Path) -> str:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        info = tarfile.TarInfo(PLACE)
        info.size = len(FACE)
        file.addfile(info, io.BytesIO(FACE))
    return one_zip(folder, out.getvalue())


@case("other archive beside the images")
def _(folder: Path) -> str:
    one_image(folder, FACE)
    return put(folder, "more.7z", b"7z\xbc\xaf\x27\x1c")


def tarred(*members: tuple[str, bytes, bytes]) -> bytes:
    """A tar.gz of members: name, kind and content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "/etc/passwd"
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@case("tar.gz of a tree")
def _(folder: Path) -> str:
    return put(folder, "faces.tar.gz", tarred((PLACE, tarfile.REGTYPE, FACE)))


@case("link in a tar")
def _(folder: Path) -> str:
    return put(folder, "faces.tar", tarred((PLACE, tarfile.SYMTYPE, b"")))


@case("member of a tar that leaves it")
def _(folder: Path) -> str:
    return put(folder, "faces.tar.gz", tarred(("../face.png", tarfile.REGTYPE, FACE)))


@case("tar.gz that breaks off")
def _(folder: Path) -> str:
    content = tarred((PLACE, tarfile.REGTYPE, FACE))
    return put(folder, "faces.tgz", content[: len(content) // 2])


@case("bomb in a tar.gz")
def _(folder: Path) -> str:
    return put(folder, "faces.tar.gz", tarred((PLACE, tarfile.REGTYPE, bytes(40 * 2**20))))


@case("what desktops leave behind")
def _(folder: Path) -> str:
    put(folder, ".DS_Store", b"")
    return one_zip(folder, zipped({"__MACOSX/._face.png": b"", "train/anger/Thumbs.db": b"", PLACE: FACE}))


LEFT = (
    *(
        "._face.png",
        "THUMBS.DB",
        "ehthumbs.db",
        "Desktop.ini",
        ".gitkeep",
        ".nomedia",
        ".directory",
        "Icon\r",
    ),
    *(".picasa.ini", ".Trashes/a.png", "@eaDir/face.png", ".thumbnails/face.png", "__MACOSX/face.png"),
    *(".ipynb_checkpoints/face-checkpoint.png", ".Spotlight-V100/x", "$RECYCLE.BIN/face.png", "~$list.png"),
    *(".~lock.list.ods#", ".fuse_hidden0001", ".nfs0001", ".AppleDouble/face.png", "lost+found/face.png"),
    *("#recycle/face.png", "Temporary Items/face.png", "System Volume Information/WPSettings.dat"),
    *("face.png:Zone.Identifier", "Thumbs.db:encryptable", "Picasa.ini"),
)


@case("what desktops, cameras and notebooks leave in a folder")
def _(folder: Path) -> str:
    for name in LEFT:
        put(folder / "train/anger", name, b"")
    put(folder, "._faces.zip", b"Mac OS X")
    put(folder, ".ipynb_checkpoints/train/anger/other.png", FACE)
    return put(folder, PLACE, FACE)


@case("half a download among the images")
def _(folder: Path) -> str:
    one_image(folder, FACE)
    return one_image(folder, FACE[:99], "face.png.crdownload")


@case("an editor's older version among the images")
def _(folder: Path) -> str:
    one_image(folder, FACE)
    return one_image(folder, FACE, "face.png~")


@case("second download of one picture")
def _(folder: Path) -> str:
    one_image(folder, FACE)
    return one_image(folder, png(noise()), "face (1).png")


@case("what they leave in a zip")
def _(folder: Path) -> str:
    left = {f"train/anger/{name}": b"" for name in LEFT}
    return one_zip(folder, zipped(left | {".Trashes/": b"", "._train": b"", PLACE: FACE}))


# --- images


@case("zip named .jpg")
def _(folder: Path) -> str:
    return one_image(folder, zipped({PLACE: FACE}), "face.jpg")


@case("PNG named .jpg")
def _(folder: Path) -> str:
    return one_image(folder, FACE, "face.jpg")


@case("JPEG named .png")
def _(folder: Path) -> str:
    return one_image(folder, jpeg(corners()))


@case("text named .jpg")
def _(folder: Path) -> str:
    return one_image(folder, b"0001.jpg 5\n", "face.jpg")


@case("HTML error page named .jpg")
def _(folder: Path) -> str:
    return one_image(folder, b"<!DOCTYPE html><title>404 Not Found</title>", "face.jpg")


@case("no bytes")
def _(folder: Path) -> str:
    return one_image(folder, b"", "face.jpg")


@case("animated GIF named .png")
def _(folder: Path) -> str:
    return one_image(folder, encoded(corners(), "GIF", save_all=True, append_images=[noise()]))


@case("GIF named .png")
def _(folder: Path) -> str:
    return one_image(folder, encoded(corners(), "GIF"))


@case("animated WebP named .jpg")
def _(folder: Path) -> str:
    content = encoded(corners(), "WEBP", save_all=True, append_images=[corners().rotate(180)])
    return one_image(folder, content, "face.jpg")


@case("WebP named .jpg")
def _(folder: Path) -> str:
    return one_image(folder, encoded(corners(), "WEBP"), "face.jpg")


@case("BMP named .png")
def _(folder: Path) -> str:
    return one_image(folder, encoded(corners(), "BMP"))


@case("TIFF named .jpg")
def _(folder: Path) -> str:
    return one_image(folder, encoded(corners(), "TIFF"), "face.jpg")


@case("WebP among the images under its own name")
def _(folder: Path) -> str:
    one_image(folder, FACE)
    return one_image(folder, encoded(corners(), "WEBP"), "face.webp")


@case("animated PNG")
def _(folder: Path) -> str:
    return one_image(folder, png(corners(), save_all=True, append_images=[corners().rotate(180)]))


@case("PNG of 65,535 x 65,535 px in 70 bytes")
def _(folder: Path) -> str:
    return one_image(folder, raw_png((65535, 65535), 1, 0, [b"\0"]))


@case("JPEG of 30,000 x 30,000 px")
def _(folder: Path) -> str:
    content = bytearray(jpeg(corners()))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", 30_000, 30_000)
    return one_image(folder, bytes(content), "face.jpg")


@case("JPEG of 10,000 x 6,000 px")
def _(folder: Path) -> str:
    content = bytearray(jpeg(corners()))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", 6_000, 10_000)
    return one_image(folder, bytes(content), "face.jpg")


@case("30,000 x 1 px")
def _(folder: Path) -> str:
    return one_image(folder, png(Image.new("L", (30_000, 1))))


@case("1 x 1 px")
def _(folder: Path) -> str:
    return one_image(folder, png(Image.new("RGB", (1, 1))))


@case("16 x 16 px")
def _(folder: Path) -> str:
    return one_image(folder, png(corners((16, 16))))


@case("text in a PNG that unpacks to 64 MiB")
def _(folder: Path) -> str:
    text = (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**26)))
    return one_image(folder, raw_png((32, 32), 16, 0, deep(-1), text))


@case("JPEG that breaks off")
def _(folder: Path) -> str:
    content = jpeg(noise())
    return one_image(folder, content[: len(content) // 2], "face.jpg")


@case("JPEG without its end marker")
def _(folder: Path) -> str:
    return one_image(folder, jpeg(corners())[:-2], "face.jpg")


@case("JPEG damaged or cut inside that has its end marker")
def _(folder: Path) -> str:
    content = jpeg(noise())
    return one_image(folder, content[: len(content) // 2] + b"\xff\xd9", "face.jpg")


@case("JPEG with rubbish after its end")
def _(folder: Path) -> str:
    return one_image(folder, jpeg(corners()) + b"rubbish" * 999, "face.jpg")


@case("JPEG with rubbish before its start")
def _(folder: Path) -> str:
    return one_image(folder, b"rubbish" + jpeg(corners()), "face.jpg")


@case("PNG that breaks off")
def _(folder: Path) -> str:
    content = png(noise())
    return one_image(folder, content[: len(content) // 2])


@case("PNG without its last chunk")
def _(folder: Path) -> str:
    return one_image(folder, FACE[:-12])


@case("PNG with a chunk that claims 4 GiB")
def _(folder: Path) -> str:
    at = FACE.index(b"IDAT") - 4
    return one_image(folder, FACE[:at] + b"\xff\xff\xff\xff" + FACE[at + 4 :])


@case("PNG that lacks rows")
def _(folder: Path) -> str:
    return one_image(folder, raw_png((32, 32), 8, 0, [bytes(range(32))] * 5))


@case("PNG whose pixel data are damaged")
def _(folder: Path) -> str:
    content = bytearray(png(noise()))
    content[len(content) // 2] ^= 1
    return one_image(folder, bytes(content))


@case("PNG with a wrong checksum in its header")
def _(folder: Path) -> str:
    content = bytearray(FACE)
    content[FACE.index(b"IHDR") + 17] ^= 1
    return one_image(folder, bytes(content))


@case("PNG with a wrong checksum of its pixel data")
def _(folder: Path) -> str:
    content = bytearray(FACE)
    content[FACE.index(b"IEND") - 5] ^= 1
    return one_image(folder, bytes(content))


@case("one colour all over")
def _(folder: Path) -> str:
    return one_image(folder, jpeg(Image.new("RGB", (64, 48), "grey")), "face.jpg")


@case("grey PNG, 16 bits")
def _(folder: Path) -> str:
    return one_image(folder, raw_png((32, 32), 16, 0, deep(-1)))


@case("RGB PNG, 16 bits a channel")
def _(folder: Path) -> str:
    return one_image(folder, raw_png((32, 32), 16, 2, deep(-1, -1, -1)))


@case("palette PNG")
def _(folder: Path) -> str:
    return one_image(folder, png(corners().convert("P")))


@case("palette PNG without its palette")
def _(folder: Path) -> str:
    return one_image(folder, raw_png((32, 32), 8, 3, [bytes(range(32))] * 32))


@case("PNG of 1 bit")
def _(folder: Path) -> str:
    return one_image(folder, png(corners().convert("L").point([0] * 100 + [255] * 156).convert("1")))


@case("interlaced PNG")
def _(folder: Path) -> str:
    grey = np.asarray(corners().convert("L"))
    passes = [grey[y::down, x::across] for x, y, across, down in ADAM7]
    rows = [row.tobytes() for part in passes for row in part]
    return one_image(folder, raw_png((64, 48), 8, 0, rows, interlaced=True))


@case("CMYK JPEG")
def _(folder: Path) -> str:
    return one_image(folder, jpeg(corners().convert("CMYK")), "face.jpg")


@case("grey JPEG")
def _(folder: Path) -> str:
    return one_image(folder, jpeg(corners().convert("L")), "face.jpg")


@case("grey PNG with alpha, opaque")
def _(folder: Path) -> str:
    return one_image(folder, png(corners().convert("LA")))


@case("RGBA PNG with transparent parts")
def _(folder: Path) -> str:
    image = corners().convert("RGBA")
    image.putpixel((5, 5), (255, 0, 0, 254))
    return one_image(folder, png(image))


@case("palette PNG with a transparent colour")
def _(folder: Path) -> str:
    image = corners().convert("P")
    return one_image(folder, png(image, transparency=image.getpixel((0, 0))))


@case("palette PNG with a transparent colour that does not occur")
def _(folder: Path) -> str:
    image = corners().convert("P")
    unused = next(i for i in range(256) if i not in set(image.tobytes()))
    return one_image(folder, png(image, transparency=unused))


@case("grey PNG, 16 bits, with a transparent value")
def _(folder: Path) -> str:
    return one_image(folder, raw_png((32, 32), 16, 0, deep(-1), (b"tRNS", b"\x34\xff")))


@case("JPEG that EXIF turns")
def _(folder: Path) -> str:
    exif = Image.Exif()
    exif[0x0112] = 6
    return one_image(folder, jpeg(corners(), exif=exif), "face.jpg")


@case("EXIF that turns, beside a tag that does not parse")
def _(folder: Path) -> str:
    turned = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    description = struct.pack("<HHIf", 0x010E, 11, 1, 0.5)  # a number where a text belongs
    exif = b"Exif\0\0II*\0\x08\0\0\0\2\0" + description + turned + bytes(4)
    return one_image(folder, jpeg(corners(), exif=exif), "face.jpg")


@case("EXIF that does not parse, in a JPEG")
def _(folder: Path) -> str:
    return one_image(folder, jpeg(corners(), exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff"), "face.jpg")


@case("EXIF that does not parse, in a PNG")
def _(folder: Path) -> str:
    return one_image(folder, raw_png((32, 32), 16, 0, deep(-1), (b"eXIf", b"rubbish")))


@case("EXIF as text that does not parse, in a PNG")
def _(folder: Path) -> str:
    text = (b"tEXt", b"Raw profile type exif\0\nexif\n5\nrubbish")
    return one_image(folder, raw_png((32, 32), 16, 0, deep(-1), text))


@case("text in a PNG that is named `transparency`")
def _(folder: Path) -> str:
    return one_image(folder, raw_png((32, 32), 16, 2, deep(-1, -1, -1), (b"tEXt", b"transparency\0none")))


@case("PNG with two headers")
def _(folder: Path) -> str:
    second = chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 0, 8, 9, 0, 0, 0))
    return one_image(folder, FACE[:-12] + second + FACE[-12:])


@case("colour profile of one byte after the pixels of a PNG")
def _(folder: Path) -> str:
    return one_image(folder, FACE[:-12] + chunk(b"iCCP", b"\0") + FACE[-12:])


@case("colour profile that does not parse")
def _(folder: Path) -> str:
    return one_image(folder, jpeg(corners(), icc_profile=b"rubbish"), "face.jpg")


@case("JPEG with two pictures (MPO)")
def _(folder: Path) -> str:
    content = encoded(corners(), "MPO", quality=95, subsampling=0, save_all=True, append_images=[noise()])
    return one_image(folder, content, "face.jpg")


# --- label files


FEW = {"Happily_Surprised": (1, 1, 1), "Sadly_Angry": (2, 0, 0)}


def few(folder: Path, name: str, edit: Callable[[bytes], bytes]) -> str:
    """RAF-CE's files of five images, one of them edited."""
    rafce_lookalike.build(folder, FEW)
    path = folder / "EmoLabel" / name
    path.write_bytes(edit(path.read_bytes()))
    return name


def line(number: int, text: bytes) -> Callable[[bytes], bytes]:
    """Puts `text` in place of line `number`."""

    def edit(content: bytes) -> bytes:
        lines = content.split(b"\n")
        lines[number - 1 : number] = [text]
        return b"\n".join(lines)

    return edit


@case("CRLF line ends", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, lambda text: text.replace(b"\n", b"\r\n"))


@case("CR line ends", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, lambda text: text.replace(b"\n", b"\r"))


@case("byte order mark", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.PARTITION, lambda text: b"\xef\xbb\xbf" + text)


@case("tabs", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.UNITS, lambda text: text.replace(b" ", b"\t"))


@case("trailing blanks", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, lambda text: text.replace(b"\n", b" \t \n"))


@case("no newline after the last row", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, bytes.rstrip)


@case("empty lines", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, lambda text: b"\n" + text.replace(b"\n", b"\n \n") + b"\n\n")


@case("identical row twice", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, lambda text: text + b"\n" + text.split(b"\n")[0])


@case("Latin-1", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, line(2, "0002.jpg 5 é".encode("latin-1")))


@case("UTF-16", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, lambda text: text.decode().encode("utf-16"))


@case("UTF-16 without byte order mark", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, lambda text: text.decode().encode("utf-16-le"))


@case("NUL bytes", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, line(2, b"0002.jpg\0 5"))


@case("line of over 1 MiB", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, line(2, b"0002.jpg " + bytes(2**20)))


@case("id out of range", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, line(2, b"0002.jpg 14"))


@case("negative id", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, line(2, b"0002.jpg -1"))


@case("unknown partition", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.PARTITION, line(2, b"0002.jpg 3"))


@case("action units that do not parse", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.UNITS, line(2, b"0002.jpg 12++4"))


@case("two labels for one image", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, lambda text: text + b"\n0001.jpg 12")


@case("row that another file lacks", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, lambda text: text + b"\n0006.jpg 5")


@case("row that only another file has", "rafce")
def _(folder: Path) -> str:
    few(folder, rafce.EMOTIONS, lambda text: text[: text.rindex(b"\n")])
    return rafce.PARTITION


@case("value missing", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, line(2, b"0002.jpg"))


@case("value too many", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, line(2, b"0002.jpg 5 6"))


@case("name of another form", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, line(2, b"../0002.jpg 5"))


@case("soft label with a negative share", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.SHARES, line(2, b"0002.jpg 0.6 -0.1 0.5 0 0 0"))


@case("soft label with NaN", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.SHARES, line(2, b"0002.jpg nan 0 0 0 0 0"))


@case("soft label of five numbers", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.SHARES, line(2, b"0002.jpg 0.2 0.2 0.2 0.2 0.2"))


@case("soft label of zeros", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.SHARES, line(2, b"0002.jpg 0 0 0 0 0 0"))


@case("soft label of numbers too large to add", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.SHARES, line(2, b"0002.jpg 1e308 1e308 0 0 0 0"))


@case("soft label with a word", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.SHARES, line(2, b"0002.jpg 0.6 0.4 0 0 0 none"))


@case("empty file", "rafce")
def _(folder: Path) -> str:
    return few(folder, rafce.EMOTIONS, lambda text: b"")


@case("listed image that is not there", "rafce")
def _(folder: Path) -> str:
    rafce_lookalike.build(folder, FEW)
    (folder / "aligned" / "0002_aligned.jpg").unlink()
    return "aligned/0002_aligned.jpg"


@case("image that no row lists", "rafce")
def _(folder: Path) -> str:
    rafce_lookalike.build(folder, FEW)
    return put(folder, "aligned/0006_aligned.jpg", jpeg(noise()))


TITLES = ",".join(ferplus.COLUMNS).encode()
BALLOTS = (
    TITLES + b"\nTraining,fer0000000.png,4,0,0,5,0,0,0,0,0,1\nPublicTest,fer0000001.png,0,0,0,0,5,4,0,0,1,0\n"
)


def votes(folder: Path, edit: Callable[[bytes], bytes]) -> str:
    """FER+'s votes on two faces, edited, and the faces."""
    for number, name in enumerate(("FER2013Train", "FER2013Valid")):
        put(folder, f"{name}/fer{number:07d}.png", png(noise(number).convert("L").resize((48, 48))))
    return put(folder, ferplus.VOTES, edit(BALLOTS))


def pixels(folder: Path, *rows: bytes) -> str:
    """The votes, and two faces as rows of numbers."""
    put(folder, ferplus.VOTES, BALLOTS)
    return put(folder, ferplus.PIXELS, b"\n".join((b"emotion,pixels,Usage", *rows)))


NUMBERS = b"7 " * (ferplus.SIDE**2 - 1)


@case("FER+: CRLF, byte order mark, empty lines", "ferplus")
def _(folder: Path) -> str:
    return votes(folder, lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n") + b"\r\n")


@case("FER+: semicolons", "ferplus")
def _(folder: Path) -> str:
    return votes(folder, lambda text: text.replace(b",", b";"))


@case("FER+: columns in capitals", "ferplus")
def _(folder: Path) -> str:
    return votes(folder, lambda text: text.replace(TITLES, TITLES.upper()))


@case("FER+: column of row numbers", "ferplus")
def _(folder: Path) -> str:
    lines = [b"%d,%s" % at for at in enumerate(BALLOTS.splitlines())]
    return votes(folder, lambda _: b"\n".join(lines))


@case("FER+: Latin-1", "ferplus")
def _(folder: Path) -> str:
    return votes(folder, lambda text: text.replace(b"fer0000001", b"fer\xe9"))


@case("FER+: CR line ends", "ferplus")
def _(folder: Path) -> str:
    return votes(folder, lambda text: text.replace(b"\n", b"\r"))


@case("FER+: cell of over 128 KiB", "ferplus")
def _(folder: Path) -> str:
    return votes(folder, lambda text: text.replace(b"fer0000000.png", b"f" * 2**17 + b"f"))


@case("FER+: NUL bytes", "ferplus")
def _(folder: Path) -> str:
    return votes(folder, lambda text: text.replace(b"fer0000001.png", b"fer0000001.png\0"))


@case("FER+: column missing", "ferplus")
def _(folder: Path) -> str:
    return votes(folder, lambda text: text.replace(b"contempt,", b""))


@case("FER+: row that breaks off", "ferplus")
def _(folder: Path) -> str:
    return votes(folder, lambda text: text.rstrip().rsplit(b",", 3)[0])


@case("FER+: negative count of votes", "ferplus")
def _(folder: Path) -> str:
    return votes(folder, lambda text: text.replace(b",5,4,", b",5,-4,"))


@case("FER+: unknown Usage", "ferplus")
def _(folder: Path) -> str:
    return votes(folder, lambda text: text.replace(b"PublicTest", b"Public"))


@case("FER+: image name that is a path", "ferplus")
def _(folder: Path) -> str:
    return votes(folder, lambda text: text.replace(b"fer0000001.png", b"../fer0000001.png"))


@case("FER+: image named twice with other votes", "ferplus")
def _(folder: Path) -> str:
    return votes(folder, lambda text: text + b"Training,fer0000000.png,0,0,0,9,0,0,0,0,0,1\n")


@case("FER+: pixel over 255", "ferplus")
def _(folder: Path) -> str:
    return pixels(folder, b"3," + NUMBERS + b"256,Training", b"4," + NUMBERS + b"1,PublicTest")


TWO_FACES = (b"3," + NUMBERS + b"9,Training", b"4," + NUMBERS + b"1,PublicTest")


@case("FER+: pixels with semicolons, columns in capitals, in a folder of a zip", "ferplus")
def _(folder: Path) -> str:
    table = b"\n".join((b"EMOTION,PIXELS,USAGE", *TWO_FACES)).replace(b",", b";")
    put(folder, ferplus.VOTES, BALLOTS)
    return put(folder, "archive.zip", zipped({f"fer2013/{ferplus.PIXELS}": table}))


@case("FER+: quoted pixels, CRLF, byte order mark", "ferplus")
def _(folder: Path) -> str:
    name = pixels(
        folder,
        *(row.replace(b",", b',"', 1).replace(b",T", b'",T').replace(b",P", b'",P') for row in TWO_FACES),
    )
    return put(folder, name, b"\xef\xbb\xbf" + (folder / name).read_bytes().replace(b"\n", b"\r\n"))


@case("FER+: pixels with commas between them", "ferplus")
def _(folder: Path) -> str:
    return pixels(folder, b'3,"' + NUMBERS.replace(b" ", b",") + b'9",Training', TWO_FACES[1])


@case("FER+: table of pixels as .csv.gz", "ferplus")
def _(folder: Path) -> str:
    put(folder, ferplus.VOTES, BALLOTS)
    return put(folder, "fer2013.csv.gz", gzip.compress(b"emotion,pixels,Usage\n"))


@case("FER+: a pixel too few", "ferplus")
def _(folder: Path) -> str:
    return pixels(folder, b"3," + NUMBERS + b",Training", b"4," + NUMBERS + b"1,PublicTest")


@case("FER+: pixel rows in another order than the votes", "ferplus")
def _(folder: Path) -> str:
    return pixels(folder, b"4," + NUMBERS + b"1,PublicTest", b"3," + NUMBERS + b"1,Training")


@case("FER+: empty file of pixels", "ferplus")
def _(folder: Path) -> str:
    pixels(folder)
    return put(folder, ferplus.PIXELS, b"")


ROWS = tuple(
    Row(f"images/{role}/{split}/{label}/{name}.png", label, role, split, "1+4", "", "", "", name)
    for role, split, label, name in (
        ("compound", "train", "Sadly_Angry", "a"),
        ("basic", "val", "fear", "b"),
    )
)
TABLE = manifest.write(ROWS).encode()


def dataset(folder: Path, table: bytes) -> str:
    for number, row in enumerate(ROWS):
        put(folder, row.image, png(noise(number)))
    return put(folder, "manifest.csv", table)


def dataset_of(folder: Path, **changes: str) -> str:
    return dataset(folder, manifest.write([replace(ROWS[0], **changes), ROWS[1]]).encode())


@case("manifest: CRLF, byte order mark, empty lines")
def _(folder: Path) -> str:
    return dataset(folder, b"\xef\xbb\xbf" + TABLE.replace(b"\n", b"\r\n") + b"\r\n")


@case("manifest: CR line ends")
def _(folder: Path) -> str:
    return dataset(folder, TABLE.replace(b"\n", b"\r"))


@case("manifest: cell of over 128 KiB")
def _(folder: Path) -> str:
    return dataset_of(folder, group="x" * 2**18)


@case("manifest: source_id that does not print")
def _(folder: Path) -> str:
    return dataset_of(folder, source_id="a\0b")


@case("manifest: source_id over 200 bytes")
def _(folder: Path) -> str:
    return dataset_of(folder, source_id="a" * 201)


@case("manifest: UTF-16")
def _(folder: Path) -> str:
    return dataset(folder, TABLE.decode().encode("utf-16"))


@case("manifest: column missing")
def _(folder: Path) -> str:
    return dataset(folder, TABLE.replace(b",group,", b",person,"))


@case("manifest: row with a cell too many")
def _(folder: Path) -> str:
    return dataset(folder, TABLE.rstrip() + b",more")


@case("manifest: row that breaks off")
def _(folder: Path) -> str:
    return dataset(folder, TABLE[:-9])


@case("manifest: unknown class")
def _(folder: Path) -> str:
    return dataset_of(folder, label="Sadly_Happy")


@case("manifest: unknown split")
def _(folder: Path) -> str:
    return dataset_of(folder, split="holdout")


@case("manifest: label that contradicts the folder")
def _(folder: Path) -> str:
    return dataset_of(folder, label="Sadly_Fearful")


@case("manifest: path that leaves the store")
def _(folder: Path) -> str:
    return dataset_of(folder, image="images/../../a.png")


@case("manifest: source_id that is a path")
def _(folder: Path) -> str:
    return dataset_of(folder, source_id="../a")


@case("manifest: NUL in a path")
def _(folder: Path) -> str:
    return dataset_of(folder, image=ROWS[0].image.replace("/a", "/\0a"))


@case("manifest: image twice")
def _(folder: Path) -> str:
    return dataset(folder, manifest.write([*ROWS, ROWS[0]]).encode())


@case("manifest: image that is not there")
def _(folder: Path) -> str:
    return dataset_of(folder, image=ROWS[0].image.replace("/a", "/c"))


@case("manifest: image that no row lists")
def _(folder: Path) -> str:
    return dataset(folder, manifest.write(ROWS[:1]).encode())


@case("manifest: action units that do not parse")
def _(folder: Path) -> str:
    return dataset_of(folder, action_units="1++4")


@case("manifest: soft label of five numbers")
def _(folder: Path) -> str:
    return dataset_of(folder, shares="0.5 0.5 0 0 0")


@case("manifest: empty file")
def _(folder: Path) -> str:
    return dataset(folder, b"")


PLAIN: dict[Source, Callable[[Path], str]] = {
    "rafce": functools.partial(few, name=rafce.EMOTIONS, edit=bytes),
    "ferplus": functools.partial(votes, edit=bytes),
    "imagefolder": functools.partial(dataset, table=TABLE),
}
"""The files of `few`, `votes` and `dataset`, with nothing wrong."""
