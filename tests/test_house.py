"""The structure of the code: which room may import which, and what decides no number."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo
from imported import ROOT, closure, imports, room

ROOMS = (
    "emotions/command.py",
    "emotions/knobs.py",
    "emotions/reporting",
    "emotions/attention",
    "emotions/evidence",
    "emotions/training",
    "emotions/inference.py",
    "emotions/model",
    "emotions/sources",
    "emotions/data",
    "emotions/runtime",
    "emotions/params_file.py",
    "emotions/plotting.py",
    "emotions/extras.py",
    "emotions/random_streams.py",
    "emotions/taxonomy.py",
)
"""A room imports itself and those after it."""
LIBRARY = sorted(str(f.relative_to(ROOT)) for f in (ROOT / "emotions").rglob("*.py"))
TEXT_READERS = sorted(
    str(f.relative_to(ROOT))
    for folder in ("emotions", "stages", "tools", "vlm", "notebooks")
    for f in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("file", LIBRARY)
def test_arrows_point_down(file: str) -> None:
    if file == "emotions/__init__.py":
        return
    assert room(file) in ROOMS, "a new room: say here what it may import"
    for other in imports(file) - {"emotions/__init__.py"}:
        assert other.startswith("emotions/"), f"the library imports {other}"
        assert ROOMS.index(room(other)) >= ROOMS.index(room(file)), (
            f"{file} imports {other}, an arrow upwards"
        )


@pytest.mark.parametrize("file", LIBRARY)
def test_the_library_knows_neither_dvc_nor_command_lines_but_for_the_stages_own(file: str) -> None:
    text = (ROOT / file).read_text()
    assert not re.search(r"^\s*(import|from) (dvc|dvclive|tools)\b", text, re.M)
    if file != "emotions/command.py":
        assert not re.search(r"^\s*(import|from) argparse\b", text, re.M)


@pytest.mark.parametrize("file", TEXT_READERS)
def test_no_text_is_read_or_written_in_the_encoding_of_the_locale(file: str) -> None:
    """In a locale of ASCII a name, a label or what a command says may be anything else."""
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if not isinstance(node, ast.Call):
            continue
        called, named = ast.unparse(node.func), {word.arg for word in node.keywords}
        as_text = called.endswith((".read_text", ".write_text")) and not called.startswith("outs.")
        if called == "open" or (called.endswith(".open") and ast.unparse(node).startswith("Path")):
            as_text = "b" not in ast.unparse(node.args[-1])
        assert not as_text or "encoding" in named, f"{file}:{node.lineno}: {called} without encoding="
        assert "text" not in named or not called.startswith("subprocess."), f"{file}:{node.lineno}: text="


@pytest.mark.parametrize("file", TEXT_READERS)
def test_names_of_files_are_asked_of_git_with_z(file: str) -> None:
    """Without -z git quotes a name that has an accent or a quotation mark."""
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if not isinstance(node, ast.List | ast.Tuple | ast.Call):
            continue
        parts = node.args if isinstance(node, ast.Call) else node.elts
        words = {part.value for part in parts if isinstance(part, ast.Constant)}
        assert "-z" in words or not words & {"ls-files", "ls-tree"}, f"{file}:{node.lineno}"


def test_no_module_imports_itself_through_others() -> None:
    def visit(file: str, trail: tuple[str, ...]) -> None:
        assert file not in trail, " -> ".join((*trail, file))
        if file in whole:
            return
        for other in sorted(imports(file)):
            inside = other.endswith("__init__.py") and file.startswith(other.removesuffix("__init__.py"))
            if other != file and not inside:
                visit(other, (*trail, file))
        whole.add(file)

    whole: set[str] = set()
    for folder in ("stages", "vlm"):
        for script in sorted((ROOT / folder).glob("*.py")):
            visit(f"{folder}/{script.name}", ())


NOTHING = ("None", "Iterator[None]", "Iterator[Path]")
PASSED_ON = {
    "emotions/runtime/parallel.py": {
        "cores": "how many workers draw and decode; what they make does not depend on it",
        "in_order": "the results of the function that it was given, in the order of the items",
    },
    "emotions/runtime/console.py": {
        "progress": "a bar; around `work`, what `work` yields",
        "first_process": "whether this process speaks and writes",
        "watched": "whether a person may be looking",
    },
    "emotions/command.py": {"headline": "a line of the log"},
}
"""Functions of `runtime` that return something, and why no number depends on it."""


NO_DEPENDENCY = ("emotions/command.py", "emotions/knobs.py", "emotions/runtime")


@pytest.mark.parametrize("file", [f for f in LIBRARY if room(f) in NO_DEPENDENCY])
def test_what_runtime_returns_enters_no_computation(file: str) -> None:
    """It is no dependency of a stage: a change there reruns nothing."""
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            returned = ast.unparse(node.returns) if node.returns else "nothing said"
            if node.name not in PASSED_ON.get(file, {}):
                assert returned in NOTHING, f"{node.name} returns {returned}"


def test_every_file_of_the_library_is_run_by_a_stage_or_a_tool() -> None:
    scripts = [*(ROOT / "stages").glob("*.py"), *(ROOT / "vlm").glob("*.py"), *(ROOT / "tools").rglob("*.py")]
    used = set().union(*(closure(str(script.relative_to(ROOT))) for script in scripts))
    assert set(LIBRARY) <= used


def code_hashes(folder: Path) -> dict[str, dict[str, str]]:
    """DVC's hash of each dependency of each stage that is there, of the study's pipeline."""
    with Repo(str(folder)) as repo:
        return {
            stage.name: {dep.def_path: dep.get_hash().value for dep in stage.deps if dep.exists}
            for stage in repo.index.stages
            if stage.path_in_repo == "dvc.yaml"
        }


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pipeline depends on, as git has it, without data."""
    folder = tmp_path_factory.mktemp("code")
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    wanted = ("emotions/", "stages/", "data/raw/", "dvc.yaml", "params.yaml", "versions.txt", ".dvcignore")
    for name in names:
        if name.startswith(wanted) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    Repo.init(str(folder), no_scm=True).close()
    return folder


