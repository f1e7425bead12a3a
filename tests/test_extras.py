"""Without the extras every module of the study can be imported, and the others name their extra."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT

from emotions import extras

IMPORT_ALL = """
import importlib, json, pathlib, sys, unittest.mock

for library in ("gradio", "openai", "transformers"):
    sys.modules[library] = None  # as if it were not installed
failed = {}
for folder in ("emotions", "stages", "tools", "vlm", "benchmarks"):
    for path in sorted(pathlib.Path(folder).rglob("*.py")):
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        try:
            importlib.import_module(name)
        except ImportError as error:
            failed[name] = [type(error).__name__, str(error)]
print(json.dumps(failed))
"""
OF_EXTRAS = {"vlm.shared.local": "vlm", "vlm.shared.server": "vlm"}


def test_every_module_is_imported_without_extras_or_names_the_extra_it_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    failed = json.loads(done.stdout)
    assert {name: kind for name, (kind, _) in failed.items()} == dict.fromkeys(OF_EXTRAS, "MissingExtraError")
    for name, extra in OF_EXTRAS.items():
        assert failed[name][1].endswith(
            f"is not installed; it comes with the extra `{extra}`: make {extra}-extra"
        )


def test_the_command_that_an_extra_names_installs_its_lock() -> None:
    for extra in ("demo", "vlm"):
        plan = subprocess.run(
            ["make", "-n", "-W", f"requirements-{extra}.txt", f"{extra}-extra"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"-r requirements-{extra}.txt" in plan.stdout


def test_another_missing_module_is_not_taken_for_an_extra() -> None:
    with (
        pytest.raises(extras.MissingExtraError, match="no_such_library is not installed"),
        extras.importing("vlm"),
    ):
        import no_such_library  # noqa: F401
    with pytest.raises(ImportError, match="cannot import name"), extras.importing("vlm"):
        from json import no_such_name  # noqa: F401
