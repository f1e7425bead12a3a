"""What the tools of a referee start from: git's answers, and a clone that DVC can work in."""

import contextlib
import getpass
import os
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo

from tools.referee import committed, rerun
from tools.referee.committed import CommittedError, Side
from tools.referee.rerun import CannotVerifyError

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # within DVC
IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
PIPELINE = """
stages:
  copy:
    cmd: cp face.txt copy.txt
    deps: [face.txt]
    outs: [copy.txt]
"""


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A study of one stage, run and committed, in a path with blanks, accents and an apostrophe."""
    folder = tmp_path / "l'étude ü 顔"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "face.txt").write_text("a face")
    (folder / "dvc.yaml").write_text(PIPELINE)
    with contextlib.chdir(folder), Repo.init() as repo:
        repo.reproduce()
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "study")
    return folder


def test_a_clone_in_a_path_with_an_accent_has_the_cache_and_leaves_nothing_behind(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "t é 顔"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv(rerun.SITE, str(tmp_path / "site"))
    assert committed.top(repository) == repository
    _, commit = committed.commit_of(repository, "main")
    with rerun.clean_clone(repository, commit) as folder:
        stages = rerun.declared_stages(folder)
        assert stages["copy"].outs == {"copy.txt": True}
        with rerun.opened(folder) as repo:
            repo.checkout([str(folder / "copy.txt")])
        assert (folder / "copy.txt").read_text() == "a face"
        assert os.environ[rerun.SITE].startswith(str(temporary))
    assert list(temporary.iterdir()) == []
    assert (repository / ".dvc/cache/files").is_dir()
    assert os.environ[rerun.SITE] == str(tmp_path / "site")


def test_a_clone_made_from_a_git_hook_leaves_the_hooks_repository_alone(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git sets GIT_DIR for a hook, to an absolute path in a linked worktree."""
    _, commit = committed.commit_of(repository, "main")
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    with rerun.clean_clone(repository, commit) as folder:
        assert committed.top(folder) == folder
        assert (folder / "face.txt").exists()
    assert (repository / ".git/HEAD").read_text() == "ref: refs/heads/main\n"


def test_names_with_accents_are_files_of_a_commit_and_of_the_working_tree(repository: Path) -> None:
    (repository / "é 顔.txt").write_text("new")
    assert "é 顔.txt" in Side(repository, "").files
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "name")
    side = Side(repository, committed.commit_of(repository, "HEAD")[1])
    assert side.read("é 顔.txt") == b"new"


def test_a_git_that_fails_is_not_taken_for_a_missing_commit(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CommittedError, match="no commit 'nowhere' here"):
        committed.commit_of(repository, "nowhere")
    (tmp_path / "git").write_text("#!/bin/sh\necho 'fatal: detected dubious ownership' >&2; exit 128\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(CommittedError, match=r"rev-parse .* failed: fatal: detected dubious ownership"):
        committed.commit_of(repository, "main")
    (tmp_path / "git").write_text("#!/bin/sh\nkill -9 $$\n")
    with pytest.raises(CommittedError, match="failed: exit status -9"):
        committed.commit_of(repository, "main")
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(CommittedError, match=r"git cannot be run: .*No such file"):
        committed.commit_of(repository, "main")


def test_an_account_without_a_name_is_told_what_to_set(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nameless)
    with pytest.raises(CannotVerifyError, match=r"uid not found: 12345.*set USER to a name"):
        rerun.opened(repository).__enter__()


def test_a_path_that_the_locale_cannot_read_is_told_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(CannotVerifyError, match="set PYTHONUTF8=1"):
        rerun.opened(tmp_path / "\udcc3\udca9").__enter__()