def stages_that_see(folder: Path, files: dict[str, str]) -> set[str]:
    """Which stages depend on what is appended to `files` (path -> text); afterwards all is as before."""
    before, kept = code_hashes(folder), {}
    for name, text in files.items():
        path = folder / name
        kept[path] = path.read_bytes() if path.exists() else None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((kept[path] or b"") + text.encode())
    after = code_hashes(folder)
    for path, content in kept.items():
        path.unlink() if content is None else path.write_bytes(content)
    assert code_hashes(folder) == before
    return {name.partition("@")[0] for name in before if before[name] != after[name]}


TRAININGS = {"pretrain", "train"}


def test_the_console_a_readme_of_raw_data_and_a_source_rerun_no_training(code: Path) -> None:
    remark = "\n# a remark\n"
    assert stages_that_see(code, {"emotions/runtime/console.py": remark}) == set()
    assert stages_that_see(code, {"data/raw/weights/README.md": "More."}) == set()
    assert stages_that_see(code, {"data/raw/imagenet_sample/README.md": "More."}) == set()
    assert stages_that_see(code, {"emotions/sources/ferplus.py": remark}) == {"extract", "report"}
    assert not TRAININGS & stages_that_see(code, {"emotions/evidence/claims.py": remark})
    assert stages_that_see(code, {"emotions/reporting/templates/report.md.j2": "more"}) == {"report"}


def test_the_loop_retrains_and_so_do_other_versions(code: Path) -> None:
    loop = stages_that_see(code, {"emotions/training/loop.py": "\n# a remark\n"})
    assert loop == TRAININGS | {"report"}, "what depends on their weights follows; the report reads recipes"
    assert stages_that_see(code, {"versions.txt": "torch==9\n"}) >= TRAININGS | {
        "extract",
        "evaluate",
        "probe",
    }


def test_leftovers_of_python_notebooks_and_desktops_are_in_no_hash(code: Path) -> None:
    leftovers = (
        "emotions/training/__pycache__/loop.cpython-311.pyc",
        "emotions/data/.ipynb_checkpoints/manifest-checkpoint.py",
        "emotions/model/.DS_Store",
        "data/raw/synthetic/._action_units.yaml",
        "data/raw/synthetic/Thumbs.db",
        "data/raw/synthetic/desktop.ini",
    )
    assert stages_that_see(code, dict.fromkeys(leftovers, "left")) == set()
    assert stages_that_see(code, {"data/raw/synthetic/more.yaml": "a: 1"}) == {"extract"}
