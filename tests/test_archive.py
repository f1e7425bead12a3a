"""Claims about `rafce.archive`: what is inside is found, what is unsafe is refused."""

import stat
import zipfile
from pathlib import Path

import pytest

from rafce import archive
from rafce.archive import Archive, ArchiveError
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


def test_what_desktops_leave_behind_is_not_shown(tmp_path: Path) -> None:
    _write(tmp_path / ".DS_Store", b"")
    _write(tmp_path / "a.zip", zipped({"__MACOSX/._x.jpg": b"", "d/Thumbs.db": b"", "d/x.jpg": b"x"}))
    with Archive(tmp_path) as opened:
        assert opened.names == ("a.zip/d/x.jpg",)


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "a\\x", "C:/x"])
def test_a_member_that_leaves_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    _write(tmp_path / "a.zip", zipped({name: b"x"}))
    with pytest.raises(ArchiveError, match="points outside"):
        Archive(tmp_path)


def test_the_same_rules_hold_for_an_inner_zip(tmp_path: Path) -> None:
    _write(tmp_path / "a.zip", zipped({"inner.zip": zipped({"../x": b"x"})}))
    with pytest.raises(ArchiveError, match=r"inner\.zip: member '\.\./x' points outside"):
        Archive(tmp_path)


def test_a_link_inside_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match="is a link"):
        Archive(tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["a.txt", "./a.txt"])
def test_a_member_that_occurs_twice_is_refused(tmp_path: Path, second: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.txt", "1")
        file.writestr(second, "2")
    with pytest.raises(ArchiveError, match="occurs twice"):
        Archive(tmp_path)


def test_an_encrypted_member_is_refused_with_the_remedy(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.txt": b"x"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    _write(tmp_path / "a.zip", bytes(content))
    with pytest.raises(ArchiveError, match="unpack it with its password"):
        Archive(tmp_path)


def test_a_zip_bomb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros.jpg", bytes(5 * 2**20))
    with pytest.raises(ArchiveError, match="times its size"):
        Archive(tmp_path)


def test_a_member_too_large_for_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_READ_BYTES", 3)
    _write(tmp_path / "a.zip", zipped({"three": b"123", "four": b"1234"}))
    with Archive(tmp_path) as opened:
        assert opened.read("a.zip/three") == b"123"
        with pytest.raises(ArchiveError, match="four: over 3 bytes"):
            opened.read("a.zip/four")


def test_a_third_level_of_zips_is_refused_not_skipped(tmp_path: Path) -> None:
    _write(tmp_path / "a.zip", zipped({"b.zip": zipped({"c.zip": zipped({"x": b""})})}))
    with pytest.raises(ArchiveError, match=r"a\.zip/b\.zip/c\.zip: a zip in a zip in a zip"):
        Archive(tmp_path)


def test_a_damaged_zip_and_a_damaged_member_are_named(tmp_path: Path) -> None:
    _write(tmp_path / "a.zip", zipped({"x.jpg": b"picture"}).replace(b"picture", b"PICTURE"))
    with Archive(tmp_path) as opened, pytest.raises(ArchiveError, match=r"a\.zip/x\.jpg: cannot be read"):
        opened.read("a.zip/x.jpg")
    _write(tmp_path / "b.zip", b"no zip")
    with pytest.raises(ArchiveError, match=r"b\.zip: not a readable zip"):
        Archive(tmp_path)


def test_lines_are_streamed_without_their_ends(tmp_path: Path) -> None:
    _write(tmp_path / "a.txt", "\ufeffone\r\ntwo\nthree".encode())
    with Archive(tmp_path) as opened:
        assert list(opened.lines("a.txt")) == ["one", "two", "three"]


def test_text_that_is_not_utf8_is_an_error_not_a_replacement(tmp_path: Path) -> None:
    _write(tmp_path / "a.txt", b"\xff\xfe1")
    with Archive(tmp_path) as opened, pytest.raises(ArchiveError, match=r"a\.txt: not UTF-8"):
        list(opened.lines("a.txt"))


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
