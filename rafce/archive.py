"""One read-only view of a folder, its zips and the zips in those: nothing is ever unpacked by name.

A zip counts as a folder of its own name, so `raw/outer.zip` holding `aligned.zip` holding `0001_aligned.jpg`
shows the member `outer.zip/aligned.zip/0001_aligned.jpg`.
"""

import io
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Final, Self

MAX_MEMBERS: Final = 500_000
"""Members of one zip; RAF-CE has about 9,100."""
MAX_ZIP_BYTES: Final = 32 * 2**30
"""All members of one zip together, uncompressed."""
MAX_READ_BYTES: Final = 256 * 2**20
"""One member read whole into memory (an image, a region map, a manifest)."""
MAX_RATIO: Final = 200
"""Uncompressed bytes for each byte of the zip, once past `RATIO_FLOOR`; images reach 1, tables 10."""
RATIO_FLOOR: Final = 2**20

JUNK: Final = frozenset({"__MACOSX", ".DS_Store", "Thumbs.db"})
"""What desktops leave behind; such members are not shown."""

_UNREADABLE: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


class ArchiveError(ValueError):
    """A folder or zip that is unsafe or damaged; the message names the file, the member and the remedy."""


class Archive:
    """Files under a folder and inside its zips (one within another at most), by sorted posix name.

    Zips stay open until `close`; use it as a context manager. Links in the folder itself are followed, since
    they are the user's own (DVC makes such); links inside a zip are rejected.

    Raises:
        ArchiveError: the folder is missing, or a zip is damaged, encrypted, nested too deep or oversized, or
            has a member that is a link, leaves the archive or occurs twice.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._members: dict[str, Path | tuple[zipfile.ZipFile, zipfile.ZipInfo]] = {}
        self._handles = ExitStack()
        if not folder.is_dir():
            raise ArchiveError(f"{folder}: no such folder; put the source's files there")
        try:
            for path in _files_under(folder):
                name = path.relative_to(folder).as_posix()
                if _is_zip(name):
                    self._add_zip(name, path, depth=1)
                else:
                    self._members[name] = path
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

    def where(self, name: str) -> str:
        """A member's name as messages print it, below the folder that the user gave."""
        return f"{self.folder.as_posix()}/{name}"

    def named(self, basename: str) -> list[str]:
        """All members with this file name, in any folder."""
        return [name for name in self.names if PurePosixPath(name).name == basename]

    def read(self, name: str) -> bytes:
        """A member's bytes.

        Raises:
            ArchiveError: it is damaged or larger than `MAX_READ_BYTES`.
        """
        with self._open(name) as file:
            content = file.read(MAX_READ_BYTES + 1)
        if len(content) > MAX_READ_BYTES:
            raise ArchiveError(
                f"{self.where(name)}: over {MAX_READ_BYTES:,} bytes, which no image or table has"
            )
        return content

    def lines(self, name: str) -> Iterator[str]:
        """A member's lines, without their ends, streamed as UTF-8, with or without BOM, LF or CRLF.

        Raises:
            ArchiveError: it is damaged or not UTF-8.
        """
        with self._open(name) as file, io.TextIOWrapper(file, encoding="utf-8-sig") as text:
            try:
                for line in text:
                    yield line.removesuffix("\n")
            except UnicodeDecodeError as error:
                raise ArchiveError(
                    f"{self.where(name)}: not UTF-8 text ({error}); save it as UTF-8"
                ) from error

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        place = self._members[name]
        try:
            with place.open("rb") if isinstance(place, Path) else place[0].open(place[1]) as file:
                yield file
        except _UNREADABLE as error:
            raise ArchiveError(f"{self.where(name)}: cannot be read ({error}); fetch it again") from error

    def _add_zip(self, name: str, file: Path | IO[bytes], depth: int) -> None:
        where = self.where(name)
        try:
            opened = self._handles.enter_context(zipfile.ZipFile(file))
        except _UNREADABLE as error:
            raise ArchiveError(
                f"{where}: not a readable zip ({error}); fetch it again or remove it"
            ) from error
        for inner, info in _checked_members(opened, where).items():
            full = f"{name}/{inner}"
            if not _is_zip(inner):
                self._members[full] = (opened, info)
            elif depth == 2:
                raise ArchiveError(f"{self.where(full)}: a zip in a zip in a zip; unpack the outermost one")
            else:
                self._add_zip(full, self._spooled(opened, info, full), depth + 1)

    def _spooled(self, outer: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> IO[bytes]:
        """An inner zip as a nameless temporary file, since reading its directory needs seeking."""
        spool = self._handles.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        try:
            with outer.open(info) as source:
                shutil.copyfileobj(source, spool, 2**20)
        except _UNREADABLE as error:
            raise ArchiveError(f"{self.where(name)}: cannot be read ({error}); fetch it again") from error
        spool.seek(0)
        return spool


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def _unreadable(error: OSError) -> None:
    raise ArchiveError(f"{error.filename}: cannot be listed ({error.strerror}); allow reading it") from error


def _files_under(folder: Path) -> list[Path]:
    """Files below a folder, sorted, links followed.

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
        folders[:] = sorted(set(folders) - JUNK)
        found += [here / file for file in sorted(set(files) - JUNK)]
    dangling = next((path for path in found if not path.is_file()), None)
    if dangling is not None:
        raise ArchiveError(f"{dangling}: not a regular file, or a link to nowhere; restore or remove it")
    return found


def _checked_members(opened: zipfile.ZipFile, where: str) -> dict[str, zipfile.ZipInfo]:
    """The file members of a zip by normalised name, after every one was found safe.

    Raises:
        ArchiveError: see `Archive`.
    """
    infos = opened.infolist()
    total = sum(info.file_size for info in infos)
    if len(infos) > MAX_MEMBERS or total > MAX_ZIP_BYTES:
        raise ArchiveError(f"{where}: {len(infos):,} members of {total:,} bytes are too many; split it")
    if total > max(RATIO_FLOOR, MAX_RATIO * _size(opened)):
        raise ArchiveError(f"{where}: unpacks to {total:,} bytes, over {MAX_RATIO} times its size; refused")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        path = _safe_path(info, where)
        if info.is_dir() or JUNK & set(path.parts):
            continue
        if path.as_posix() in members:
            raise ArchiveError(f"{where}: member {info.orig_filename!r} occurs twice; make the zip anew")
        members[path.as_posix()] = info
    return members


def _size(opened: zipfile.ZipFile) -> int:
    file = opened.fp
    if file is None:
        raise ArchiveError(f"{opened.filename}: already closed")
    return file.seek(0, io.SEEK_END)


def _safe_path(info: zipfile.ZipInfo, where: str) -> PurePosixPath:
    """The member's path, which stays inside the archive (`orig_filename`: before zipfile mends it)."""
    name = info.orig_filename
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name:
        raise ArchiveError(f"{where}: member {name!r} points outside the archive; make the zip anew")
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveError(
            f"{where}: member {name!r} is a link or a device; make the zip anew with plain files"
        )
    if info.flag_bits & 0x1:
        raise ArchiveError(
            f"{where}: member {name!r} is encrypted; unpack it with its password, remove the zip"
        )
    return path
