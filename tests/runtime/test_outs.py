"""Outs are written whole or not at all, and their bytes depend on their content alone."""

import errno
import io
import json
import os
import time
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from emotions.runtime import outs


class Interrupted(Exception):
    pass


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_new_file_replaces_the_old_one_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    outs.write_text(path, "old")
    outs.write_text(path, "new\n")
    assert path.read_bytes() == b"new\n"
    assert names(path.parent) == ["a.txt"]


def test_a_failing_block_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(Interrupted), outs.new_file(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise Interrupted
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_new_folder_replaces_the_old_one_with_all_that_was_in_it(tmp_path: Path) -> None:
    path = tmp_path / "store"
    for name in ("first", "second"):
        with outs.new_folder(path) as folder:
            (folder / name).write_text(name)
    assert names(path) == ["second"]
    assert names(tmp_path) == ["store"]


def test_a_failing_block_leaves_the_old_folder_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.mkdir()
    (path / "old").write_text("old")
    with pytest.raises(Interrupted), outs.new_folder(path) as folder:
        (folder / "half").write_text("half")
        raise Interrupted
    assert names(path) == ["old"]
    assert names(tmp_path) == ["store"]


def test_what_a_killed_stage_left_is_not_taken_into_the_next_folder(tmp_path: Path) -> None:
    path = tmp_path / "store"
    for name in (".store.part", ".store.old.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("half")
    with outs.new_folder(path) as folder:
        outs.add_to_folder(folder, "deep/whole", b"whole")
    assert names(tmp_path) == ["store"]
    assert (path / "deep" / "whole").read_bytes() == b"whole"


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.mkdir()
    (path / "old").write_text("old")
    with pytest.raises(FileNotFoundError), outs.new_folder(path) as folder:
        folder.rmdir()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["store"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("new", [outs.new_file, outs.new_folder])
def test_an_error_for_lack_of_space_names_the_out_and_the_remedy(
    tmp_path: Path, new: Callable[[Path], AbstractContextManager[Path]], number: int
) -> None:
    path = tmp_path / "out"
    with (
        pytest.raises(outs.OutsError, match=r"^no space left for .*out: free some and run this again"),
        new(path),
    ):
        raise OSError(number, os.strerror(number))
    assert names(tmp_path) == []


@pytest.mark.parametrize("new", [outs.new_file, outs.new_folder])
def test_other_errors_of_the_system_stay_what_they_are(
    tmp_path: Path, new: Callable[[Path], AbstractContextManager[Path]]
) -> None:
    with pytest.raises(PermissionError), new(tmp_path / "out"):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def test_weights_have_the_same_bytes_under_any_name(tmp_path: Path) -> None:
    content = {"state_dict": {"a": torch.arange(6.0).view(2, 3)}, "epoch": 3}
    first, second = tmp_path / "run1.pth", tmp_path / "other" / "best_resnet50.pth"
    outs.write_torch(first, content)
    outs.write_torch(second, content)
    assert first.read_bytes() == second.read_bytes()
    assert torch.equal(torch.load(first, weights_only=True)["state_dict"]["a"], content["state_dict"]["a"])


def test_a_zip_has_the_same_bytes_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def packed(year: int) -> bytes:
        monkeypatch.setattr(time, "time", lambda: (year - 1970) * 31_556_952.0)
        monkeypatch.setattr(time, "localtime", lambda *_: (year, 2, 3, 4, 5, 6, 0, 1, 0))
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            outs.add_to_zip(archive, "images/a.png", b"abc")
        return out.getvalue()

    assert packed(1999) == packed(2026)
    with zipfile.ZipFile(io.BytesIO(packed(2026))) as archive:
        assert archive.read("images/a.png") == b"abc"
        assert archive.infolist()[0].external_attr >> 16 == 0o644


def test_json_rounds_floats_at_every_depth_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    outs.write_json(
        path, {"a": [1 / 3, (2 / 3, 7)], "b": {"c": 123456.7890123, "d": None, "e": True, "f": 12345678901}}
    )
    text = path.read_text()
    assert json.loads(text) == {
        "a": [0.333333, [0.666667, 7]],
        "b": {"c": 123456.789012, "d": None, "e": True, "f": 12345678901},
    }
    assert text.endswith("}\n")
    assert text.startswith('{\n  "a"')
