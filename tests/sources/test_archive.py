"""Claims about `archive`: what is inside is found; what is refused is in docs/data/bad_input.md."""

from pathlib import Path

import pytest

from emotions.sources.archive import MAX_NAME, Archive, ArchiveError
from emotions.sources.knobs import ArchiveLimits
from tests.rafce_lookalike import zipped


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_folders_zips_and_zips_in_zips_are_one_tree(tmp_path: Path) -> None:
    _write(tmp_path / "plain" / "a.txt", b"a")
    _write(tmp_path / "outer.zip", zipped({"b.txt": b"b", "sub/inner.zip": zipped({"deep/c.txt": b"c"})}))
    with Archive(tmp_path) as opened:
        assert opened.names == ("outer.zip/b.txt", "outer.zip/sub/inner.zip/deep/c.txt", "plain/a.txt")
        assert [opened.read(name) for name in opened.names] == [b"b", b"c", b"a"]
        assert opened.named("c.txt") == ["outer.zip/sub/inner.zip/deep/c.txt"]


def test_nothing_is_written_beside_the_zip(tmp_path: Path) -> None:
    _write(tmp_path / "outer.zip", zipped({"inner.zip": zipped({"c.txt": b"c"})}))
    with Archive(tmp_path) as opened:
        opened.read(opened.names[0])
    assert [path.name for path in tmp_path.rglob("*")] == ["outer.zip"]


def test_what_just_keeps_the_limits_is_read(tmp_path: Path) -> None:
    longest = "x" * MAX_NAME
    _write(tmp_path / "a.zip", zipped({longest: bytes(2**20), "b.txt": b""}))
    with Archive(tmp_path, ArchiveLimits(members=2, file_mib=1)) as opened:
        assert opened.names == ("a.zip/b.txt", f"a.zip/{longest}")
        assert len(opened.read(f"a.zip/{longest}")) == 2**20


def test_lines_are_streamed_without_their_ends(tmp_path: Path) -> None:
    _write(tmp_path / "a.txt", "\ufeffone\r\ntwo\nthree".encode())
    with Archive(tmp_path) as opened:
        assert list(opened.lines("a.txt")) == ["one", "two", "three"]


def test_links_in_the_folder_itself_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    _write(tmp_path / "elsewhere" / "a.zip", zipped({"x": b"x"}))
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "a.zip").symlink_to(tmp_path / "elsewhere" / "a.zip")
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    with Archive(folder) as opened:
        assert opened.names == ("a.zip/x", "more/a.zip/x")
    (folder / "round").symlink_to(folder)
    with pytest.raises(ArchiveError, match="link back"):
        Archive(folder)


def test_a_missing_folder_and_a_dangling_link_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no such folder"):
        Archive(tmp_path / "absent")
    (tmp_path / "a.jpg").symlink_to(tmp_path / "absent.jpg")
    with pytest.raises(ArchiveError, match=r"a\.jpg: not a regular file"):
        Archive(tmp_path)


def test_reading_is_over_after_close(tmp_path: Path) -> None:
    _write(tmp_path / "a.zip", zipped({"x": b"x"}))
    opened = Archive(tmp_path)
    opened.close()
    with pytest.raises((ArchiveError, ValueError)):
        opened.read("a.zip/x")
