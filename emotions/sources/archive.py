"""One read-only view of a folder, its zips and tars and the zips in those: nothing is unpacked by name.

A zip counts as a folder of its own name, so `raw/outer.zip` holding `aligned.zip` holding `0001_aligned.jpg`
shows the member `outer.zip/aligned.zip/0001_aligned.jpg`.
"""

import errno
import io
import logging
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Final, Self

from emotions.data.leftovers import is_leftover
from emotions.sources.knobs import ArchiveLimits

log = logging.getLogger(__name__)

RATIO_FLOOR: Final = 2**20
"""Uncompressed bytes up to which no ratio is suspicious."""
MAX_LINE: Final = 2**20
"""Most bytes of one line of a text file; a row of `fer2013.csv` has about 10,000."""
MAX_NAME: Final = 200
"""Bytes of one part of a path; a file name may have 255, and the store puts split and class before it."""
MAX_ZIPS: Final = 200
"""Most zips of a folder, inner ones included: each stays open, and some systems allow only 256 open files."""
UTF8_NAME: Final = 0x800
"""Flag of a zip member whose name is UTF-8."""
METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""Packing methods that are read: zipfile lacks Deflate64, and with LZMA a few bytes can claim gigabytes."""

TARS: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
OTHER_ARCHIVES: Final = (".rar", ".7z", ".gz", ".bz2", ".xz", ".zst")

_UNREADABLE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    UnicodeDecodeError,
)
"""Exceptions of zipfile on files that are damaged or not zips."""


class ArchiveError(ValueError):
    """A folder or zip that is unsafe or damaged; the message names the file, the member and the remedy."""


class Archive:
    """Files under a folder and inside its zips (one within another at most), by sorted posix name.

    Zips stay open until `close`; use it as a context manager. Links in the folder itself are followed, since
    they are the user's own (DVC makes such); links inside a zip are rejected.

    Raises:
        ArchiveError: the folder is missing; or a zip is damaged, empty, encrypted, nested too deep or
            oversized, or has a member that is a link, leaves the archive or occurs twice; or there are more
            than `MAX_ZIPS`; or a name does not print, is too long, or differs from another only in case or
            Unicode form. `docs/data/bad_input.md` lists the cases.
    """

    def __init__(self, folder: Path, limits: ArchiveLimits | None = None) -> None:
        self.folder = folder
        self.limits = limits or ArchiveLimits()
        self.at = ""  # file and line that `lines` gave last
        self._unpacked = 0
        self._zips = 0
        self._leftovers: Counter[str] = Counter()
        self._members: dict[str, Path | tuple[zipfile.ZipFile, zipfile.ZipInfo]] = {}
        self._handles = ExitStack()
        if not folder.is_dir():
            raise ArchiveError(f"{folder}: no such folder; put the source's files there")
        try:
            for path in _files_under(folder, self._leftovers):
                name = path.relative_to(folder).as_posix()
                _check_name(name, folder.as_posix())
                if _is_zip(name):
                    self._add_zip(name, path, depth=1)
                elif name.lower().endswith(TARS):
                    self._add_tar(name, path)
                else:
                    self._add(name, path)
            self._check_twins()
            if self._leftovers:
                kinds = ", ".join(f"{name} {count:,}" for name, count in self._leftovers.most_common(5))
                log.info(f"{folder}: {self._leftovers.total():,} leftovers passed over ({kinds})")
        except BaseException:
            self.close()
            raise
        self.names: tuple[str, ...] = tuple(sorted(self._members))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every zip; reading is over."""
        self._handles.close()

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def where(self, name: str) -> str:
        """A member's name as messages print it, below the folder that the user gave."""
        return f"{self.folder.as_posix()}/{name}"

    def named(self, basename: str) -> list[str]:
        """All members with this file name, in any folder and in any capitals."""
        wanted = basename.casefold()
        return [name for name in self.names if PurePosixPath(name).name.casefold() == wanted]

    def read(self, name: str) -> bytes:
        """A member's bytes.

        Raises:
            ArchiveError: it is damaged or larger than `limits.file_mib`.
        """
        limit = self.limits.file_mib * 2**20
        with self._open(name) as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise ArchiveError(
                f"{self.where(name)}: over {limit:,} bytes (data.archive_limits.file_mib); leave it out, or "
                "raise the limit if you trust it"
            )
        return content

    def lines(self, name: str) -> Iterator[str]:
        """A member's lines, without their ends, streamed as UTF-8, with or without BOM, LF or CRLF.

        Raises:
            ArchiveError: it is damaged, not UTF-8, or has a line of over `MAX_LINE` bytes.
        """
        with self._open(name) as file, io.BufferedReader(file) as buffered:  # type: ignore[type-var]
            number = 0
            while raw := buffered.readline(MAX_LINE + 1):
                number += 1
                self.at = where = f"{self.where(name)}, line {number}"
                if len(raw) > MAX_LINE:
                    raise ArchiveError(
                        f"{where}: over {MAX_LINE:,} bytes, so this is not a table; put the table there"
                    )
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise ArchiveError(f"{where}: not UTF-8 text ({error}); save it as UTF-8") from error
                yield line.removesuffix("\n").removesuffix("\r")

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        place = self._members[name]
        try:
            with place.open("rb") if isinstance(place, Path) else place[0].open(place[1]) as file:
                yield file
        except _UNREADABLE as error:
            raise ArchiveError(f"{self.where(name)}: cannot be read ({error}); {_remedy(error)}") from error

    def _add(self, name: str, place: Path | tuple[zipfile.ZipFile, zipfile.ZipInfo]) -> None:
        if name in self._members:
            raise ArchiveError(
                f"{self.where(name)}: lies there twice, in a zip and in a folder of that name; remove one"
            )
        self._members[name] = place

    def _add_zip(self, name: str, file: Path | IO[bytes], depth: int) -> None:
        where = self.where(name)
        self._zips += 1
        if self._zips > MAX_ZIPS:
            raise ArchiveError(f"{where}: more than {MAX_ZIPS} zips in {self.folder.as_posix()}; unpack them")
        try:
            opened = self._handles.enter_context(zipfile.ZipFile(file))
        except _UNREADABLE as error:
            raise ArchiveError(
                f"{where}: not a readable zip ({error}); {_instead(file) or _remedy(error)} or remove it"
            ) from error
        members = _checked_members(opened, where, self.limits, leftovers=self._leftovers)
        self._unpacked += sum(info.file_size for info in members.values())
        if self._unpacked > self.limits.gib * 2**30:
            raise ArchiveError(
                f"{where}: unpacks, with the zips before it, to {self._unpacked:,} bytes, over "
                f"data.archive_limits.gib ({self.limits.gib}); raise the limit if you trust it"
            )
        for inner, info in members.items():
            full = f"{name}/{inner}"
            if not _is_zip(inner):
                self._add(full, (opened, info))
            elif depth == 2:
                raise ArchiveError(f"{self.where(full)}: a zip in a zip in a zip; unpack the outermost one")
            else:
                self._add_zip(full, self._spooled(opened, info, full), depth + 1)

    def _add_tar(self, name: str, path: Path) -> None:
        """Add the plain files of a tar. A tar has no directory, so it is read once, into a nameless zip."""
        where, limits = self.where(name), self.limits
        allowed = max(RATIO_FLOOR, limits.ratio * path.stat().st_size)
        spool = self._handles.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        total = 0
        try:
            with tarfile.open(path, "r|*") as tar, zipfile.ZipFile(spool, "w") as copy:
                for number, member in enumerate(tar, 1):
                    if member.isdir():
                        continue
                    if not member.isreg():
                        raise ArchiveError(
                            f"{where}: member {member.name!r} is a link or a device; make the tar anew with "
                            "plain files"
                        )
                    total += member.size
                    if number > limits.members or total > min(allowed, limits.gib * 2**30):
                        raise ArchiveError(
                            f"{where}: unpacks to over {total:,} bytes or {number:,} members, as bombs do "
                            "(data.archive_limits); raise the limits if you trust it"
                        )
                    source = tar.extractfile(member)
                    with copy.open(zipfile.ZipInfo(member.name), "w", force_zip64=True) as target:
                        shutil.copyfileobj(source, target, 2**20)  # type: ignore[arg-type]
        except (tarfile.TarError, UnicodeEncodeError, *_UNREADABLE) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ArchiveError(
                    f"{where}: no space left in {tempfile.gettempdir()} to open a tar; free some, set "
                    "TMPDIR, or unpack it"
                ) from error
            raise ArchiveError(
                f"{where}: not a readable tar ({error}); {_remedy(error)} or remove it"
            ) from error
        self._add_zip(name, spool, depth=1)

    def _check_twins(self) -> None:
        """Raises ArchiveError where two names would be one file on another system."""
        seen: dict[str, str] = {}
        for name in self._members:
            same = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
            other = seen.setdefault(same, name)
            if other != name:
                raise ArchiveError(
                    f"{self.folder.as_posix()}: {other!a} and {name!a} differ in case or Unicode form only, "
                    "so they are one file on other systems; rename or remove one"
                )
            if same.endswith(OTHER_ARCHIVES):
                log.warning(f"{self.where(name)} is not opened: only zips and tars are; unpack it")

    def _spooled(self, outer: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> IO[bytes]:
        """An inner zip as a nameless temporary file, since reading its directory needs seeking."""
        spool = self._handles.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        try:
            with outer.open(info) as source:
                shutil.copyfileobj(source, spool, 2**20)
        except _UNREADABLE as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ArchiveError(
                    f"{self.where(name)}: no space left in {tempfile.gettempdir()} to open a zip in a zip; "
                    "free some, set TMPDIR, or unpack the outer zip"
                ) from error
            raise ArchiveError(f"{self.where(name)}: cannot be read ({error}); {_remedy(error)}") from error
        spool.seek(0)
        return spool


def _check_name(name: str, where: str) -> None:
    """Raises ArchiveError unless the name prints and each of its parts can name a file."""
    if not name.isprintable():
        raise ArchiveError(f"{where}: name {name!r} has characters that do not print; rename it")
    longest = max(name.split("/"), key=lambda part: len(part.encode()))
    size = len(longest.encode())
    if size > MAX_NAME:
        raise ArchiveError(
            f"{where}: name {longest[:40]!r}... has {size:,} bytes, over {MAX_NAME}; rename it"
        )


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def _instead(file: Path | IO[bytes]) -> str:
    """What to do with a file named .zip that is not one, by its first bytes; empty where they say nothing."""
    try:
        with file.open("rb") if isinstance(file, Path) else nullcontext(file) as opened:
            opened.seek(0)
            head = opened.read(512)
    except OSError:
        return ""  # the message has the same error
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "it is a web page, such as a login: fetch the file itself"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer: `git lfs pull` where it comes from, and copy it again"
    if head.startswith((b"Rar!", b"7z\xbc\xaf")):
        return "it is a rar or 7z: unpack it"
    if head.startswith(b"\x1f\x8b") or head[257:262] == b"ustar":
        return "it is a tar or gzip: name it .tar or .tar.gz"
    return ""


def _remedy(error: BaseException) -> str:
    """What helps against one of `_UNREADABLE`: most are of files that broke off or were damaged."""
    if isinstance(error, PermissionError):
        return "allow reading it"
    return "make it anew" if isinstance(error, UnicodeError | NotImplementedError) else "fetch it again"


def _unreadable(error: OSError) -> None:
    raise ArchiveError(f"{error.filename}: cannot be listed ({error.strerror}); allow reading it") from error


def _files_under(folder: Path, leftovers: Counter[str]) -> list[Path]:
    """Files below a folder, sorted, links followed. What is passed over is counted in `leftovers`.

    Raises:
        ArchiveError: a link to nowhere, or one that makes the tree endless.
    """
    found: list[Path] = []
    seen: set[Path] = set()
    for base, folders, files in os.walk(folder, followlinks=True, onerror=_unreadable):
        here = Path(base)
        if here.resolve() in seen:
            raise ArchiveError(f"{here}: a link back into a folder already read; remove it")
        seen.add(here.resolve())
        leftovers.update(name for name in (*folders, *files) if is_leftover(name))
        folders[:] = sorted(name for name in folders if not is_leftover(name))
        found += [here / file for file in sorted(files) if not is_leftover(file)]
    dangling = next((path for path in found if not path.is_file()), None)
    if dangling is not None:
        raise ArchiveError(f"{dangling}: not a regular file, or a link to nowhere; restore or remove it")
    return found


def _checked_members(
    opened: zipfile.ZipFile, where: str, limits: ArchiveLimits, *, leftovers: Counter[str]
) -> dict[str, zipfile.ZipInfo]:
    """The file members of a zip by posix name, all checked to be safe.

    Raises:
        ArchiveError: see `Archive`.
    """
    infos, size = opened.infolist(), _size(opened)
    if not infos:
        raise ArchiveError(f"{where}: an empty zip; put the full one there or remove it")
    total = sum(info.file_size for info in infos)
    if len(infos) > limits.members:
        raise ArchiveError(
            f"{where}: {len(infos):,} members, over data.archive_limits.members ({limits.members:,}); "
            "raise the limit if you trust it"
        )
    if total > max(RATIO_FLOOR, limits.ratio * size):
        raise ArchiveError(
            f"{where}: unpacks to {total:,} bytes, over data.archive_limits.ratio ({limits.ratio}) times its "
            "size, as bombs do; remove it"
        )
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        path = _safe_path(info, where)
        if not 0 <= info.header_offset < size:
            raise ArchiveError(
                f"{where}: member {info.orig_filename!r} lies outside the file, a part of which is missing; "
                "fetch it again"
            )
        if left := next(filter(is_leftover, path.parts), None):
            leftovers[left] += 1
            continue
        if member_name(info).endswith("/"):
            continue
        if not path.parts:
            raise ArchiveError(f"{where}: member {info.orig_filename!r} has no name; make the zip anew")
        _check_name(path.as_posix(), where)
        if path.as_posix() in members:
            raise ArchiveError(f"{where}: member {info.orig_filename!r} occurs twice; make the zip anew")
        members[path.as_posix()] = info
    return members


def _size(opened: zipfile.ZipFile) -> int:
    file = opened.fp
    if file is None:
        raise ArchiveError(f"{opened.filename}: already closed")
    return file.seek(0, io.SEEK_END)


def member_name(info: zipfile.ZipInfo) -> str:
    """A member's name with `/` between folders, as its zip program meant it (`orig_filename`: before zipfile
    mends it).

    Old Windows programs write backslashes between folders, and names in the code page of their country. In
    some code pages the second byte of a character may be that of a backslash. Such a name is decoded as
    UTF-8, Shift-JIS, GBK or Big5, whichever fits with the fewest backslashes. Its letters may be wrong.
    """
    name = info.orig_filename
    if info.flag_bits & UTF8_NAME or name.isascii():
        return name.replace("\\", "/")
    if "\\" in name:
        raw, fitting = name.encode("cp437"), []  # as zipfile has read it
        for encoding in ("utf-8", "cp932", "gbk", "big5"):
            with suppress(UnicodeDecodeError):
                fitting.append(raw.decode(encoding))
        name = min(fitting, key=lambda text: text.count("\\"), default=name)
    return name.replace("\\", "/")


def _safe_path(info: zipfile.ZipInfo, where: str) -> PurePosixPath:
    """The member's path, checked to stay inside the archive."""
    name = member_name(info)
    path = PurePosixPath(name)
    drive = ":" in name and not is_leftover(path.name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or drive:
        raise ArchiveError(f"{where}: member {name!r} points outside the archive; make the zip anew")
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveError(
            f"{where}: member {name!r} is a link or a device; make the zip anew with plain files"
        )
    if info.flag_bits & 0x1:
        raise ArchiveError(
            f"{where}: member {name!r} is encrypted; unpack it with its password and remove the zip"
        )
    if info.compress_type not in METHODS:
        raise ArchiveError(
            f"{where}: member {name!r} is packed by method {info.compress_type}, only 0 (stored) and 8 "
            "(deflated) are read; unpack it and remove the zip"
        )
    return path
