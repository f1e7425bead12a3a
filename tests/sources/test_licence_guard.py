"""Files that may not be passed on: git is asked whether it tracks them, and an answer is needed."""

import logging
import os
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo

from emotions.sources import SOURCES
from emotions.sources.sample import SourceError
from stages.extract import refuse_linked_folders, refuse_tracked

RAW = Path("data/raw/rafce")
CLOSED, OPEN = SOURCES["rafce"], SOURCES["synthetic"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    (tmp_path / RAW).mkdir(parents=True)
    (tmp_path / RAW / "0001.jpg").write_bytes(b"a face")
    return tmp_path


def instead_of_git(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bin").mkdir()
    (folder / "bin/git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")


def test_files_that_git_does_not_track_pass(repository: Path) -> None:
    refuse_tracked(CLOSED, RAW)


def test_tracked_files_are_refused_by_name_and_those_of_open_sources_are_not(repository: Path) -> None:
    subprocess.run(["git", "add", RAW], check=True)
    with pytest.raises(SourceError, match=r"such as data/raw/rafce/0001\.jpg; git rm -r --cached"):
        refuse_tracked(CLOSED, RAW)
    refuse_tracked(OPEN, RAW)


def test_a_repository_of_somebody_else_where_git_refuses_to_answer_is_no_answer(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "fatal: detected dubious ownership in repository at '/data/study'"
    instead_of_git(repository, f'echo "{words}" >&2; exit 128', monkeypatch)
    with pytest.raises(SourceError, match=r"git cannot say .*dubious ownership.*make `git status` work"):
        refuse_tracked(CLOSED, RAW)


def test_a_git_that_ends_without_a_word_is_no_answer(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead_of_git(repository, "kill -9 $$", monkeypatch)
    with pytest.raises(SourceError, match=r"git cannot say .*\(exit status -9\)"):
        refuse_tracked(CLOSED, RAW)


def test_a_tracked_name_with_an_accent_is_named_as_it_is(repository: Path) -> None:
    (repository / RAW / "é 顔.jpg").write_bytes(b"a face")
    subprocess.run(["git", "add", RAW / "é 顔.jpg"], check=True)
    with pytest.raises(SourceError, match=r"such as data/raw/rafce/é 顔\.jpg; git rm"):
        refuse_tracked(CLOSED, RAW)


def test_tracked_files_are_found_behind_a_link_to_their_folder_and_to_one_of_them(repository: Path) -> None:
    (repository / RAW).rename(repository / "my faces")
    (repository / RAW).symlink_to("../../my faces")
    refuse_tracked(CLOSED, RAW)
    subprocess.run(["git", "add", "my faces"], check=True)
    with pytest.raises(SourceError, match=r"such as my faces/0001\.jpg; git rm -r --cached 'my faces'"):
        refuse_tracked(CLOSED, RAW)
    (repository / RAW).unlink()
    (repository / RAW).mkdir()
    (repository / RAW / "0001.jpg").symlink_to("../../../my faces/0001.jpg")
    with pytest.raises(SourceError, match=r"such as my faces/0001\.jpg; git rm"):
        refuse_tracked(CLOSED, RAW)


def test_a_link_to_a_folder_inside_is_refused_by_name_and_one_to_a_file_is_not(repository: Path) -> None:
    (repository / "elsewhere").mkdir()
    (repository / RAW / "0002.jpg").symlink_to("0001.jpg")
    refuse_linked_folders(RAW)
    (repository / RAW / "aligned").symlink_to(repository / "elsewhere")
    with pytest.raises(SourceError, match=r"rafce/aligned: a link to a folder.*make data/raw/rafce the link"):
        refuse_linked_folders(RAW)


def test_dvc_sees_what_changes_behind_a_link_to_the_folder_or_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a link to a folder inside, it does not: that is why `extract` refuses one."""
    monkeypatch.chdir(tmp_path)
    for folder in ("faces", "other", "data/raw"):
        (tmp_path / folder).mkdir(parents=True)
    RAW.symlink_to(tmp_path / "faces")
    (tmp_path / "elsewhere.jpg").write_bytes(b"a face")
    Path("faces/1.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    Path("faces/inside").symlink_to(tmp_path / "other")
    Path("dvc.yaml").write_text(f"stages:\n  extract:\n    cmd: ls\n    deps: [{RAW}]\n")
    Repo.init(no_scm=True).close()

    def seen() -> str:
        with Repo() as repo:
            (stage,) = repo.index.stages
            return str(stage.deps[0].get_hash().value)

    hashes = [seen()]
    for name in ("faces/2.jpg", "elsewhere.jpg", "other/3.jpg"):
        (tmp_path / name).write_bytes(b"another face")
        hashes.append(seen())
    assert len(set(hashes[:3])) == 3
    assert hashes[3] == hashes[2]


def test_a_machine_without_git_is_no_answer(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository / "nowhere"))
    with pytest.raises(SourceError, match=r"git cannot say .*No such file or directory: 'git'"):
        refuse_tracked(CLOSED, RAW)


def test_a_damaged_repository_is_no_answer(repository: Path) -> None:
    (repository / ".git/HEAD").write_text("nonsense")
    with pytest.raises(SourceError, match="git cannot say"):
        refuse_tracked(CLOSED, RAW)


def test_without_any_repository_the_user_is_told_that_none_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    if any((above / ".git").exists() for above in tmp_path.parents):
        pytest.skip("the temporary folder lies in a repository")
    with caplog.at_level(logging.WARNING):
        refuse_tracked(CLOSED, RAW)
    assert "no git repository here" in caplog.text and "may not be passed on" in caplog.text


def test_a_link_in_place_of_the_folder_is_ignored_by_git_too() -> None:
    root = Path(__file__).parents[2]
    for name in (name for name, source in SOURCES.items() if not source.pictures_in_git):
        done = subprocess.run(["git", "check-ignore", "-q", f"data/raw/{name}"], cwd=root, check=False)
        assert done.returncode == 0, f"git add -A would commit a link data/raw/{name}"
